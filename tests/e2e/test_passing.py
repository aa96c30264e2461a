#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Descriptors that are passed: the programs say who gave how many to whom, and so must their traces."""
import re

from harness import Trace, by_source, main, needs, program, script, shorten, test

NAMES = ("stream", "seqpacket", "dgram", "named", "senders", "mmsg", "peeked", "truncated", "unread", "used", "taken")


def numbers(out, word):
    return sorted(tuple(map(int, line.split()[1:])) for line in out.decode().splitlines() if line.split()[0] == word)


def compare(name, trace, out):
    ends = trace.rows("SELECT pid, sum(sends), sum(receives) FROM endpoints n JOIN channels c ON c.id = n.channel_id "
                      "JOIN processes p ON p.id = n.process_id WHERE c.mechanism = 'fd_passing' GROUP BY pid "
                      "HAVING sum(sends) + sum(receives) > 0")
    assert sorted(map(tuple, ends)) == numbers(out, "end"), (name, ends, out)
    edges = trace.rows("SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact) FROM edges "
                       "WHERE mechanism = 'fd_passing' GROUP BY 1, 2")
    assert sorted(map(tuple, edges)) == [(*row, 0, 1) for row in numbers(out, "edge")], (name, edges, out)
    lost = trace.one("SELECT sum(lost) FROM channels WHERE mechanism = 'fd_passing'")
    assert lost == (numbers(out, "lost") or [(0,)])[0][0], (name, lost)
    used = re.findall(r"^used (\w+) (\d+) (\d+)$", out.decode(), re.M)
    for mechanism, src, dst in used:
        rows = trace.rows("SELECT messages, exact FROM edges WHERE mechanism = ? AND src_pid = ? AND dst_pid = ?",
                          mechanism, int(src), int(dst))
        assert rows == [(1, 1)], (name, mechanism, rows)
    pairs = "replace(replace(key, 'unix:', ''), 'fd_passing:', '')"
    stray = trace.rows(f"SELECT key FROM channels WHERE mechanism = 'fd_passing' AND key NOT LIKE '%:pid:%' AND {pairs} "
                       f"NOT IN (SELECT {pairs} FROM channels WHERE mechanism LIKE 'unix_%')")
    assert not stray, (name, stray)
    assert not trace.one("SELECT count(*) FROM losses"), (name, trace.rows("SELECT * FROM losses"))
    trace.check_sound()


@by_source
def who_passed_to_whom(s, source):
    for name in NAMES:
        result, trace = s.record([program("fds.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, trace, result.out)


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("fds.c"), name])
        assert result.status == 0, (name, shorten(result))
        compare(name, Trace(path), result.out)
        compare(name, Trace(path.replace(".db", ".bpf.db")), result.out)


def by_strace(path, processes):
    """{pid: [passed, received]}; `processes`: {tid: pid}"""
    moved, unfinished = {}, {}
    with open(path, encoding="latin-1") as lines:
        for line in lines:
            pid, _, rest = line.rstrip().partition(" ")
            if rest.endswith("<unfinished ...>"):
                unfinished[pid] = rest
                continue
            if " resumed>" in rest:
                rest = unfinished.pop(pid) + rest
            if "MSG_PEEK" in rest or not re.search(r" = [1-9]\d*$", rest):
                continue
            count = sum(len(data.split(",")) for data in re.findall(r"SCM_RIGHTS, cmsg_data=\[([^]]*)\]", rest))
            if count:
                moved.setdefault(processes[int(pid)], [0, 0])["recv" in rest] += count
    return moved


@by_source
def strace_saw_the_same(s, source):
    strace, = needs("strace")
    for command in (["/usr/bin/python3", script("handover.py")], [program("fds.c"), "named"], [program("fds.c"), "peeked"]):
        log = s.path("strace.log")
        result, trace = s.record([strace, "-f", "-s", "100", "-o", log, "-e", "trace=sendmsg,recvmsg", *command], source)
        assert result.status == 0, (command, shorten(result))
        found = {pid: row for pid, *row in trace.rows(
            "SELECT pid, sum(sends), sum(receives) FROM endpoints n JOIN channels c ON c.id = n.channel_id "
            "JOIN processes p ON p.id = n.process_id WHERE c.mechanism = 'fd_passing' GROUP BY pid")}
        truth = by_strace(log, dict(trace.rows("SELECT tid, pid FROM threads t JOIN processes p ON p.id = t.process_id")))
        assert len(truth) > 1 and found == truth, (command, truth, found)
        assert not trace.one("SELECT count(*) FROM edges WHERE mechanism = 'fd_passing' AND exact = 0"), command
        trace.check_sound()


main()
