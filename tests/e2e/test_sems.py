#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""System V semaphores: the programs say whose units who took, and so must their traces."""
from harness import Trace, by_source, main, program, shorten, test

NAMES = ("undo", "given_back", "set", "several", "removed")


def compare(name, trace, out):
    lines = [line.split(" ", 2) if line.startswith("channel") else line.split() for line in out.decode().splitlines()]
    edges = {(int(src), int(dst)): int(n) for _, src, dst, n in (line for line in lines if line[0] == "edge")}
    found = trace.rows("SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact) FROM edges "
                       "WHERE mechanism = 'sysv_sem' GROUP BY 1, 2")
    assert {tuple(row[:2]): tuple(row[2:]) for row in found} == {key: (n, 0, 1) for key, n in edges.items()}, \
        (name, edges, found)
    channels = sorted((line[1], line[2]) for line in lines if line[0] == "channel")
    rows = trace.rows("SELECT key, coalesce(name, '') FROM channels WHERE mechanism = 'sysv_sem'")
    used = sorted(map(tuple, rows))
    assert used and set(used) <= set(channels), (name, used, channels)
    failed = sorted(int(line[1]) for line in lines if line[0] == "failed")
    assert failed == sorted(row[0] for row in trace.rows(
        "SELECT errno FROM events WHERE mechanism = 'sysv_sem' AND errno > 0")), name
    assert not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")
    trace.check_sound()


@by_source
def who_took_whose_units(s, source):
    for name in NAMES:
        result, trace = s.record([program("sems.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, trace, result.out)


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("sems.c"), name])
        assert result.status == 0, (name, shorten(result))
        compare(name, Trace(path), result.out)
        compare(name, Trace(path.replace(".db", ".bpf.db")), result.out)


main()
