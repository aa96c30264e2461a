# SPDX-License-Identifier: BSD-2-Clause
"""Netlink: strace's calls and bytes, and the kernel at the other side; and of sockets without a mechanism of their own,
that both sources agree."""
import re
import shutil

from harness import Trace, by_source, main, program, shorten, test

CALLS = "sendto,sendmsg,recvfrom,recvmsg,read,write,readv,writev"
MOVED = """SELECT sum({calls}), sum({bytes})
        FROM endpoints n JOIN channels c ON c.id = n.channel_id JOIN processes p ON p.id = n.process_id
        WHERE c.mechanism = 'netlink' AND p.comm != 'strace'"""  # which asks sock_diag for names


def commands():
    """Of the programs that talk netlink those that are here."""
    for command in (["ip", "addr"], ["ip", "route"], ["ss", "-tan"], ["ss", "-xa"]):
        if shutil.which(command[0]):
            yield command
    yield [program("netlink.c")]


def by_strace(path):
    """{'send' or 'recv': [calls, bytes]}"""
    moved = {}
    with open(path, encoding="latin-1") as lines:
        for line in lines:
            match = re.match(r"\d+ +(\w+)\(\d+<NETLINK:.*\) = (\d+)$", line.rstrip())
            if not match or "MSG_PEEK" in line:
                continue
            way = "recv" if match[1].startswith("re") else "send"
            total = moved.setdefault(way, [0, 0])
            total[0] += 1
            total[1] += int(match[2])
    return moved


def by_trace(trace):
    ways = ("send", "sends", "n.bytes_sent"), ("recv", "receives", "n.bytes_received")
    return {way: list(trace.rows(MOVED.format(calls=calls, bytes=size))[0]) for way, calls, size in ways}


@by_source
def strace_saw_the_same(s, source):
    for command in commands():
        log = s.path("strace.log")
        result, trace = s.record(["strace", "-f", "-yy", "-s", "0", "-o", log, "-e", f"trace={CALLS}", *command], source)
        assert result.status == 0, (command, shorten(result))
        trace.check_sound()
        truth = by_strace(log)
        assert truth and by_trace(trace) == truth, (command, truth, by_trace(trace))


@by_source
def the_kernel_is_at_the_other_side(s, source):
    result, trace = s.record([program("netlink.c")], source)
    assert result.status == 0, shorten(result)
    assert trace.rows("SELECT comm, pid, coverage FROM processes WHERE coverage != 'full'") == [("kernel", None, "untraced")]
    sent, received = (trace.one(f"SELECT {side} FROM edges e JOIN processes p ON p.id = e.{end} WHERE comm = 'kernel'")
                      for side, end in (("sum(bytes)", "dst_id"), ("sum(bytes)", "src_id")))
    assert sent == trace.one("SELECT bytes_sent FROM channels WHERE name = 'netlink route'"), sent
    assert received == trace.one("SELECT bytes_received FROM channels WHERE name = 'netlink route'"), received


@test(users=("root",))
def both_sources_agree(s):
    work = [s.ipctrace, "reference"]
    for command in (*commands(), [*work, "netlink"], [*work, "socket_other"],
                    [*work, "unix_stream", "--producers", "5"]):  # for that the shim asks sock_diag
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", *command])
        assert result.status == 0, (command, shorten(result))
        Trace(path).check_sound()


main()
