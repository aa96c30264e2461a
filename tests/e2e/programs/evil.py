# SPDX-License-Identifier: BSD-2-Clause
"""Names that would take over a terminal: of a program, its arguments, a thread, a FIFO, sockets, shared memory."""
import ctypes
import mmap
import os
import socket
import sys
import threading

EVIL = "\x1b[31m\x1b]0;title\x07\r\n\x7f\xc2\x9b2J\u202eevil"


def rename(text):
    ctypes.CDLL(None).prctl(15, os.fsencode(text), 0, 0, 0)


def talk(listener, address):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(address)
        server.listen()
        client.connect(address)
        with server.accept()[0] as end:
            client.sendall(b"hello")
            listener(end.recv(100))


os.chdir(sys.argv[1])
rename(EVIL[:12])
talk(len, EVIL + ".sock")
talk(len, "\0" + EVIL)
os.mkfifo(EVIL + ".fifo")
if not os.fork():
    rename("\x9b\x1bchild")
    with open(EVIL + ".fifo", "wb") as fifo:
        fifo.write(b"hello")
    os._exit(0)
with open(EVIL + ".fifo", "rb") as fifo:
    fifo.read()
os.wait()
with open(EVIL + ".shm", "w+b") as file:
    file.truncate(4096)
    with mmap.mmap(file.fileno(), 4096) as memory:
        memory[0] = 1
        if not os.fork():
            os._exit(memory[0] - 1)
        os.wait()
thread = threading.Thread(target=lambda: rename("\x1bthread") or os.sched_yield())
thread.start()
thread.join()
program = EVIL + "-program"
os.symlink("/bin/cat", program)
read, write = os.pipe()
if not os.fork():
    os.dup2(read, 0)
    os.close(write)
    os.execv(program, [program, "-", EVIL])
os.write(write, b"hello")
os.close(write)
os.close(read)
os.wait()
