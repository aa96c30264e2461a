#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""io_uring: what goes through a ring the shim does not see, and its trace says so, by process; the eBPF source sees it."""
import collections
import ctypes.util
import os

from harness import Skip, main, program, shorten, test


MODES = ("pipe", "sqpoll", "batch", "number", "unix_stream", "unix_seqpacket", "tcp", "udp", "one_receive", "splice",
         "eventfd")


def needs_liburing():
    if not os.path.exists("/usr/include/liburing.h") or not ctypes.util.find_library("uring"):
        raise Skip("no liburing here")


@test
def a_ring_by_liburing_is_counted(s):
    needs_liburing()
    plain = s.run([program("uring.c", "-luring")])
    result, trace = s.record([program("uring.c", "-luring")])
    assert result == plain and result.status == 0, shorten(result)
    rows = trace.rows("SELECT kind, reason, count, comm FROM losses")
    assert rows == [("not_covered", "io_uring", 2, None)] or rows == [("not_covered", "io_uring", 2, "uring-luring")], rows
    assert trace.one("SELECT coverage FROM processes WHERE comm LIKE 'uring%'") == "partial"


@test
def a_ring_by_syscall_is_counted_and_a_channel(s):
    result, trace = s.record([s.ipctrace, "reference", "io_uring"])
    assert result.status == 0, shorten(result)
    counts = trace.rows("SELECT process_id, count FROM losses WHERE reason = 'io_uring'")
    assert len(counts) == 3 and {n for _, n in counts} == {1}, counts  # each has made one
    rings = trace.rows("SELECT partial, key LIKE 'io_uring:[%]' FROM channels WHERE mechanism = 'io_uring'")
    assert rings and set(rings) == {(1, 1)}, rings
    trace.check_sound()


def compare(name, trace, out):
    """The program's own account, with both its processes at the two ends of each edge."""
    told = {int(pid): (mechanism, *map(int, sums)) for _, pid, mechanism, *sums in map(str.split, out.splitlines())}
    found = {pid: row for pid, *row in trace.rows("""SELECT p.pid, mechanism, sum(sends), sum(n.bytes_sent), sum(receives),
        sum(n.bytes_received) FROM endpoints n JOIN channels c ON c.id = n.channel_id JOIN processes p ON p.id = n.process_id
        WHERE mechanism NOT IN ('process', 'signal', 'io_uring') GROUP BY 1, 2 HAVING sum(sends) + sum(receives) > 0""")}
    assert found == {pid: list(row) for pid, row in told.items()}, (name, found, told)
    edges = collections.Counter()
    for src, dst, moved, exact in trace.rows("""SELECT src_pid, dst_pid, sum(bytes), min(exact) FROM edges
                                             WHERE mechanism NOT IN ('process', 'signal', 'io_uring') GROUP BY 1, 2"""):
        assert exact and src != dst and {src, dst} == set(told), (name, src, dst)
        edges[src] += moved
    assert edges == {pid: row[2] for pid, row in told.items() if row[1]}, (name, edges, told)


@test(users=("root",))
def operations_are_their_submitters(s):
    needs_liburing()
    rings = program("rings.c", "-luring")
    for name in MODES:
        said = s.path("said")  # a pipe would be one more channel
        result, trace = s.record(["sh", "-c", f"{rings} {name} > {said}"], "bpf")
        assert result.status == 0, (name, shorten(result))
        with open(said, encoding="ascii") as out:
            compare(name, trace, out.read())
        trace.check_sound()
        assert not trace.rows("SELECT * FROM losses"), (name, trace.rows("SELECT * FROM losses"))
        assert trace.one("SELECT count(*) FROM events WHERE call LIKE 'io_uring:%' AND flags & 8192") >= 20, name
        assert not trace.one("SELECT count(*) FROM events WHERE (call LIKE 'io_uring:%') != (flags & 8192 != 0)"), name
        kernel_thread = trace.one("SELECT count(*) FROM events WHERE call = 'io_uring:write' AND pid != tid")
        assert (kernel_thread > 0) == (name == "sqpoll"), (name, kernel_thread)


@test(users=("root",))
def what_takes_the_program_a_call_is_the_same_by_both(s):
    path = s.new_trace()
    result = s.run([s.ipctrace, "-q", "--source=both", "--verify", "-o", path, "--", s.ipctrace, "reference", "io_uring"])
    assert result.status == 0, shorten(result)
    assert b"both sources agree" in result.err and b"not seen by the shim" in result.err, shorten(result)


@test(users=("root",))
def what_is_not_told_is_counted(s):
    """A completion that the program does not want to see is not told by the kernel either."""
    needs_liburing()
    result, trace = s.record([program("rings.c", "-luring"), "skipped"], "bpf")
    assert result.status == 0, shorten(result)
    assert list(trace.lost("io_uring").values()) == [1], trace.rows("SELECT * FROM losses")


main()
