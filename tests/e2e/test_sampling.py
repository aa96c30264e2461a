#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--shm-sample: who read and wrote which pages of shared memory. The programs say it, and so must their traces; and
whatever they keep in shared memory is as it is when nobody looks."""
import collections
import functools
import subprocess

from harness import Skip, main, program, run, shorten, test

KINDS = ("memfd", "posix", "sysv", "anonymous")
SHARED = "('sysv_shm', 'posix_shm', 'memfd', 'mmap')"


@functools.lru_cache(None)
def can_sample(user, ipctrace, prefix, trace):
    return b"cannot sample" not in run([*prefix, ipctrace, "-q", "-o", trace, "--shm-sample=1", "--", "true"]).err


def record(s, name, *args, ms=100):
    if not can_sample(s.user, s.ipctrace, tuple(s.prefix), s.path("probe.db")):
        raise Skip("the kernel cannot")
    result, trace = s.record([program(name), *args], recorder=(f"--shm-sample={ms}",))
    assert result.status == 0, (args, shorten(result))
    return result.out.decode().splitlines(), trace


def numbers(lines, word):
    return {tuple(map(int, line.split()[1:])) for line in lines if line.startswith(word + " ")}


@test
def who_touched_what(s):
    for kind in KINDS:
        for ms in (1, 100, 10000):
            lines, trace = record(s, "sampled.c", "who", kind, ms=ms)
            assert not trace.one(f"SELECT sum(pages_both) FROM edges WHERE mechanism IN {SHARED}")
            edges = set(trace.rows(f"SELECT src_pid, dst_pid, pages FROM edges WHERE mechanism IN {SHARED}"))
            assert edges == numbers(lines, "edge"), (kind, ms, edges, lines)
            assert set(trace.rows("SELECT pid, pages_read, pages_written FROM regions")) == numbers(lines, "touched")
            assert not trace.one(f"SELECT count(*) FROM edges WHERE exact AND mechanism IN {SHARED}")
            assert trace.one("SELECT value FROM meta WHERE key = 'shm_sample_ms'") == str(ms)
            assert not trace.rows("SELECT * FROM losses")
            trace.check_sound()


@test
def changes_between(s):
    """Descriptors closed, a fork, threads, locked memory, a program that watches it itself: what was seen is right, and
    what was not is counted."""
    for name in ("closed", "forked", "threaded", "locked", "own"):
        lines, trace = record(s, "sampled.c", name, "memfd", ms=5)
        (src, dst, pages), = numbers(lines, "edge")
        rows = trace.rows("SELECT pages FROM edges WHERE mechanism = 'memfd' AND src_pid = ? AND dst_pid = ?", src, dst)
        assert rows == [(pages,)], (name, rows, pages)
        losses = trace.rows("SELECT reason, p.pid FROM losses l JOIN processes p ON p.id = l.process_id")
        assert losses == ([("unsampled", src)] if name != "forked" else []), (name, losses)


@test
def left_alone(s):
    """A file on a disk, locked memory, memory that may only be read, a process with few descriptors."""
    if subprocess.run(["stat", "-f", "-c", "%T", s.dir], stdout=subprocess.PIPE).stdout.strip() == b"tmpfs":
        raise Skip("no disk here")
    lines, trace = record(s, "sampled.c", "refused", s.dir, ms=1)
    assert trace.one("SELECT count(*) FROM regions") == 2 and not trace.rows("SELECT * FROM sampled"), lines
    assert trace.one("SELECT count FROM losses WHERE reason = 'unsampled'") == 3
    command = [program("sampled.c"), "few", "anonymous"]
    untraced = s.run(command)
    lines, trace = record(s, *["sampled.c", "few", "anonymous"], ms=1)
    assert lines == untraced.out.decode().splitlines(), (lines, untraced)
    assert trace.lost("unsampled")


@test
def data_are_never_changed(s):
    for kind in KINDS[:3]:
        command = [program("sampled_load.c"), kind, "3"]
        lines, trace = record(s, "sampled_load.c", kind, "3", ms=1)
        assert lines == ["good"], (command, lines)
        calls = dict(trace.rows("SELECT call, count(*) FROM events WHERE call GLOB 'shm:*' GROUP BY call"))
        assert min(calls.get("shm:" + word, 0) for word in ("read", "write", "sampled")) > 100, calls
        assert trace.one(f"SELECT max(pages) FROM edges WHERE mechanism IN {SHARED}") > 10
        assert trace.one(f"SELECT max(pages_both) FROM edges WHERE mechanism IN {SHARED}")
        trace.check_sound()


@test
def the_commands_show_them(s):
    _, trace = record(s, "sampled.c", "who", "memfd")
    edges = s.run([s.ipctrace, "edges", "-i", trace.path]).out.decode().splitlines()
    assert {"pages", "pages_both"} <= set(edges[0].split()), edges
    regions = s.run([s.ipctrace, "regions", "-i", trace.path]).out.decode().splitlines()
    assert {"pages_read", "pages_written"} <= set(regions[0].split()), regions
    result, trace = s.record([program("sampled.c"), "who", "memfd"])
    assert not trace.one("SELECT count(*) FROM edges WHERE pages IS NOT NULL") and not trace.rows("SELECT * FROM sampled")
    assert not trace.rows("SELECT 1 FROM meta WHERE key = 'shm_sample_ms'")
    for command in ("edges", "regions"):
        head = s.run([s.ipctrace, command, "-i", trace.path]).out.decode().splitlines()[0].split()
        assert not {"pages", "pages_read", "pages_written"} & set(head), head


@test
def refused_at_the_start(s):
    for word in ("0", "x", "-1", "9999999999"):
        result = s.run([s.ipctrace, f"--shm-sample={word}", "--", "true"])
        assert result.status != 0 and b"is not a good MS" in result.err, result
    result = s.run([s.ipctrace, "--shm-sample=10", "--source=bpf", "--", "true"])
    assert result.status != 0 and b"--shm-sample needs the shim" in result.err, result


main()
