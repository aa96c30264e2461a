# SPDX-License-Identifier: BSD-2-Clause
"""Passes descriptors the way Python programs do: socket.send_fds, and connections pickled by multiprocessing."""
import multiprocessing
import os
import socket


def write_to_all(end):
    _, fds, _, _ = socket.recv_fds(end, 10, 4)
    for fd in fds:
        os.write(fd, b"received")


def serve(pipe):
    with pipe.recv() as connection:
        connection.sendall(b"from the child")


def main():
    near, far = socket.socketpair()
    out, into = os.pipe()
    child = os.fork()
    if not child:
        write_to_all(far)
        os._exit(0)
    socket.send_fds(near, [b"two"], [into, into])
    os.waitpid(child, 0)
    assert os.read(out, 100) == b"received" * 2
    context = multiprocessing.get_context("fork")
    near, far = socket.socketpair()
    parent, pipe = context.Pipe()
    process = context.Process(target=serve, args=(pipe,))
    process.start()
    parent.send(far)
    far.close()
    assert near.recv(100) == b"from the child"
    process.join()


if __name__ == "__main__":
    main()
