#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""process_vm: a program reads and writes other processes' memory and says how much; so must its trace."""
import collections
import subprocess

from harness import Trace, by_source, main, needs, program, shorten, test


def said(out):
    """{(from, to, 0: calls or 1: bytes): number}, and {errno: number}"""
    truth, failed = collections.Counter(), collections.Counter()
    for line in out.decode().splitlines():
        word, *numbers = line.split()
        if word == "failed":
            failed[int(numbers[0])] += 1
        else:
            src, dst, calls, moved = map(int, numbers)
            truth[src, dst, 0] += calls
            truth[src, dst, 1] += moved
    return truth, failed


def compare(trace, out):
    truth, failed = said(out)
    edges = {tuple(row[:2]): tuple(row[2:]) for row in trace.rows(
        "SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact), max(partial) FROM edges "
        "WHERE mechanism = 'process_vm' GROUP BY 1, 2")}
    assert edges == {key[:2]: (truth[(*key[:2], 0)], truth[(*key[:2], 1)], 1, 0) for key in truth}, (truth, edges)
    ours = trace.rows("SELECT errno, count(*) FROM events WHERE mechanism = 'process_vm' AND errno > 0 GROUP BY 1")
    assert dict(ours) == failed, (failed, ours)
    rows = trace.rows("SELECT p.pid, sum(receives), sum(sends), sum(n.bytes_received), sum(n.bytes_sent) FROM endpoints n "
                      "JOIN channels c ON c.id = channel_id JOIN processes p ON p.id = process_id "
                      "WHERE mechanism = 'process_vm' GROUP BY 1")
    caller = trace.one("SELECT pid FROM processes WHERE comm = 'process_vm' ORDER BY start_ns LIMIT 1")
    for pid, *sums in rows:
        wanted = [sum(n for key, n in truth.items() if key[1 - end] == pid == caller and key[2] == what)
                  for what in (0, 1) for end in (0, 1)]
        assert sums == wanted, (pid, sums, wanted)
    trace.check_sound()


@by_source
def who_moved_how_much(s, source):
    command = [program("process_vm.c"), "0"]
    result, trace = s.record(command, source)
    assert result.status == 0, shorten(result)
    compare(trace, result.out)


@test(users=("root",))
def a_target_outside_of_the_trace(s):
    for source in ("shim", "bpf"):
        with subprocess.Popen(["sleep", "60"]) as outside:
            result, trace = s.record([program("process_vm.c"), str(outside.pid)], source)
            outside.terminate()
            assert result.status == 0, shorten(result)
            compare(trace, result.out)
            rows = trace.rows("SELECT comm, coverage FROM processes WHERE pid = ?", outside.pid)
            assert rows == [("unknown", "untraced")], rows


@test(users=("root",))
def both_sources_agree(s):
    path = s.new_trace()
    result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("process_vm.c"), "0"])
    assert result.status == 0, shorten(result)
    for name in (path, path.replace(".db", ".bpf.db")):
        compare(Trace(name), result.out)


@test(users=("root",))
def in_a_pid_namespace(s):
    """Where the caller knows the others by other pids."""
    unshare, = needs("unshare")
    result, trace = s.record([unshare, "--pid", "--fork", program("process_vm.c"), "0"], "bpf")
    assert result.status == 0, shorten(result)
    truth, _ = said(result.out)
    edges = trace.rows("SELECT e.messages, e.bytes FROM edges e JOIN processes s ON s.id = e.src_id "
                       "JOIN processes d ON d.id = e.dst_id WHERE e.mechanism = 'process_vm' AND exact AND NOT e.partial "
                       "AND s.coverage = 'full' AND d.coverage = 'full'")
    assert sorted(edges) == sorted((truth[key], truth[(*key[:2], 1)]) for key in truth if not key[2]), (edges, truth)
    trace.check_sound()


main()
