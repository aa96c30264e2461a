# SPDX-License-Identifier: BSD-2-Clause
"""PAIRS N M: pairs of processes that talk, N rounds, then (told so by a line) M more. Each sends over a pipe and answers
over a socket. All wait for each other: any run is like any other."""
import os
import socket
import sys

pairs, before, after = map(int, sys.argv[1:4])


def tell(rounds, out, back):
    for i in range(rounds):
        os.write(out, b"x" * (1 + i % 50))
        back.recv(100)


def answer(rounds, got, back):
    for i in range(rounds):
        os.read(got, 1 + i % 50)
        back.send(b"y" * (1 + i % 7))


def pair(start):
    """One process asks, its child answers; `start` is a pipe from the first one."""
    got, out = os.pipe()
    mine, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        answer(before + after, got, theirs)
        os._exit(0)
    tell(before, out, mine)
    os.write(done[1], b".")
    os.read(start, 1)
    tell(after, out, mine)
    os.waitpid(child, 0)
    os._exit(0)


print("begun", flush=True)
done = os.pipe()
starts = [os.pipe() for _ in range(pairs)]
children = []
for begin, _ in starts:
    children.append(os.fork())
    if not children[-1]:
        pair(begin)
for _ in children:
    os.read(done[0], 1)
print("ready", flush=True)
sys.stdin.readline()
for _, begin in starts:
    os.write(begin, b"!")
for child in children:
    os.waitpid(child, 0)
print("done", flush=True)
