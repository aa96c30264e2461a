#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Locks on files: the programs say who took them over from whom, and so must their traces."""
import collections

from harness import main, program, shorten, test

NAMES = ("crowd-f", "crowd-p", "crowd-o", "records-p", "records-o", "readers-f", "readers-p", "readers-o",
         "conversions-f", "conversions-p", "conversions-o", "ranges-p", "ranges-o", "closes", "shared_by_fork", "left",
         "execs", "failures", "fifo", "threads")


def said(out):
    """{word: {pids or errno: number}} of what the program printed."""
    found = collections.defaultdict(collections.Counter)
    for line in out.decode().splitlines():
        word, *numbers = line.split()
        if word == "failed":
            found[word][int(numbers[0])] += 1
        elif int(numbers[-1]):
            found[word][tuple(map(int, numbers[:-1]))] += int(numbers[-1])
    return found


def compare(name, trace, out):
    truth = said(out)
    edges = {tuple(row[:2]): tuple(row[2:]) for row in trace.rows(
        "SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact), max(partial) FROM edges "
        "WHERE mechanism = 'file_lock' GROUP BY 1, 2")}
    assert edges == {key: (n, 0, 1, 0) for key, n in truth["edge"].items()}, (name, truth["edge"], edges)
    for word, column in (("locks", "receives"), ("unlocks", "sends")):
        rows = trace.rows(f"""SELECT p.pid, sum({column}) FROM endpoints n JOIN channels c ON c.id = n.channel_id
                          JOIN processes p ON p.id = n.process_id WHERE mechanism = 'file_lock' GROUP BY 1""")
        found = {(pid,): n for pid, n in rows if n}
        assert found == truth[word], (name, word, truth[word], found)
        verb = word[:-1]
        rows = trace.rows(f"SELECT pid, count(*) FROM events WHERE mechanism = 'file_lock' AND verb = '{verb}' "
                          "AND errno = 0 GROUP BY 1")
        assert {(pid,): n for pid, n in rows} == truth[word], (name, word, truth[word], rows)
    failed = trace.rows("SELECT errno, count(*) FROM events WHERE mechanism = 'file_lock' AND errno > 0 GROUP BY 1")
    assert dict(failed) == truth["failed"], (name, truth["failed"], failed)
    rows = trace.rows("SELECT DISTINCT mechanism, name FROM channels WHERE name LIKE '%.lock'")
    assert ("file_lock", ) in [row[:1] for row in rows], (name, rows)
    assert not trace.one("SELECT count(*) FROM losses"), (name, trace.rows("SELECT * FROM losses"))
    trace.check_sound()


def traced(s, name):
    result, trace = s.record([program("locks.c"), name, s.dir], timeout=30)
    assert result.status == 0, (name, shorten(result))
    return result, trace


@test
def who_took_it_over_from_whom(s):
    for name in NAMES:
        result, trace = traced(s, name)
        compare(name, trace, result.out)


@test
def waits_are_shown(s):
    _, trace = traced(s, "left")
    rows = trace.rows("SELECT w.pid, p.pid, dur_ns FROM waits w JOIN processes p ON p.id = woken_by_id "
                      "WHERE w.mechanism = 'file_lock'")
    assert len(rows) == 3 and all(pid != by and dur > 15_000_000 for pid, by, dur in rows), rows


@test
def a_fifo_has_its_bytes_and_its_lock(s):
    _, trace = traced(s, "fifo")
    rows = trace.rows("SELECT mechanism, sum(messages), sum(bytes) FROM edges "
                      "WHERE mechanism IN ('fifo', 'file_lock') GROUP BY 1 ORDER BY 1")
    assert rows == [("fifo", 1, 1), ("file_lock", 1, 0)], rows


main()
