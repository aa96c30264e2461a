#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Pseudo-terminals: the programs say who did what, and so must their traces."""
from harness import main, program, shorten, test

NAMES = ("raw", "named", "cooked", "echo", "later", "flushed", "again", "spawned", "tty", "several", "killed", "packet",
         "threads", "failing")


def numbers(out, word):
    return sorted(tuple(map(int, line.split()[1:])) for line in out.decode().splitlines() if line.split()[0] == word)


def compare(name, trace, out):
    ends = trace.rows("SELECT pid, sum(sends), sum(receives), sum(n.bytes_sent), sum(n.bytes_received) FROM endpoints n "
                      "JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id "
                      "WHERE c.mechanism = 'pty' GROUP BY pid HAVING sum(sends) + sum(receives) > 0")
    assert sorted(map(tuple, ends)) == numbers(out, "end"), (name, ends, out)
    edges = sorted(map(tuple, trace.rows("SELECT src_pid, dst_pid, messages, bytes, exact FROM edges "
                                         "WHERE mechanism = 'pty'")))
    wanted = numbers(out, "edge")
    # Of what is edited the number of messages is no fact: the reader's and the writer's calls differ.
    told = sorted((s, d, m if (s, d, -1, b, x) not in wanted else -1, b, x) for s, d, m, b, x in edges)
    assert told == wanted, (name, edges, wanted)
    index = numbers(out, "index")[0][0]
    used = trace.rows("SELECT key, name FROM channels c WHERE mechanism = 'pty' AND bytes_sent + bytes_received > 0")
    count = (numbers(out, "channels") or [(1,)])[0][0]
    assert [tuple(row) for row in used] == [(f"pty:pts/{index}", f"/dev/pts/{index}")] * count, (name, used)
    lost = trace.rows("SELECT * FROM losses WHERE reason <> 'killed'")
    assert not lost, (name, lost)
    trace.check_sound()


@test
def who_talked_to_whom(s):
    for name in NAMES:
        result, trace = s.record([program("ptys.c", "-lutil"), name], "shim")
        assert result.status == 0, (name, shorten(result))
        compare(name, trace, result.out)


main()
