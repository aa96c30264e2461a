# SPDX-License-Identifier: BSD-2-Clause
"""A client and a server that both send and receive as fast as they can: traffic.py ADDRESS MILLISECONDS VICTIM. So
long after both have begun the VICTIM (client or server) is killed; the other one goes on until nothing comes any more. Prints the
survivor's pid and what it sent and received."""
import os
import select
import signal
import socket
import sys
import time

ADDRESS, MILLISECONDS, VICTIM = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def make_socket():
    if ADDRESS[0] == "/":
        return socket.socket(socket.AF_UNIX), ADDRESS
    host, port = ADDRESS.split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock, (host, int(port))


def exchange(sock, report):
    """Until the other side is gone, and what it left has been read. A dot says that it has begun."""
    os.write(report, b".")
    sock.setblocking(False)
    sent = received = 0
    writing = [sock]
    while True:
        readable, writable, _ = select.select([sock], writing, [])
        try:
            if writable:
                sent += sock.send(b"x" * 777)
        except OSError:
            writing = []
        try:
            if readable:
                words = sock.recv(1000)
                received += len(words)
                if not words:
                    break
        except OSError:
            break
    os.write(report, f"{os.getpid()} {sent} {received}\n".encode())
    os._exit(0)


LISTENER, NAME = make_socket()
LISTENER.bind(NAME)
LISTENER.listen()
READER, WRITER = os.pipe()
PIDS = {}
for who in ("server", "client"):
    PIDS[who] = os.fork()
    if not PIDS[who]:
        os.close(READER)
        if who == "client":
            LISTENER.close()
            mine, _ = make_socket()
            mine.connect(NAME)
        else:
            mine, _ = LISTENER.accept()
        exchange(mine, WRITER)
LISTENER.close()
for _ in PIDS:
    os.read(READER, 1)
time.sleep(MILLISECONDS / 1000)
os.kill(PIDS[VICTIM], signal.SIGKILL)
for pid in PIDS.values():
    os.waitpid(pid, 0)
os.close(WRITER)
print(os.read(READER, 1000).decode(), end="")
if ADDRESS[0] == "/":
    os.unlink(ADDRESS)
