#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Timerfds, inotify instances and pidfds: the programs say what woke them, and so must their traces."""
import collections

import truth
from harness import by_source, main, program, shorten

NAMES = ("interval", "nonblocking", "interrupted", "watch", "ended", "killed", "several", "cloned", "received")
OURS = "('timerfd', 'inotify', 'pidfd')"
KERNEL = "CASE WHEN src_comm = 'kernel' AND src_pid IS NULL THEN 0 ELSE src_pid END"


def said(out, word):
    return [line.split(" ", 2)[1:] for line in out.decode().splitlines() if line.startswith(word + " ")]


def compare(name, trace, out):
    edges = collections.Counter()
    for mechanism, rest in said(out, "edge"):
        src, dst, messages, moved = map(int, rest.split())
        edges[mechanism, src, dst, "messages"] += messages
        edges[mechanism, src, dst, "bytes"] += moved
    found = {}
    for mechanism, src, dst, messages, moved, exact in trace.rows(
            f"SELECT mechanism, {KERNEL}, dst_pid, sum(messages), sum(bytes), min(exact) FROM edges "
            f"WHERE mechanism IN {OURS} GROUP BY 1, 2, 3"):
        assert exact, (name, mechanism, src, dst)
        found[mechanism, src, dst, "messages"] = messages
        found[mechanism, src, dst, "bytes"] = moved
    assert found == dict(edges), (name, found, edges)
    received = dict(trace.rows(f"""SELECT p.pid, sum(receives) FROM endpoints n JOIN channels c ON c.id = n.channel_id
                               JOIN processes p ON p.id = n.process_id WHERE mechanism IN {OURS}
                               GROUP BY 1 HAVING sum(receives)"""))
    wanted = collections.Counter()
    for (_, _, dst, what), number in edges.items():
        wanted[dst] += number if what == "messages" else 0
    assert received == dict(wanted), (name, received, wanted)
    failed = sorted((mechanism, int(error)) for mechanism, error in said(out, "failed"))
    assert failed == sorted(trace.rows(
        f"SELECT mechanism, errno FROM events WHERE mechanism IN {OURS} AND errno > 0")), name
    names = sorted(channel for _, channel in said(out, "name"))
    if names:
        assert names == sorted(channel or "-" for channel, in trace.rows(
            "SELECT name FROM channels WHERE mechanism = 'inotify'")), (name, names)
    trace.check_sound()


@by_source
def what_woke_whom(s, source):
    for name in NAMES:
        result, trace = s.record([program("wakes.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, trace, result.out)
        assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")
        assert not trace.one("SELECT count(*) FROM channels WHERE partial"), name


@by_source
def strace_counts_the_same(s, source):
    for name in ("interval", "nonblocking", "watch"):
        log = s.path("strace.log")
        result, trace = s.record(["strace", "-f", "-y", "-o", log, "-e", "trace=read,readv", program("wakes.c"), name],
                                 source)
        assert result.status == 0, (name, shorten(result))
        reads, moved, errors = collections.Counter(), collections.Counter(), collections.Counter()
        for pid, _, rest, number in truth.finished(log):
            kind = "timerfd" if "anon_inode:[timerfd]" in rest else "inotify" if "anon_inode:inotify" in rest else None
            if kind and number > 0:
                reads[kind, pid] += 1
                moved[kind, pid] += number if kind == "inotify" else 0
            errors[kind] += bool(kind and number < 0)
        rows = {row[:2]: row[2:] for row in trace.rows(f"""SELECT mechanism, pid, sum(receives), sum(n.bytes_received)
            FROM endpoints n JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
            WHERE mechanism IN {OURS} GROUP BY 1, 2""")}
        assert rows == {key: (n, moved[key]) for key, n in reads.items()}, (name, rows, reads, moved)
        assert +errors == collections.Counter(dict(trace.rows(f"""SELECT mechanism, count(*) FROM events
            WHERE mechanism IN {OURS} AND errno > 0 AND call IN ('read', 'readv') GROUP BY 1"""))), name


@by_source
def ends_of_children_that_nobody_asks_about(s, source):
    result, trace = s.record([program("waits.c")], source)
    assert result.status == 0, shorten(result)
    told = sorted(int(line.split()[0]) for line in result.out.splitlines())
    found = trace.rows("SELECT src_pid FROM edges WHERE mechanism = 'process' AND src_pid != "
                       "(SELECT pid FROM processes ORDER BY start_ns LIMIT 1) ORDER BY 1")
    assert [pid for pid, in found] == told, (told, found)
    assert trace.one("SELECT count(*) FROM processes WHERE exit_status IS NULL") == 0
    trace.check_sound()


@by_source
def a_timer_that_others_have_too(s, source):
    result, trace = s.record([program("wakes.c"), "shared"], source)
    assert result.status == 0, shorten(result)
    compare("shared", trace, result.out)
    rows = trace.rows("SELECT partial, count(*) FROM channels WHERE mechanism = 'timerfd' GROUP BY 1 ORDER BY 1")
    assert rows == ([(0, 2), (1, 2)] if source == "shim" else [(0, 2)]), rows  # in the kernel it is the same one


main()
