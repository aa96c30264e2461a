#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Futexes used directly: the programs say who woke whom, and so must their traces."""
import collections

import truth
from harness import main, program, shorten, test

NAMES = ("pingpong", "several", "requeue", "wake_op", "failing", "threads", "private", "memory", "newer")


def compare(name, trace, out):
    said = collections.Counter()
    for line in out.decode().splitlines():
        *key, number = line.split()
        said[tuple(key)] += int(number)
    edges = {(int(key[1]), int(key[2])): n for key, n in said.items() if key[0] == "edge"}
    found = trace.rows("SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact) FROM edges "
                       "WHERE mechanism = 'futex' GROUP BY 1, 2")
    assert {tuple(row[:2]): tuple(row[2:]) for row in found} == {key: (n, 0, 1) for key, n in edges.items()}, \
        (name, edges, found)
    for word, column in (("waits", "receives"), ("wakes", "sends")):
        wanted = {int(key[1]): n for key, n in said.items() if key[0] == word}
        assert ends(trace, column) == wanted, (name, word, ends(trace, column), wanted)
    assert not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")
    trace.check_sound()


def failed(out):
    return sorted(int(line.split()[1]) for line in out.decode().splitlines() if line.startswith("failed"))


def who_woke_whom(s, source):
    for name in NAMES if source == "shim" else [name for name in NAMES if name != "private"]:
        result, trace = s.record([program("futexes.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        errors = failed(result.out)
        compare(name, trace, b"\n".join(line for line in result.out.splitlines() if not line.startswith(b"failed")))
        assert errors == sorted(row[0] for row in trace.rows(
            "SELECT errno FROM events WHERE mechanism = 'futex' AND errno > 0")), (name, errors)


@test
def who_woke_whom_by_the_shim(s):
    who_woke_whom(s, "shim")


@test(users=("root",))
def who_woke_whom_by_ebpf(s):
    who_woke_whom(s, "bpf")


@test(users=("root",))
def the_kernel_sees_the_futex_in_a_mutex(s):
    """And nothing of what is private, or says that it is."""
    result, trace = s.record([program("futexes.c"), "private"], "bpf")
    assert result.status == 0, shorten(result)
    keys = trace.rows("SELECT key FROM channels WHERE mechanism = 'futex'")
    assert len(keys) == 1 and keys[0][0].endswith("+24"), keys  # struct words.mutex
    trace.check_sound()


def ends(trace, column):
    """{pid: number of its calls}"""
    return dict(trace.rows(f"""SELECT p.pid, sum({column}) FROM endpoints n JOIN processes p ON p.id = n.process_id
                           JOIN channels c ON c.id = n.channel_id WHERE mechanism = 'futex'
                           GROUP BY 1 HAVING sum({column})"""))


def strace_counts_the_same(s, source):
    for name in ("pingpong", "several", "failing", "private")[:4 if source == "shim" else 3]:
        log = s.path("strace.log")
        result, trace = s.record(["strace", "-f", "-o", log, "-e", "trace=futex", program("futexes.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        waits, wakes, errors = collections.Counter(), collections.Counter(), []
        for pid, _, rest, number in truth.finished(log):
            if "_PRIVATE" in rest or name == "private":
                continue
            waits[pid] += "FUTEX_WAIT" in rest and number == 0
            wakes[pid] += "FUTEX_WAKE" in rest and number > 0
            errors += [number] if number < 0 else []
        assert ends(trace, "receives") == +waits and ends(trace, "sends") == +wakes, (name, waits, wakes)
        interrupted = name == "failing"  # strace has no result for it
        assert len(errors) + interrupted == trace.one(
            "SELECT count(*) FROM events WHERE mechanism = 'futex' AND errno > 0"), name


@test
def strace_counts_the_same_as_the_shim(s):
    strace_counts_the_same(s, "shim")


@test(users=("root",))
def strace_counts_the_same_as_ebpf(s):
    strace_counts_the_same(s, "bpf")


def what_the_channels_are_called(s, source):
    result, trace = s.record([program("futexes.c"), "memory"], source)
    assert result.status == 0, shorten(result)
    words = trace.rows("SELECT key, name FROM channels WHERE mechanism = 'futex' ORDER BY name")
    assert len(words) == 2 and all(key.count(":") == 3 and "+" in key for key, _ in words), words
    assert any("/dev/shm/futexes-" in (name or "") for _, name in words), words


@test
def what_the_shim_calls_the_channels(s):
    what_the_channels_are_called(s, "shim")


@test(users=("root",))
def what_ebpf_calls_the_channels(s):
    what_the_channels_are_called(s, "bpf")


main()
