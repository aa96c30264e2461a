# SPDX-License-Identifier: BSD-2-Clause
"""multiprocessing in all its ways over sockets: multi.py pipe | queue | manager | handle | rights."""
import array
import multiprocessing
import os
import socket
import sys
from multiprocessing import reduction

CONTEXT = multiprocessing.get_context("fork")


def run(function, *arguments):
    child = CONTEXT.Process(target=function, args=arguments)
    child.start()
    return child


def pipe():
    def child(here, there):
        there.close()
        for _ in range(10):
            here.send(here.recv() * 2)
        here.close()

    ours, theirs = CONTEXT.Pipe()
    other = run(child, theirs, ours)
    theirs.close()
    for i in range(10):
        ours.send(list(range(i * 100)))
        assert ours.recv() == list(range(i * 100)) * 2
    ours.close()
    other.join()


def queue():
    def child(jobs, results):
        for job in iter(jobs.get, None):
            results.put(job * job)

    jobs, results = CONTEXT.Queue(), CONTEXT.Queue()
    others = [run(child, jobs, results) for _ in range(2)]
    for i in range(50):
        jobs.put(i)
    print(sum(results.get() for _ in range(50)))
    for _ in others:
        jobs.put(None)
    for other in others:
        other.join()


def manager():
    def child(shared, number):
        for i in range(5):
            shared[number * 10 + i] = i

    with CONTEXT.Manager() as served:
        shared = served.dict()
        others = [run(child, shared, number) for number in range(2)]
        for other in others:
            other.join()
        print(sorted(shared.items()))


def handle():
    """The end of a socketpair is passed on; what goes through it afterwards is between other processes."""
    def child(here):
        sock = socket.socket(fileno=reduction.recv_handle(here))
        for _ in range(10):
            sock.sendall(sock.recv(100).upper())
        sock.close()

    ours, theirs = CONTEXT.Pipe()
    other = run(child, theirs)
    mine, passed = socket.socketpair()
    reduction.send_handle(ours, passed.fileno(), other.pid)
    passed.close()
    for i in range(10):
        mine.sendall(b"word %d" % i)
        assert mine.recv(100) == b"WORD %d" % i
    other.join()


def rights():
    """A connection is accepted by one process, passed with SCM_RIGHTS, served by another; the first closes it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair()
    worker = os.fork()
    if not worker:
        ours.close()
        listener.close()
        _, control, _, _ = theirs.recvmsg(10, socket.CMSG_SPACE(8))
        numbers = array.array("i", control[0][2])
        accepted, pipe_end = socket.socket(fileno=numbers[0]), numbers[1]
        total = 0
        while data := accepted.recv(1000):
            total += len(data)
        os.write(pipe_end, b"%d" % total)
        os._exit(0)
    client = os.fork()
    if not client:
        with socket.create_connection(listener.getsockname()) as sock:
            for i in range(20):
                sock.sendall(b"x" * (i + 1))
        os._exit(0)
    accepted, _ = listener.accept()
    reader, writer = os.pipe()
    socket.send_fds(ours, [b"take"], [accepted.fileno(), writer])
    accepted.close()
    os.close(writer)
    print(os.read(reader, 100))
    for pid in (worker, client):
        os.waitpid(pid, 0)


globals()[sys.argv[1]]()
print("done")
