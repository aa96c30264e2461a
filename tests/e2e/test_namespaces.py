# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces: the two ends of a connection are seen from different networks."""
import os
import subprocess

from harness import Skip, by_source, main, needs, run, shorten

PYTHON = "/usr/bin/python3"


def record(s, source, shell):
    result, trace = s.record(["sh", "-c", shell], source)
    assert result.status == 0, shorten(result)
    trace.check_sound()
    return trace


SERVER = """import socket
with socket.create_server(("10.99.0.1", 5000)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("10.99.0.1", 5000))
    sock, _ = tcp.accept()
    for i in range(100):
        sock.sendall(sock.recv(100))
        words, address = udp.recvfrom(100)
        udp.sendto(words, address)
"""
CLIENT = """import socket, time
for i in range(500):
    try:
        tcp = socket.create_connection(("10.99.0.1", 5000))
        break
    except OSError:
        time.sleep(0.02)
with tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    for i in range(100):
        tcp.sendall(b"x" * 10)
        assert len(tcp.recv(100)) == 10
        udp.sendto(b"y" * (i + 1), ("10.99.0.1", 5000))
        assert len(udp.recv(100)) == i + 1
"""


class Namespaces:
    """Two network namespaces joined by a veth pair, 10.99.0.1 and 10.99.0.2, removed at the end."""

    def __init__(self, s, source):
        if s.user != "root":
            raise Skip("needs root")
        self.ip, = needs("ip")
        self.names = [f"ipct-{os.getpid()}-{source}-{end}" for end in "ab"]

    def __enter__(self):
        one, two = self.names
        for command in (f"netns add {one}", f"netns add {two}",
                        f"-n {one} link add veth0 type veth peer name veth0 netns {two}",
                        f"-n {one} addr add 10.99.0.1/24 dev veth0", f"-n {two} addr add 10.99.0.2/24 dev veth0",
                        f"-n {one} link set veth0 up", f"-n {two} link set veth0 up"):
            result = run([self.ip, *command.split()])
            if result.status:
                self.__exit__()
                raise Skip(f"ip {command}: {result.err.decode().strip()}")
        return [f"{self.ip} netns exec {name} {PYTHON}" for name in self.names]

    def __exit__(self, *_):
        for name in self.names:
            run([self.ip, "netns", "del", name])


def programs(s):
    for name, text in (("server.py", SERVER), ("client.py", CLIENT)):
        with open(s.path(name), "w", encoding="ascii") as file:
            file.write(text)
    return s.path("server.py"), s.path("client.py")


@by_source
def two_network_namespaces(s, source):
    server, client = programs(s)
    with Namespaces(s, source) as (one, two):
        trace = record(s, source, f"{one} {server} & server=$!; {two} {client}; done=$?; wait $server && exit $done")
    for mechanism, size in (("tcp", 1000), ("udp", 5050)):
        edges = trace.rows("SELECT src_pid, dst_pid, channel_id, messages, bytes FROM edges WHERE mechanism = ?",
                           mechanism)
        assert len(edges) == 2 and edges[0][:2] == edges[1][1::-1] and edges[0][0] != edges[0][1], edges
        assert [edge[3:] for edge in edges] == [(100, size)] * 2, edges
        if mechanism == "tcp":
            assert edges[0][2] == edges[1][2], edges


@by_source
def a_server_at_another_address(s, source):
    """A server in another network namespace, outside of the recording, is as far away as one on another host."""
    server, client = programs(s)
    with Namespaces(s, source) as (one, two):
        with subprocess.Popen([*one.split(), server]) as other:
            try:
                trace = record(s, source, f"{two} {client}")
                other.wait(10)
            finally:
                other.kill()
    for mechanism, size in (("tcp", 1000), ("udp", 5050)):
        edges = trace.rows("SELECT src_comm, dst_comm, messages, bytes FROM edges WHERE mechanism = ? ORDER BY 1",
                           mechanism)
        assert edges == [("10.99.0.1:5000", "python3", 100, size), ("python3", "10.99.0.1:5000", 100, size)], edges
    far = trace.rows("SELECT DISTINCT pid, coverage FROM processes WHERE comm = '10.99.0.1:5000'")
    assert far == [(None, "remote")], far


main()
