# SPDX-License-Identifier: BSD-2-Clause
"""socat over each kind of socket: the client's words go to the server, which hands them to tr over a socket pair, and
back."""
import os
import socket

from harness import by_source, free_port, main, needs


def socat(s, source, mechanism, listen, connect, name):
    needs("socat")
    words = b"hello, " * 500
    trace = s.exact(["sh", "-c", f"socat -t 5 {listen} 'EXEC:tr a-z A-Z' & "
                     f"socat -t 5 - {connect},retry=200,interval=0.02; wait"], source, stdin=words)
    assert trace.edge("socat", "socat", mechanism)[1] == 2 * len(words), trace.edges(mechanism)
    assert trace.edge("socat", "tr", "unix_stream")[1] == trace.edge("tr", "socat", "unix_stream")[1] == len(words)
    assert name in trace.names(mechanism), trace.names(mechanism)
    found = trace.roles(mechanism)
    assert found.get("server") == found.get("client") == 1, found
    trace.check_inside()


@by_source
def socat_unix_stream(s, source):
    path = s.path("stream.sock")
    socat(s, source, "unix_stream", f"UNIX-LISTEN:{path}", f"UNIX-CONNECT:{path}", path)


@by_source
def socat_unix_abstract(s, source):
    name = f"abstract-{os.path.basename(s.dir)}"
    socat(s, source, "unix_stream", f"ABSTRACT-LISTEN:{name}", f"ABSTRACT-CONNECT:{name}", f"@{name}")


@by_source
def socat_unix_seqpacket(s, source):
    path = s.path("packets.sock")
    socat(s, source, "unix_seqpacket", f"UNIX-LISTEN:{path},type=5", f"UNIX-CONNECT:{path},type=5", path)


@by_source
def socat_tcp4(s, source):
    at = f"127.0.0.1:{free_port()}"
    socat(s, source, "tcp", f"TCP4-LISTEN:{at.split(':')[1]},bind=127.0.0.1,reuseaddr", f"TCP4:{at}", at)


@by_source
def socat_tcp6(s, source):
    port = free_port()
    socat(s, source, "tcp", f"TCP6-LISTEN:{port},bind=[::1],reuseaddr", f"TCP6:[::1]:{port}", f"[::1]:{port}")


def socat_datagram(s, source, mechanism, listen, ready, send, name):
    """The server takes one datagram and answers it."""
    needs("socat", "ss")
    trace = s.exact(["sh", "-c", f"socat {listen} 'EXEC:tr a-z A-Z' & until {ready}; do sleep 0.02; done; "
                     f"socat -t 1 - {send}; wait"], source, stdin=b"a few words")
    assert trace.edge("socat", "socat", mechanism) == (2, 22), trace.edges(mechanism)
    assert name in trace.names(mechanism), trace.names(mechanism)
    trace.check_inside()


@by_source
def socat_unix_dgram(s, source):
    path = s.path("dgram.sock")
    socat_datagram(s, source, "unix_dgram", f"UNIX-RECVFROM:{path}", f"test -S {path}",
                   f"UNIX-SENDTO:{path},bind={path}.client", path)


@by_source
def socat_udp4(s, source):
    port = free_port(socket.SOCK_DGRAM)
    socat_datagram(s, source, "udp", f"UDP4-RECVFROM:{port},bind=127.0.0.1", f"ss -Hlun | grep -q :{port}",
                   f"UDP4:127.0.0.1:{port}", f"127.0.0.1:{port}")


@by_source
def socat_udp6(s, source):
    port = free_port(socket.SOCK_DGRAM)
    socat_datagram(s, source, "udp", f"UDP6-RECVFROM:{port},bind=[::1]", f"ss -Hlun | grep -q :{port}",
                   f"UDP6-SENDTO:[::1]:{port}", f"[::1]:{port}")


main()
