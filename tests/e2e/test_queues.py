#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Message queues and eventfds: the programs say who moved what to whom over which, and so must their traces."""
import collections

from harness import Trace, by_source, main, program, shorten, test

NAMES = ("types", "edges", "priorities", "waiting", "eventfds", "passed", "threads", "selection", "removed", "notified")
MECHANISMS = "('sysv_msg', 'posix_mq', 'eventfd')"


def said(out):
    """What the program printed: its edges, the channels with their names, errors, and some calls."""
    edges, channels, failed, calls = collections.Counter(), [], [], {}
    for line in out.decode().splitlines():
        kind, *words = line.split(" ", 2 if line.startswith("channel") else -1)
        if kind == "edge":
            mechanism, src, dst, messages, moved = words
            edges[mechanism, int(src), int(dst)] = int(messages), int(moved)
        elif kind == "failed":
            failed.append(int(words[0]))
        elif kind == "call":
            calls[words[0]] = int(words[1])
        else:
            channels.append((words[0], words[1] if len(words) > 1 else ""))
    return edges, sorted(channels), sorted(failed), calls


def compare(trace, out):
    edges, channels, failed, calls = said(out)
    assert channels
    found = trace.rows("SELECT mechanism, src_pid, dst_pid, sum(messages), sum(bytes), min(exact) FROM edges "
                       f"WHERE mechanism IN {MECHANISMS} GROUP BY 1, 2, 3")
    assert {tuple(row[:3]): tuple(row[3:]) for row in found} == \
        {key: (*moved, 1) for key, moved in edges.items()}, found
    rows = trace.rows(f"SELECT key, coalesce(name, '') FROM channels WHERE mechanism IN {MECHANISMS}")
    assert sorted(map(tuple, rows)) == channels, rows
    if failed:
        assert failed == sorted(row[0] for row in trace.rows(
            f"SELECT errno FROM events WHERE mechanism IN {MECHANISMS} AND errno > 0")), failed
    for call, number in calls.items():
        assert trace.one("SELECT count(*) FROM events WHERE call = ? AND channel_id IS NOT NULL", call) == number, call
    trace.check_sound()


@by_source
def who_moved_what_to_whom(s, source):
    for name in NAMES:
        result, trace = s.record([program("queues.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(trace, result.out)


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("queues.c"), name])
        assert result.status == 0, (name, shorten(result))
        compare(Trace(path), result.out)
        compare(Trace(path.replace(".db", ".bpf.db")), result.out)


main()
