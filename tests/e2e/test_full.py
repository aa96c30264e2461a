# SPDX-License-Identifier: BSD-2-Clause
"""The buffer between programs and recorder: its size, what happens when it is full, and when a program writes nonsense
over it."""
import os
import signal
import subprocess

from harness import Trace, main, program, run, test

ROUNDS = 30000  # of 2 events each: three times what 1 MiB holds, and twice, by parent and child


def fill(s, recorder):
    """Records fill.c while the recorder is stopped, so that the buffer is full for certain. Returns the Trace, pids."""
    path = s.new_trace()
    child = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--source=shim", *recorder, "--", program("fill.c"),
                                         str(ROUNDS)], cwd=s.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"begun\n"
    os.kill(child.pid, signal.SIGSTOP)
    child.stdin.write(b"g")
    child.stdin.flush()
    pids = [int(word) for word in child.stdout.readline().split()]  # it goes on whether or not it is recorded
    os.kill(child.pid, signal.SIGCONT)
    child.stdin.close()
    assert child.wait(60) == 0 and len(pids) == 2
    return Trace(path), pids


def check_bounds(trace, pids):
    """Endpoints are exact although events are missing; edges are no more than what there was, and marked."""
    ends = trace.rows("""SELECT p.pid, sends, receives, n.bytes_sent, n.bytes_received, send_dur_ns + receive_dur_ns,
                      p.end_ns - p.start_ns FROM endpoints n
                      JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
                      WHERE c.mechanism = 'pipe' AND n.bytes_sent > 100 ORDER BY n.id""")
    assert sorted(end[:5] for end in ends) == sorted((pid, ROUNDS, ROUNDS, 8 * ROUNDS, 8 * ROUNDS) for pid in pids), ends
    life = max(end[-1] or 0 for end in ends)  # the end of the other one may have been dropped
    for *_, inside, _ in ends:  # one thread: no more than it lived, and no system call takes less than 20 ns
        assert 2 * ROUNDS * 20 <= inside <= life, ends
    assert not trace.lost("rejected"), trace.rows("SELECT * FROM losses")
    assert trace.lost("dropped"), trace.rows("SELECT * FROM losses")
    channel = "SELECT id FROM channels WHERE bytes_sent > 100 AND mechanism = 'pipe'"
    assert trace.rows(f"SELECT partial, bytes_sent, bytes_received FROM channels WHERE id IN ({channel})") == \
        [(1, 16 * ROUNDS, 16 * ROUNDS)]
    edges = trace.rows(f"SELECT messages, bytes, exact, partial FROM edges WHERE channel_id IN ({channel})")
    assert edges and all(edge[2:] == (0, 1) for edge in edges), edges
    assert sum(edge[0] for edge in edges) <= 2 * ROUNDS and sum(edge[1] for edge in edges) <= 16 * ROUNDS


def waited(trace):
    return tuple(int(trace.one("SELECT value FROM meta WHERE key = ?", "blocked_" + key)) for key in ("claims", "ns"))


@test(users=("nobody",))
def programs_wait_for_a_bounded_time(s):
    """And that is told. A second in all, whatever they do then."""
    trace, pids = fill(s, ["--buffer=1M", "--on-full=block"])
    check_bounds(trace, pids)
    claims, ns = waited(trace)
    assert claims >= 1 and ns >= 900_000_000, (claims, ns)
    summary = s.run([s.ipctrace, "summary", "-i", trace.path])
    assert b"programs waited" in summary.out, summary


@test(users=("nobody",))
def programs_do_not_wait(s):
    trace, pids = fill(s, ["--buffer=1M", "--on-full=drop"])
    check_bounds(trace, pids)
    assert waited(trace) == (0, 0)
    assert b"programs waited" not in s.run([s.ipctrace, "summary", "-i", trace.path]).out


@test
def the_size_of_the_buffer(s):
    """Of what fits into it nothing is lost, while the recorder does nothing; the largest is no matter either."""
    trace, _ = fill(s, ["--buffer=16M", "--on-full=drop"])
    assert trace.lost("dropped") == {}, trace.rows("SELECT * FROM losses")
    for size in ("1K", "1M", "1G"):
        done = s.run([s.ipctrace, "-q", "-o", s.new_trace(), "--buffer=" + size, "--", "sh", "-c", "echo hello | cat"])
        assert (done.status, done.out) == ((0, b"hello\n") if size != "1K" else (2, b"")), done
    done = s.run([s.ipctrace, "-o", s.new_trace(), "--on-full=maybe", "--", "true"])
    assert done.status == 2 and b"'maybe' is none of block|drop for '--on-full'" in done.err, done


VIEWS = ("summary", "processes", "channels", "edges", "regions", "messages", "waits", "events", "losses")


@test(users=("nobody",))
def a_program_that_scribbles_over_the_buffer(s):
    """Its own output and status stay, the recorder ends well, counts what it did not believe, and leaves a trace that
    every view can read."""
    scribble = program("scribble.c")
    rejected = 0
    for seed in range(8):
        command = [scribble, str(seed), "200"]
        plain = run(command)
        result, trace = s.record(command)
        assert (result.status, result.out, result.err) == plain, (seed, result, plain)
        rejected += sum(trace.lost("rejected").values())
        assert s.run(["sqlite3", trace.path, "PRAGMA integrity_check"]).out == b"ok\n", seed
        for view in VIEWS:
            done = s.run([s.ipctrace, view, "-i", trace.path])
            assert done.status == 0, (seed, view, done.err)
    assert rejected > 0, "nothing was hit"


main()
