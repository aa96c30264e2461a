# SPDX-License-Identifier: BSD-2-Clause
"""Connections of every kind between a parent and a child, and what ss(8) says of them while they are there: lines
`mechanism own other`, by inodes for UNIX sockets and by addresses for TCP and UDP. First the two pids."""
import os
import re
import socket
import subprocess

MADE = []


def ss(*options):
    return subprocess.run(["ss", "-anH", *options], stdout=subprocess.PIPE, check=True).stdout.decode()


def inode(sock):
    return os.fstat(sock.fileno()).st_ino


def address(sock, name):
    host, port = name[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"


def connect(mechanism, family, kind, name):
    """(mechanism, listener or None, client, server)"""
    listener, client = socket.socket(family, kind), socket.socket(family, kind)
    listener.bind(name)
    if mechanism == "udp":
        client.bind(name)
        client.connect(listener.getsockname())
        listener.connect(client.getsockname())
        MADE.append((mechanism, None, client, listener))
    else:
        listener.listen()
        client.connect(listener.getsockname())
        MADE.append((mechanism, listener, client, listener.accept()[0]))


def say_peers():
    of_unix = {int(own): int(other) for own, other in re.findall(r"^u_\w+ .* (\d+) +\S+ (\d+) *$", ss("-x"), re.M)}
    of_net = {(mechanism, own): other for mechanism, option in (("tcp", "-t"), ("udp", "-u"))
              for own, other in re.findall(r"(\S+:\d+) +(\S+:\d+) *$", ss(option, "state", "established"), re.M)}
    for mechanism, _, *ends in MADE:
        for sock in ends:
            if sock.family == socket.AF_UNIX:
                assert of_unix[inode(sock)]
                print(mechanism, inode(sock), of_unix[inode(sock)])
            else:
                own = address(sock, sock.getsockname())
                print(mechanism, own, of_net[mechanism, own])


for _name, _kind in (("unix_stream", socket.SOCK_STREAM), ("unix_seqpacket", socket.SOCK_SEQPACKET)):
    MADE.append((_name, None, *socket.socketpair(socket.AF_UNIX, _kind)))
    connect(_name, socket.AF_UNIX, _kind, os.path.abspath(_name))
    connect(_name, socket.AF_UNIX, _kind, f"\0{_name} {os.getpid()}")
    os.unlink(_name)
for _name, _kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
    connect(_name, socket.AF_INET, _kind, ("127.0.0.1", 0))
    connect(_name, socket.AF_INET6, _kind, ("::1", 0))

CHILD = os.fork()
if not CHILD:
    for _, _, _, server in MADE:
        server.send(server.recv(100) + b", answered")
    os._exit(0)
print("pids", os.getpid(), CHILD)
say_peers()
for number, (_, _, client, _) in enumerate(MADE):
    client.send(b"x" * (number + 1))
    assert len(client.recv(100)) == number + 1 + len(", answered")
os.waitpid(CHILD, 0)
