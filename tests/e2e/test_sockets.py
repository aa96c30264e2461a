# SPDX-License-Identifier: BSD-2-Clause
"""Sockets of every kind, by small programs, with both sources: the programs behave as before, strace saw the same calls
and bytes, ss(8) the same peers, and the edges are those that the programs are known to make."""
import os
import random
import re
import socket
import subprocess
import time

from harness import IS_ROOT, Skip, Trace, by_source, free_port, main, needs, program, script, shorten, test

PYTHON = "/usr/bin/python3"

# Servers in Python: three clients, ten requests and replies each.

def servers(s, source, how):
    for mechanism, address in (("unix_stream", s.path("server.sock")), ("unix_stream", f"@{os.path.basename(s.dir)}"),
                               ("tcp", f"127.0.0.1:{free_port()}"), ("tcp", f"::1:{free_port()}")):
        trace = s.exact([PYTHON, script("servers.py"), how, address], source)
        sizes = sum(len(f"client 0 request {i} \n") + 97 * i for i in range(10))
        found = {pair: moved for pair, (_, moved) in trace.talk(mechanism).items()}
        if how == "fork":  # any of the server's children may have served this client
            assert len(found) == 6 and set(found.values()) == {sizes}, found
        else:
            assert found == {pair: sizes for client in (1, 2, 3) for pair in ((0, client), (client, 0))}, found
        name = address if address[0] in "/@" else address.replace("::1:", "[::1]:")
        assert trace.names(mechanism) == {name}, trace.names(mechanism)
        assert trace.roles(mechanism) == {"client": 3, "server": 3}, trace.roles(mechanism)
        trace.check_inside()


@by_source
def a_server_with_threads(s, source):
    servers(s, source, "threads")


@by_source
def a_server_that_forks(s, source):
    servers(s, source, "fork")


@by_source
def a_server_with_asyncio(s, source):
    servers(s, source, "asyncio")


# multiprocessing

@by_source
def multiprocessing_pipe(s, source):
    trace = s.exact([PYTHON, script("multi.py"), "pipe"], source)
    assert set(trace.talk("unix_stream")) == {(0, 1), (1, 0)}, trace.talk("unix_stream")
    assert set(trace.roles("unix_stream")) == {"peer"}, trace.roles("unix_stream")
    trace.check_inside()


@by_source
def multiprocessing_queue(s, source):
    s.exact([PYTHON, script("multi.py"), "queue"], source)  # its queues are pipes, its locks shared memory


@by_source
def multiprocessing_manager(s, source):
    trace = s.exact([PYTHON, script("multi.py"), "manager"], source)
    assert {(0, 1), (2, 1), (3, 1), (1, 2), (1, 3)} <= set(trace.talk("unix_stream")), trace.talk("unix_stream")
    trace.check_inside()


@by_source
def a_descriptor_passed_by_multiprocessing(s, source):
    trace = s.exact([PYTHON, script("multi.py"), "handle"], source)
    words = sum(len(f"word {i}") for i in range(10))
    assert trace.talk("unix_stream")[1, 0][1] >= words and trace.talk("unix_stream")[0, 1][1] >= words
    assert trace.one("SELECT count(*) FROM events WHERE call = 'recvmsg:fd' AND channel_id IS NOT NULL") == 1
    trace.check_inside()


@by_source
def an_accepted_connection_that_is_passed_on(s, source):
    trace = s.exact([PYTHON, script("multi.py"), "rights"], source)
    assert trace.talk("tcp") == {(2, 1): (20, 210)}, trace.talk("tcp")
    assert trace.talk("unix_stream") == {(0, 1): (1, 4)}, trace.talk("unix_stream")
    passed = trace.rows("SELECT mechanism, count(*) FROM events WHERE call = 'recvmsg:fd' GROUP BY 1 ORDER BY 1")
    assert passed == [("pipe", 1), ("tcp", 1)], passed
    trace.check_inside()


# Flags and states

def flags(s, source, name, exact=True, **edges):
    """Runs flags.py NAME; edges: mechanism -> what talk() must find."""
    trace = s.exact([PYTHON, script("flags.py"), name], source)
    for mechanism, wanted in edges.items():
        assert trace.talk(mechanism) == wanted, f"{mechanism}: {trace.talk(mechanism)}"
    trace.check_inside(exact)
    return trace


@by_source
def peeking_moves_nothing(s, source):
    trace = flags(s, source, "peek", unix_stream={(0, 1): (1, 12)})
    assert trace.one("SELECT count(*) FROM events WHERE flags & 16 AND bytes = 0") == 2


@by_source
def datagrams_cut_to_the_buffer(s, source):
    # Four sends of 10 bytes, of which the receivers get 4, 4, 4 and 10.
    trace = s.exact([PYTHON, script("flags.py"), "trunc"], source)
    for mechanism in ("unix_dgram", "unix_seqpacket"):
        assert trace.totals(mechanism) == (4, 40, 4, 22), trace.totals(mechanism)
        assert list(trace.talk(mechanism).values()) == [(4, 22)], trace.talk(mechanism)
        assert trace.one("SELECT count(*) FROM events WHERE flags & 8 AND mechanism = ?", mechanism) >= 1
    assert trace.talk("tcp") == {(0, 3): (1, 10)}, trace.talk("tcp")
    trace.check_inside()


@by_source
def waiting_for_all(s, source):
    flags(s, source, "waitall", unix_stream={(0, 1): (10, 1000)}, tcp={(0, 2): (10, 1000)})


@by_source
def urgent_data(s, source):
    trace = s.exact([PYTHON, script("flags.py"), "oob"], source)
    found = {pair: moved for pair, (_, moved) in trace.talk("tcp").items()}
    assert found[1, 0] == 2 and found[0, 1] in (11, 12), found  # the urgent byte itself need not be a message
    assert trace.rows("SELECT sum(bytes_sent), sum(bytes_received) FROM channels WHERE mechanism = 'tcp'") == [(14, 14)]


@by_source
def shut_down_on_one_side(s, source):
    trace = flags(s, source, "shut", unix_stream={(0, 1): (1, 8), (1, 0): (1, 6)}, tcp={(0, 2): (1, 8), (2, 0): (1, 6)},
                  unix_seqpacket={(0, 3): (1, 8), (3, 0): (1, 6)})
    assert trace.one("SELECT count(*) FROM events WHERE call = 'shutdown' AND channel_id IS NOT NULL") == 3
    assert trace.one("SELECT count(*) FROM events WHERE errno = 32") == 3


@by_source
def messages_of_no_bytes(s, source):
    flags(s, source, "empty", unix_dgram={(0, 1): (5, 6)}, unix_seqpacket={(0, 2): (5, 6)})


@by_source
def connecting_without_waiting(s, source):
    trace = flags(s, source, "nonblocking", tcp={(1, 0): (1, 5), (0, 1): (1, 5)})
    errors = trace.rows("SELECT errno, count(*) FROM events WHERE call = 'connect' AND mechanism = 'tcp'"
                        " GROUP BY 1 ORDER BY 1")
    assert errors == [(111, 1), (115, 1)], errors


@by_source
def clients_gone_before_the_accept(s, source):
    wanted = {(1 + i, 0): (1, 6 * (i + 1)) for i in range(3)}
    flags(s, source, "gone", tcp=wanted, unix_stream={(src + 3, dst): moved for (src, dst), moved in wanted.items()})


@by_source
def a_port_used_again(s, source):
    wanted = {(0, i + 1): (1, 1) for i in range(5)} | {(i + 1, 0): (1, i + 1) for i in range(5)}
    trace = flags(s, source, "reuse", tcp=wanted)
    keys = trace.rows("SELECT key, count(*) FROM channels WHERE mechanism = 'tcp' AND bytes_sent > 0 GROUP BY 1")
    assert len(keys) == 1 and keys[0][1] == 5, keys


@by_source
def ipv4_mapped_addresses(s, source):
    sizes = [len("to " + host) for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1")]
    trace = flags(s, source, "mapped", tcp={(i + 1, 0): (1, size) for i, size in enumerate(sizes)}
                  | {(0, i + 1): (1, 2) for i in range(3)})
    keys = sorted(re.sub(r":\d+(?=-|$)", "", key.split(":", 2)[2]) for key, in trace.rows(
        "SELECT key FROM channels WHERE mechanism = 'tcp' AND bytes_sent > 0"))
    assert keys == ["127.0.0.1-127.0.0.1"] * 2 + ["[::1]-[::1]"], keys


@by_source
def unix_datagrams(s, source):
    size = len("client 0 says 0") * 10
    wanted = {(i, 0): (10, size) for i in (1, 2, 3)} | {(0, i): (10, size) for i in (2, 3)}
    flags(s, source, "datagrams", exact=False, unix_dgram=wanted)  # three senders at a time


@by_source
def names_of_unix_sockets(s, source):
    trace = flags(s, source, "autobound", unix_stream={(1, 0): (1, 5), (0, 1): (1, 5), (2, 0): (1, 5), (0, 2): (1, 5)})
    found = trace.names("unix_stream")
    assert s.path("a näme") in found and any(re.fullmatch("@[0-9a-f]{5}", name) for name in found), found


@by_source
def sendfile_and_splice(s, source):
    size = os.path.getsize("/usr/share/common-licenses/GPL-3")
    sends = -(-size // 5000)
    flags(s, source, "spliced", unix_stream={(0, 1): (sends, size)}, tcp={(0, 2): (sends, size)})


@by_source
def vectors_of_buffers(s, source):
    flags(s, source, "vectors", unix_stream={(0, 1): (3, 23)}, tcp={(0, 2): (3, 23)})


@by_source
def waits_and_what_ended_them(s, source):
    trace = flags(s, source, "waiting", unix_stream={(1, 0): (3, 3), (0, 1): (3, 3)})
    passed = trace.one("SELECT channel_id FROM endpoints n JOIN channels c ON c.id = n.channel_id"
                       " WHERE mechanism = 'unix_stream' AND sends > 0")
    for call in ("poll", "select", "epoll_wait"):
        calls = (call, {"select": "pselect6", "epoll_wait": "epoll_pwait"}.get(call, "ppoll"))
        found = trace.rows("SELECT channel_id, verb FROM events WHERE call IN (?, ?) AND comm LIKE 'python3%' AND pid ="
                           " (SELECT min(src_pid) FROM edges WHERE mechanism = 'unix_stream') ORDER BY ts_ns", *calls)
        assert found == [(passed, "wait"), (None, "wait")], f"{call}: {found}, channel {passed}"


@by_source
def many_messages_in_one_call(s, source):
    trace = s.exact([program("mmsg.c")], source)
    size = sum(10 * i + 20 * i for i in range(8))
    for mechanism in ("unix_dgram", "unix_seqpacket", "udp"):
        assert trace.edge("mmsg", "mmsg", mechanism) == (16, size), trace.edge("mmsg", "mmsg", mechanism)
    assert trace.edge("mmsg", "mmsg", "tcp") == (5, 1000000), trace.edge("mmsg", "mmsg", "tcp")
    assert trace.one("SELECT count(*) FROM events WHERE call = 'sendmmsg' AND part") == 3 * 14
    trace.check_inside()


# Who is at the other end

@by_source
def peers_are_those_that_the_kernel_names(s, source):
    needs("ss")
    result, trace = s.record([PYTHON, script("peers.py")], source)
    assert result.status == 0, shorten(result)
    trace.check_sound()
    pids, *lines = result.out.decode().splitlines()
    ends = trace.ends()
    for i, line in enumerate(lines):
        mechanism, own, other = line.split()
        if mechanism.startswith("unix"):
            channel = "unix:[" + "]-[".join(sorted((own, other), key=int)) + "]"
            assert ends.get(f"unix:[{own}]") == channel, f"{own} should be an end of {channel}: {ends}"
        else:
            keys = [f"{mechanism}:{one}-{two}" for one, two in ((own, other), (other, own))]
            channel = [key for key, in trace.rows("SELECT key FROM channels WHERE mechanism = ?", mechanism)
                       if re.sub(r":\d+:", ":", key, count=1) in keys]
            assert len(channel) == 1, f"{keys}: {channel}"
            channel = channel[0] if mechanism == "udp" else keys[keys[0] not in ends.values()]
        parent, child = map(int, pids.split()[1:])
        moved = {key[:2]: value for key, value in trace.edges(mechanism).items()
                 if Trace.channel("" if mechanism == "udp" else mechanism, key[2], None) == channel}
        size = i // 2 + 1
        assert moved == {(parent, child): (1, size), (child, parent): (1, size + 10)}, f"{line}: {moved}"
    trace.check_inside()


SERVE = """import os, socket
family, kind, name = %r
with socket.socket(getattr(socket, family), getattr(socket, kind)) as sock:
    sock.bind(name)
    if kind == "SOCK_STREAM":
        sock.listen()
        sock, _ = sock.accept()
    for i in range(10):
        words, address = sock.recvfrom(100)
        sock.sendto(words.upper(), address) if address else sock.sendall(words.upper())
"""
ASK = """import socket, time
family, kind, name = %r
for i in range(500):
    try:
        with socket.socket(getattr(socket, family), getattr(socket, kind)) as sock:
            sock.connect(name)
            for i in range(10):
                sock.sendall(b"hello")
                assert sock.recv(100) == b"HELLO"
        break
    except OSError:
        time.sleep(0.02)
"""


def one_outside(s, source, inside, outside, mechanism, at):
    """One of two processes is in the recording. Returns what is known of the other: (pid, comm, coverage)."""
    with subprocess.Popen(s.prefix + [PYTHON, "-c", outside % (at,)], cwd=s.dir) as other:
        try:
            if outside == SERVE:
                time.sleep(0.3)  # a datagram to nobody would be an event too
            result, trace = s.record([PYTHON, "-c", inside % (at,)], source)
            other.wait(10)
        finally:
            other.kill()
    assert result == (0, b"", b""), shorten(result)
    trace.check_sound()
    found = trace.outsiders()
    assert len(found) == 1 and found[0][0] in (other.pid, None), f"{found}, its pid is {other.pid}"
    edges = trace.rows("SELECT src_comm, dst_comm, messages, bytes FROM edges WHERE mechanism = ?", mechanism)
    comm = found[0][1]
    assert sorted(edges) == sorted([("python3", comm, 10, 50), (comm, "python3", 10, 50)]), edges
    return found[0]


@by_source
def a_server_outside_the_trace(s, source):
    path, port = s.path("outside.sock"), free_port()
    other = one_outside(s, source, ASK, SERVE, "unix_stream", ("AF_UNIX", "SOCK_STREAM", path))
    assert other[1:] == ("python3", "untraced") and other[0], other
    for mechanism, kind in (("tcp", "SOCK_STREAM"), ("udp", "SOCK_DGRAM")):
        other = one_outside(s, source, ASK, SERVE, mechanism, ("AF_INET", kind, ("127.0.0.1", port)))
        assert other[1] in ("python3", f"127.0.0.1:{port}") and other[2] == "untraced", other


@by_source
def a_client_outside_the_trace(s, source):
    path, port = s.path("outside.sock"), free_port()
    other = one_outside(s, source, SERVE, ASK, "unix_stream", ("AF_UNIX", "SOCK_STREAM", path))
    assert other[1:] == ("python3", "untraced") and other[0], other
    other = one_outside(s, source, SERVE, ASK, "tcp", ("AF_INET", "SOCK_STREAM", ("127.0.0.1", port)))
    assert other[1] in ("python3", "127.0.0.1") and other[2] == "untraced", other  # a client's port says nothing


# Killed in the middle

def killed(s, source, mechanism, address):
    chance = random.Random(mechanism)
    for _ in range(4):
        command = [PYTHON, script("traffic.py"), address, str(chance.randrange(50, 200)),
                   chance.choice(("client", "server"))]
        result, trace = s.record(command, source)
        assert result.status == 0, shorten(result)
        trace.check_sound()
        survivor, sent, received = result.out.split()
        pid = int(survivor)
        found = trace.rows(f"""SELECT sum(n.bytes_sent), sum(n.bytes_received) FROM endpoints n JOIN processes p
                           ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
                           WHERE p.pid = ? AND c.mechanism = '{mechanism}'""", pid)
        assert found == [(int(sent), int(received))], f"{command[2:]}: {result.out} {found}"
        # What the survivor got came from the other one; what that one got, from the survivor.
        edges = {(src == pid, dst == pid): moved for (src, dst, _), (_, moved) in trace.edges(mechanism).items()}
        assert edges.get((False, True), 0) == int(received) and edges.get((True, False), 0) <= int(sent), (edges, result.out)


@by_source
def killed_in_the_middle_unix(s, source):
    killed(s, source, "unix_stream", s.path("killed.sock"))


@by_source
def killed_in_the_middle_tcp(s, source):
    killed(s, source, "tcp", f"127.0.0.1:{free_port()}")


# Both sources in one run

@test(users=("root",))
def both_sources_agree(s):
    if not IS_ROOT:
        raise Skip("not root")
    programs = [[PYTHON, script("servers.py"), how, address] for how in ("threads", "fork", "asyncio")
                for address in (s.path("both.sock"), f"127.0.0.1:{free_port()}")]
    programs += [[PYTHON, script("multi.py"), name] for name in ("pipe", "manager", "handle", "rights")]
    programs += [[PYTHON, script("flags.py"), name] for name in (
        "peek", "trunc", "waitall", "oob", "shut", "empty", "nonblocking", "gone", "reuse", "mapped", "datagrams",
        "autobound", "spliced", "vectors")]
    programs += [[PYTHON, script("udp.py"), name] for name in (
        "connected", "unconnected", "ipv6", "mapped", "empty", "multicast", "reuseport", "overflow")]
    programs += [[program("mmsg.c")]]
    differ = []
    for command in programs:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", *command])
        if result.status:
            differ.append(f"{' '.join(command[1:] or command)}: {shorten(result)}")
    assert not differ, "\n".join(differ)


main()
