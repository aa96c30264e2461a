#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Semaphores, mutexes, read-write locks, conditions, barriers and spin locks: the programs say who released and
acquired what and how often, and who had it before; so must their traces."""
import collections
import os

from harness import COUNTED as ALL, PROGRAMS, main, program, shorten, test

NAMES = ("mutex", "failures", "recursion", "robust", "threads", "short_threads", "pair", "several_posters",
         "several_waiters", "named", "handler", "jumped", "rwlock", "spin", "cond", "cond_cancelled", "barrier")


def told(out):
    """What the program says: {(mechanism, pid): (sends, receives)}, {(mechanism, from, to): messages}, names."""
    ends, edges, names = collections.defaultdict(lambda: [0, 0]), {}, []
    for line in out.decode().splitlines():
        word, mechanism, *rest = line.split()
        if word == "edge":
            edges[mechanism, int(rest[0]), int(rest[1])] = int(rest[2])
        elif word == "name":
            names.append((mechanism, rest[0]))
        else:
            ends[mechanism, int(rest[0])][word == "receives"] = int(rest[1])
    return {end: tuple(n) for end, n in ends.items()}, edges, names


def check_ends(name, trace, truth):
    found = {row[:2]: row[2:] for row in trace.rows(
        f"""SELECT c.mechanism, p.pid, sum(n.sends), sum(n.receives) FROM endpoints n
        JOIN channels c ON c.id = n.channel_id JOIN processes p ON p.id = n.process_id
        WHERE c.mechanism IN {ALL} GROUP BY 1, 2 HAVING sum(n.sends) + sum(n.receives) > 0""")}
    assert found == truth, (name, found, truth)


def check(name, trace, out):
    ends, edges, names = told(out)
    check_ends(name, trace, ends)
    found = {row[:3]: row[3:] for row in trace.rows(
        f"""SELECT mechanism, src_pid, dst_pid, sum(messages), min(exact), max(partial), sum(bytes) FROM edges
        WHERE mechanism IN {ALL} GROUP BY 1, 2, 3 HAVING sum(messages) > 0""")}
    assert found == {edge: (n, 1, 0, 0) for edge, n in edges.items()}, (name, found, edges)
    assert names == trace.rows(f"SELECT mechanism, name FROM channels WHERE mechanism IN {ALL} AND name > ''"), name
    assert not trace.one("SELECT count(*) FROM losses WHERE reason NOT IN ('killed')"), trace.rows("SELECT * FROM losses")
    trace.check_sound()


@test()
def counts_and_hand_overs(s):
    for name in NAMES:
        result, trace = s.record([program("sync.c"), name])
        assert result.status == 0, (name, shorten(result))
        check(name, trace, result.out)


# A cancelled wait returns from no function; and a handler every
# 0.2 ms leaves little time for calls that take 0.1 ms.
UNPROBED = ("cond_cancelled", "handler", "short_threads")


@test(users=("root",))
def probes_count_the_same(s):
    for name in NAMES:
        if name in UNPROBED:
            continue
        result, trace = s.record([program("sync.c"), name], "bpf", ("--uprobes",))
        assert result.status == 0, (name, shorten(result))
        check(name, trace, result.out)
        assert not trace.one("SELECT count(*) FROM channels WHERE mechanism = 'futex'"), name  # the locks' own


@test(users=("root",))
def probes_tell_waits(s):
    result, trace = s.record([program("sync.c"), "pair"], "bpf", ("--uprobes",))
    assert result.status == 0, shorten(result)
    rows = trace.rows("SELECT w.pid, p.pid, w.call, w.dur_ns FROM waits w JOIN processes p ON p.id = w.woken_by_id "
                      "WHERE w.mechanism = 'posix_sem'")
    assert len(rows) > 100, len(rows)
    assert all(waiter != waker and call == "sem_wait" and duration > 0 for waiter, waker, call, duration in rows)
    result, trace = s.record([program("sync.c"), "robust"], "bpf", ("--uprobes", "--sync=all"))
    check("robust", trace, result.out)
    assert trace.one("SELECT count(*) FROM events WHERE mechanism = 'mutex' AND errno = 130") == 2


@test(users=("root",))
def probes_leave_private_ones_alone(s):
    _, trace = s.record([program("sync.c"), "private"], "bpf", ("--uprobes",))
    assert not trace.one(f"SELECT count(*) FROM channels WHERE mechanism IN {ALL}")


@test()
def probes_need_ebpf(s):
    for options in (["--uprobes"], ["--uprobes", "--source=both", "--verify"]):
        result = s.run([s.ipctrace, *options, "--", "true"])
        assert (result.status, result.err.splitlines()[0]) == (2, b"ipctrace: --uprobes needs --source=bpf"), result


@test()
def every_call_an_event(s):
    for name in NAMES:
        if name in ("handler", "short_threads"):
            continue
        result, trace = s.record([program("sync.c"), name], recorder=("--sync=all",))
        assert result.status == 0, (name, shorten(result))
        check(name, trace, result.out)
        found = {row[:2]: row[2:] for row in trace.rows(
            f"""SELECT mechanism, pid, sum(verb IN ('unlock', 'post')), sum(verb IN ('lock', 'wait')) FROM events
            WHERE mechanism IN {ALL} AND errno IN (0, 130) AND NOT flags & 32 GROUP BY 1, 2
            HAVING sum(verb IN ('unlock', 'post', 'lock', 'wait')) > 0""")}
        ends = told(result.out)[0]
        if not name.startswith("cond"):  # whose waits release and acquire a mutex
            assert found == ends, (name, found, ends)


@test()
def many_to_many_is_approximate(s):
    result, trace = s.record([program("sync.c"), "many"])
    assert result.status == 0, shorten(result)
    ends, _, _ = told(result.out)
    check_ends("many", trace, ends)
    assert trace.one("SELECT max(exact) FROM edges WHERE mechanism = 'posix_sem'") == 0
    assert trace.one("SELECT sum(messages) FROM edges WHERE mechanism = 'posix_sem'") == \
        sum(receives for _, receives in ends.values())
    trace.check_sound()


@test()
def killed_at_any_instruction(s):
    result, trace = s.record([program("sync.c"), "killed"])
    assert result.status == 0, shorten(result)
    ends = told(result.out)[0]
    found = {pid: (sends, receives) for pid, sends, receives in trace.rows(
        "SELECT p.pid, n.sends, n.receives FROM endpoints n JOIN processes p ON p.id = n.process_id "
        "JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = 'mutex'")}
    for (_, pid), truth in ends.items():
        assert all(abs(ours - theirs) <= 1 for ours, theirs in zip(found[pid], truth)), (found, ends)
    trace.check_sound()


@test(users=("root",))
def many_short_processes(s):
    result, trace = s.record([program("sync.c"), "processes"])
    assert result.status == 0, shorten(result)
    ends = trace.rows("SELECT count(*), sum(n.sends), sum(n.receives), max(n.receives) FROM endpoints n "
                      "JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = 'mutex' AND n.receives > 0")
    assert ends == [(1500, 1500, 1500, 1)], ends
    assert trace.one("SELECT sum(messages) FROM edges WHERE mechanism = 'mutex' AND src_id != dst_id AND exact") == 1499
    assert not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")


@test()
def programs_with_functions_of_their_own(s):
    result, trace = s.record([program("sync_own.c")])
    assert result == s.run([program("sync_own.c")]), shorten(result)
    assert trace.rows("SELECT mechanism, sends, receives FROM endpoints n JOIN channels c ON c.id = n.channel_id "
                      f"WHERE mechanism IN {ALL} ORDER BY 1") == [("mutex", 10, 10), ("posix_sem", 1, 1)]


@test()
def private_ones_only_if_asked(s):
    _, trace = s.record([program("sync.c"), "private"])
    assert not trace.one(f"SELECT count(*) FROM channels WHERE mechanism IN {ALL}")
    result, trace = s.record([program("sync.c"), "private"], recorder=("--private",))
    assert result.status == 0, shorten(result)
    check("private", trace, result.out)
    pids = {row[0] for row in trace.rows(f"SELECT DISTINCT p.pid FROM processes p JOIN endpoints n ON n.process_id = p.id "
                                         f"JOIN channels c ON c.id = n.channel_id WHERE c.mechanism IN {ALL}")}
    for mechanism, key in trace.rows(f"SELECT mechanism, key FROM channels WHERE mechanism IN {ALL}"):
        pid, address = key.removeprefix(mechanism + ":").split("+")
        assert int(pid) in pids and int(address, 16), key


@test()
def waits_say_for_whom(s):
    result, trace = s.record([program("sync.c"), "pair"])
    assert result.status == 0, shorten(result)
    rows = trace.rows("SELECT w.pid, p.pid, w.call, w.dur_ns FROM waits w JOIN processes p ON p.id = w.woken_by_id "
                      "WHERE w.mechanism = 'posix_sem'")
    assert len(rows) > 100, len(rows)
    for waiter, waker, call, duration in rows:
        assert waiter != waker and call == "sem_wait" and duration > 0
    result, trace = s.record([program("sync.c"), "robust"])
    assert trace.one("SELECT count(*) FROM events WHERE mechanism = 'mutex' AND errno = 130") == 2


@test()
def without_memory_for_counters(s):
    result, trace = s.record([program("sync.c"), "no_memory"])
    assert result.status == 0, shorten(result)
    assert trace.rows("SELECT reason, count FROM losses") == [("no-arena", 21)], trace.rows("SELECT * FROM losses")


@test()
def cancelled_threads_and_the_library_of_cplusplus(s):
    for recorder in ((), ("--private", "--sync=all")):
        command = [program("sync_cancel.cc")]
        plain = s.run(command)
        result, trace = s.record(command, recorder=recorder)
        assert result == plain, (shorten(plain), shorten(result))
        shared = "SELECT n.sends, n.receives FROM endpoints n JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = "
        assert (200, 200) in trace.rows(shared + "'mutex'"), trace.rows(shared + "'mutex'")
        assert trace.one(f"SELECT max(receives) FROM ({shared} 'posix_sem')") == 0
        trace.check_sound()


@test()
def multiprocessing_of_python(s):
    command = ["/usr/bin/python3", os.path.join(PROGRAMS, "sync.py")]
    result, trace = s.record(command)
    assert result.status == 0 and not result.err, shorten(result)
    truth = {int(line.split()[1]): int(line.split()[2]) for line in result.out.decode().splitlines()}
    assert len(truth) == 3, result
    locks = trace.rows("SELECT channel_id, sum(sends), sum(receives) FROM endpoints n JOIN channels c ON c.id = n.channel_id "
                       "WHERE c.mechanism = 'posix_sem' AND c.name LIKE '/mp-%' GROUP BY 1")
    lock, = [row[0] for row in locks if row[1:] == (300, 300)]
    found = dict(trace.rows("SELECT p.pid, n.receives FROM endpoints n JOIN processes p ON p.id = n.process_id "
                            "WHERE n.channel_id = ? AND n.receives > 0", lock))
    assert found == truth, (found, truth)
    assert trace.one("SELECT sum(messages) FROM edges WHERE channel_id = ?", lock) == 300
    trace.check_sound()


main()
