# SPDX-License-Identifier: BSD-2-Clause
"""A server and its clients, each a process: servers.py HOW ADDRESS [CLIENTS [REQUESTS]]. HOW: threads, fork,
asyncio. ADDRESS: a path, @abstract, or host:port. Each request is a line; the reply is the line in capitals.
Prints what the clients got, in their order."""
import asyncio
import os
import socket
import sys
import threading

HOW, ADDRESS = sys.argv[1:3]
CLIENTS, REQUESTS = (int(word) for word in (sys.argv[3:] + ["3", "10"][len(sys.argv) - 3:]))


def make_socket():
    if ADDRESS[0] in "/@":
        return socket.socket(socket.AF_UNIX), ADDRESS.replace("@", "\0")
    host, port = ADDRESS.rsplit(":", 1)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock, (host, int(port))


def serve(sock):
    with sock, sock.makefile("rwb") as stream:
        for line in stream:
            stream.write(line.upper())
            stream.flush()


def client(number):
    sock, address = make_socket()
    with sock:
        sock.connect(("127.0.0.1", address[1]) if sock.family == socket.AF_INET and not address[0] else address)
        replies = sock.makefile("rb")
        good = 0
        for i in range(REQUESTS):
            request = f"client {number} request {i} {'x' * (97 * i)}\n".encode()
            sock.sendall(request)
            good += replies.readline() == request.upper()
    return good


def start_clients():
    pids = []
    for number in range(CLIENTS):
        pid = os.fork()
        if not pid:
            LISTENER.close()
            os._exit(client(number))
        pids.append(pid)
    return pids


def report(pids):
    for number, pid in enumerate(pids):
        print("client", number, "good replies", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def with_threads():
    threads = []
    for _ in range(CLIENTS):
        threads.append(threading.Thread(target=serve, args=(LISTENER.accept()[0],)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def with_fork():
    children = []
    for _ in range(CLIENTS):
        sock, _ = LISTENER.accept()
        pid = os.fork()
        if not pid:
            LISTENER.close()
            serve(sock)
            os._exit(0)
        sock.close()
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


async def with_asyncio():
    done = asyncio.Semaphore(0)

    async def serve_one(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        done.release()

    start = asyncio.start_unix_server if LISTENER.family == socket.AF_UNIX else asyncio.start_server
    server = await start(serve_one, sock=LISTENER, limit=1 << 20)
    for _ in range(CLIENTS):
        await done.acquire()
    server.close()


LISTENER, LOCAL = make_socket()
LISTENER.bind(LOCAL)
LISTENER.listen(CLIENTS)
PIDS = start_clients()
if HOW == "threads":
    with_threads()
elif HOW == "fork":
    with_fork()
else:
    asyncio.run(with_asyncio())
report(PIDS)
if ADDRESS[0] == "/":
    os.unlink(ADDRESS)
