# SPDX-License-Identifier: BSD-2-Clause
"""Flags and states of sockets, one function each: flags.py NAME. A parent and one child, which reports by its
status; everything printed is the same in every run."""
import errno
import os
import select
import socket
import struct
import sys
import time


def split(parent, child, kind=socket.SOCK_STREAM, family=socket.AF_UNIX):
    """Runs both with their ends of a pair (TCP: of a connection)."""
    if family == socket.AF_UNIX:
        one, other = socket.socketpair(family, kind)
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
    pid = os.fork()
    if not pid:
        one.close()
        child(other)
        os._exit(0)
    other.close()
    parent(one)
    one.close()
    say("child", os.waitpid(pid, 0)[1])


def say(*words):
    """One write, since several processes say something at a time."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def peek():
    def child(sock):
        say(sock.recv(3, socket.MSG_PEEK), sock.recvmsg(100, 0, socket.MSG_PEEK)[0], sock.recv(100))
        say(sock.recv(100))

    split(lambda sock: sock.sendall(b"hello, world"), child)


def trunc():
    """Datagrams that are longer than the buffer; on TCP MSG_TRUNC throws data away."""
    def child(sock):
        say(sock.recv(4), sock.recvmsg(4)[0::2], sock.recv_into(bytearray(4), 4, socket.MSG_TRUNC), sock.recv(10))

    def parent(sock):
        for _ in range(4):
            sock.send(b"0123456789")

    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        split(parent, child, kind)

    def discard(sock):
        sock.recv_into(bytearray(4), 4, socket.MSG_TRUNC | socket.MSG_WAITALL)
        say(sock.recv(100, socket.MSG_WAITALL))

    split(lambda sock: sock.sendall(b"0123456789"), discard, family=socket.AF_INET)


def waitall():
    def parent(sock):
        for i in range(10):
            sock.sendall(b"%d" % i * 100)
            time.sleep(0.005)

    def child(sock):
        say(len(sock.recv(1000, socket.MSG_WAITALL)))

    split(parent, child)
    split(parent, child, family=socket.AF_INET)


def oob():
    def parent(sock):
        sock.sendall(b"before")
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(b"after")
        sock.shutdown(socket.SHUT_WR)
        say(sock.recv(10))

    def child(sock):
        poll = select.poll()
        poll.register(sock, select.POLLPRI)
        poll.poll()
        time.sleep(0.05)
        say(sock.recv(1, socket.MSG_OOB))
        got = b""
        while data := sock.recv(100):
            got += data
        say(got)
        sock.sendall(b"ok")

    split(parent, child, family=socket.AF_INET)


def shut():
    def parent(sock):
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        say(sock.recv(100))
        say(sock.recv(100))
        try:
            sock.send(b"x")
        except OSError as error:
            say(errno.errorcode[error.errno])

    def child(sock):
        say(sock.recv(100), sock.recv(100))
        sock.sendall(b"answer")

    for family in (socket.AF_UNIX, socket.AF_INET):
        split(parent, child, family=family)
    split(parent, child, socket.SOCK_SEQPACKET)


def empty():
    """Messages of no bytes."""
    def parent(sock):
        for word in (b"a", b"", b"bc", b""):
            sock.send(word)
        sock.send(b"end")

    def child(sock):
        say([sock.recv(10) for _ in range(5)])

    split(parent, child, socket.SOCK_DGRAM)
    split(parent, child, socket.SOCK_SEQPACKET)


def nonblocking():
    """connect answers EINPROGRESS (TCP), or at once (UNIX); then one to nobody."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    pid = os.fork()
    if not pid:
        listener.close()
        sock = socket.socket()
        sock.setblocking(False)
        say(errno.errorcode[sock.connect_ex(address)])
        select.select([], [sock], [])
        say(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), sock.send(b"hello"))
        select.select([sock], [], [])
        say(sock.recv(10))
        closed = socket.create_server(("127.0.0.1", 0))
        nobody = closed.getsockname()
        closed.close()
        say(errno.errorcode[socket.socket().connect_ex(nobody)])
        os._exit(0)
    accepted, _ = listener.accept()
    accepted.sendall(accepted.recv(10).upper())
    os.waitpid(pid, 0)


def gone():
    """Clients that connect, write and close before the server accepts; then reads what they left."""
    path = os.path.abspath("gone.sock")
    for make in (lambda: socket.create_server(("127.0.0.1", 0)),
                 lambda: socket.create_server(path, family=socket.AF_UNIX)):
        with make() as listener:
            for i in range(3):
                pid = os.fork()
                if not pid:
                    with socket.socket(listener.family) as sock:
                        sock.connect(listener.getsockname())
                        sock.sendall(b"from %d" % i * (i + 1))
                    os._exit(0)
                os.waitpid(pid, 0)
            for _ in range(3):
                with listener.accept()[0] as sock:
                    say(sock.recv(100), sock.recv(100))
    os.unlink(path)


def reuse():
    """The same client port, one connection after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = None
    for i in range(5):
        pid = os.fork()
        if not pid:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT
                sock.bind(("127.0.0.1", port or 0))
                sock.connect(listener.getsockname())
                sock.sendall(b"%d" % i * (i + 1))
                sock.recv(1)
            os._exit(0)
        accepted, address = listener.accept()
        assert port in (None, address[1])
        port = address[1]
        say(accepted.recv(100))
        accepted.sendall(b".")
        os.waitpid(pid, 0)
        accepted.close()


def mapped():
    """An IPv4 client of an IPv6 server, and an IPv6 client."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            pid = os.fork()
            if not pid:
                with socket.create_connection((host, listener.getsockname()[1])) as sock:
                    sock.sendall(b"to " + host.encode())
                    sock.recv(10)
                os._exit(0)
            with listener.accept()[0] as sock:
                say(sock.recv(100))
                sock.sendall(b"ok")
            os.waitpid(pid, 0)


def datagrams():
    """UNIX datagrams: clients with and without a name, the server answers those with one."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind("\0server of %d" % os.getpid())
    pids = []
    for i in range(3):
        pid = os.fork()
        if not pid:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            if i:
                sock.bind("\0client %d of %d" % (i, os.getppid()))
            if i == 2:
                sock.connect(server.getsockname())
            for n in range(10):
                words = b"client %d says %d" % (i, n)
                sock.send(words) if i == 2 else sock.sendto(words, server.getsockname())
                if i:
                    assert sock.recv(100) == words.upper()
            os._exit(0)
        pids.append(pid)
    got = []
    for _ in range(30):
        words, address = server.recvfrom(100)
        got.append(words)
        if address:
            server.sendto(words.upper(), address)
    for pid in pids:
        os.waitpid(pid, 0)
    say(sorted(got))


def autobound():
    """A UNIX socket that the kernel names, and one whose name is a path with a space and UTF-8 in it."""
    path = os.path.abspath("a näme")
    for name in ("", path):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            pid = os.fork()
            if not pid:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(listener.getsockname())
                    sock.sendall(b"hello")
                    say(sock.recv(10))
                os._exit(0)
            with listener.accept()[0] as sock:
                sock.sendall(sock.recv(10).upper())
            os.waitpid(pid, 0)
    os.unlink(path)


def spliced():
    """A file by sendfile into a connection, and by splice through a pipe out of it."""
    with open("/usr/share/common-licenses/GPL-3", "rb") as text:
        size = os.fstat(text.fileno()).st_size

        def parent(sock):
            at = 0
            while at < size:
                at += os.sendfile(sock.fileno(), text.fileno(), at, 5000)

        def child(sock):
            reader, writer = os.pipe()
            total = 0
            while moved := os.splice(sock.fileno(), writer, 4000):
                total += len(os.read(reader, moved))
            say(total == size)

        for family in (socket.AF_UNIX, socket.AF_INET):
            split(parent, child, family=family)


def vectors():
    """readv and writev, sendmsg and recvmsg of several parts."""
    def parent(sock):
        assert os.writev(sock.fileno(), [b"one ", b"two"]) == 7
        assert sock.sendmsg([b"three ", b"four ", b"five"]) == 15
        assert os.write(sock.fileno(), b".") == 1

    def child(sock):
        parts = bytearray(4), bytearray(3)
        say(os.readv(sock.fileno(), parts), parts)
        say(sock.recvmsg_into([bytearray(6), bytearray(9)], 0, socket.MSG_WAITALL)[0], os.read(sock.fileno(), 5))

    for family in (socket.AF_UNIX, socket.AF_INET):
        split(parent, child, family=family)


def waiting():
    """poll, select and epoll, each ended by one byte on the second of three sockets; then each by time."""
    def by_poll(socks, seconds):
        poll = select.poll()
        for sock in socks:
            poll.register(sock, select.POLLIN)
        return [number for number, _ in poll.poll(seconds and seconds * 1000)]

    def by_select(socks, seconds):
        return [sock.fileno() for sock in select.select(socks, [], [], seconds)[0]]

    def by_epoll(socks, seconds):
        with select.epoll() as epoll:
            for sock in socks:
                epoll.register(sock, select.EPOLLIN)
            return [number for number, _ in epoll.poll(seconds)]

    pairs = [socket.socketpair() for _ in range(3)]
    ours = [one for one, _ in pairs]
    pid = os.fork()
    if not pid:
        for _ in range(3):
            time.sleep(0.1)
            pairs[1][1].sendall(b"x")
            pairs[1][1].recv(1)
        os._exit(0)
    for way in (by_poll, by_select, by_epoll):
        assert way(ours, None) == [ours[1].fileno()]
        say(way.__name__, ours[1].recv(1))
        ours[1].sendall(b"y")
    os.waitpid(pid, 0)
    for way in (by_poll, by_select, by_epoll):
        assert way(ours, 0.05) == []


globals()[sys.argv[1]]()
say("done")
