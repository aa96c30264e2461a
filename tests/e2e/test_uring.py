#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""io_uring: what goes through a ring is not seen, and the trace says so, by process."""
import ctypes.util
import os

from harness import Skip, main, program, shorten, test


@test
def a_ring_by_liburing_is_counted(s):
    if not os.path.exists("/usr/include/liburing.h") or not ctypes.util.find_library("uring"):
        raise Skip("no liburing here")
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


main()
