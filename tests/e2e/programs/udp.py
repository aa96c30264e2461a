# SPDX-License-Identifier: BSD-2-Clause
"""UDP on the loopback, one function each: udp.py NAME [NUMBER]."""
import os
import random
import socket
import struct
import sys
import time


def say(*words):
    """One write, since several processes say something at a time."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def bound(family=socket.AF_INET, host="127.0.0.1", port=0, reuse=False):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock


def fork(function, *arguments):
    pid = os.fork()
    if not pid:
        function(*arguments)
        os._exit(0)
    return pid


def join(*pids):
    say("statuses", [os.waitpid(pid, 0)[1] for pid in pids])


def ask(family, address, connected, number):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if connected:
            sock.connect(address)
        for i in range(10):
            words = b"%d asks %d" % (number, i) + b"!" * i
            sock.send(words) if connected else sock.sendto(words, address)
            assert sock.recv(100) == words.upper()


def answer(connected, family=socket.AF_INET, host="127.0.0.1"):
    server = bound(family, host)
    pids = [fork(ask, family, server.getsockname(), connected, number) for number in range(3)]
    for _ in range(30):
        words, address = server.recvfrom(100)
        server.sendto(words.upper(), address)
    join(*pids)


def connected():
    answer(True)


def unconnected():
    answer(False)


def ipv6():
    answer(False, socket.AF_INET6, "::1")
    answer(True, socket.AF_INET6, "::1")


def itself():
    """Sockets that send to themselves, connected and not."""
    for connects in False, True:
        sock = bound()
        if connects:
            sock.connect(sock.getsockname())
        for words in b"me", b"myself", b"I":
            sock.send(words) if connects else sock.sendto(words, sock.getsockname())
            assert sock.recv(100) == words


def mapped():
    """An IPv6 socket that speaks IPv4."""
    server = bound()
    address = "::ffff:127.0.0.1", server.getsockname()[1]
    pid = fork(ask, socket.AF_INET6, address, False, 0)
    for _ in range(10):
        words, address = server.recvfrom(100)
        server.sendto(words.upper(), address)
    join(pid)


def empty():
    """Datagrams of no bytes, and ones longer than the buffer."""
    server = bound()
    address = server.getsockname()

    def client():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for words in (b"", b"x" * 1000, b"", b"end"):
                sock.sendto(words, address)

    pid = fork(client)
    say([len(server.recv(10)) for _ in range(4)])
    join(pid)


def multicast():
    """One send, two receivers."""
    group, readers = "239.255.77.77", []
    port = 0
    for _ in range(2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((group, port))
        port = sock.getsockname()[1]
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                        socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
        readers.append(sock)

    def receive(sock):
        say(b"".join(sock.recv(100) for _ in range(5)))

    pids = []
    for sock in readers:
        pids.append(fork(receive, sock))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for i in range(5):
            sender.sendto(b"%d" % i * (i + 1), (group, port))
    join(*pids)


def reuseport():
    """Two servers on one port: the kernel chooses one for each client. They report to the parent by their status."""
    one = bound(reuse=True)
    address = one.getsockname()
    other = bound(port=address[1], reuse=True)

    def serve(sock):
        while True:
            words, peer = sock.recvfrom(100)
            if words == b"end":
                os._exit(0)
            sock.sendto(words.upper(), peer)

    servers = [fork(serve, sock) for sock in (one, other)]
    one.close()
    other.close()
    join(*[fork(ask, socket.AF_INET, address, False, number) for number in range(8)])
    while servers:  # "end" comes to one of them
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", address)
        time.sleep(0.01)
        servers = [pid for pid in servers if not os.waitpid(pid, os.WNOHANG)[0]]


def overflow(number=200):
    """A receiver that sleeps while its small buffer overflows. Datagram i has 2 + i bytes and starts with i. Prints how
    many came and were sent, and which; a good part of them is lost, from the middle of what was sent."""
    with bound() as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        address = receiver.getsockname()

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for i in range(number):
                    sock.sendto(struct.pack(">H", i) + b"." * i, address)
                    if i % 20 == 19:
                        time.sleep(0.005)
                time.sleep(0.05)
                for i in range(number, number + 3):
                    sock.sendto(struct.pack(">H", i) + b"." * i, address)
                    time.sleep(0.02)

        pid = fork(send)
        got = []
        while not got or got[-1] != number + 2:
            words = receiver.recv(1000)
            i, = struct.unpack(">H", words[:2])
            assert len(words) == 2 + i
            got.append(i)
            if len(got) % 2 and i < number:
                time.sleep(0.01)
        assert os.waitpid(pid, 0)[1] == 0
        say(number + 3, *got)


def queries(number):
    """DNS queries to the server at 127.0.0.1:NUMBER, half of them over a connected socket. Prints bytes sent and
    received."""
    sent = received = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.connect(("127.0.0.1", number))
        one.settimeout(5)
        other.settimeout(5)
        for i in range(2000):
            name = b"host%d" % (i % 50)
            words = struct.pack(">HHHHHH", i, 0x0100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\4test\0\0\1\0\1"
            if i % 2:
                other.send(words)
                reply = other.recv(1000)
            else:
                one.sendto(words, ("127.0.0.1", number))
                reply, _ = one.recvfrom(1000)
            assert reply[:2] == words[:2] and socket.inet_aton(f"10.1.2.{i % 50}") in reply
            sent, received = sent + len(words), received + len(reply)
    say(sent, received)


def noise(number):
    """NUMBER random datagrams between four processes with two sockets each, all received: each one is answered."""
    chance = random.Random(number)
    socks = [bound() for _ in range(8)]
    addresses = [sock.getsockname() for sock in socks]

    def echo(sock):
        while True:
            words, address = sock.recvfrom(2000)
            if not words:
                os._exit(0)
            sock.sendto(words, address)

    pids = [fork(echo, sock) for sock in socks[4:]]
    total = 0
    for _ in range(number):
        sock, words = chance.choice(socks[:4]), bytes(chance.randrange(1, 1000))
        sock.sendto(words, chance.choice(addresses[4:]))
        total += len(sock.recv(2000))
    for address in addresses[4:]:
        socks[0].sendto(b"", address)
    join(*pids)
    say(total)


globals()[sys.argv[1]](*map(int, sys.argv[2:]))
say("done")
