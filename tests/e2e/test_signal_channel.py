# SPDX-License-Identifier: BSD-2-Clause
"""Signals as messages: the programs say who received whose, and so must their traces."""
import errno
import os
import signal
import subprocess
import time

from harness import Skip, Trace, by_source, main, program, shorten, test

NAMES = ("handlers", "self", "merged", "flood", "queued", "threads", "descriptor", "deaths", "kernels", "group", "errors",
         "hidden")
# Of what was sent to all of a group nobody tells the shim that a process died of it; and who does not ask is not told who
# it was.
DOUBTFUL = {("group", "shim"), ("threads", "shim"), ("threads", "bpf")}


def edges(trace):
    """{(from, to): messages}; from 0: the kernel."""
    rows = trace.rows("SELECT src_pid, dst_pid, sum(messages), sum(bytes) FROM edges WHERE mechanism = 'signal' "
                      "GROUP BY 1, 2")
    assert not any(row[3] for row in rows), rows
    return {(src or 0, dst): n for src, dst, n, _ in rows}


def compare(name, source, trace, out):
    lines = [line.split() for line in out.decode().splitlines()]
    wanted = {}
    for _, src, dst, n in (line for line in lines if line[0] == "edge"):
        wanted[int(src), int(dst)] = wanted.get((int(src), int(dst)), 0) + int(n)
    assert edges(trace) == wanted, (name, wanted, edges(trace))
    for key, lost in trace.rows("SELECT key, lost FROM channels WHERE mechanism = 'signal'"):
        told = sum(int(n) for what, pid, n in (line for line in lines if line[0] == "lost") if key == f"signal:{pid}")
        assert lost == told, (name, key, lost, told)
    failed = sorted(int(line[1]) for line in lines if line[0] == "failed")
    assert failed == sorted(row[0] for row in trace.rows(
        "SELECT errno FROM events WHERE mechanism = 'signal' AND errno NOT IN (0, ?)", errno.EINTR)), name
    inexact = trace.one("SELECT count(*) FROM edges WHERE mechanism = 'signal' AND NOT exact")
    assert bool(inexact) == ((name, source) in DOUBTFUL), name
    assert not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")
    trace.check_sound()
    trace.none("endpoints against messages", """SELECT n.* FROM endpoints n JOIN channels c ON c.id = n.channel_id
        WHERE c.mechanism = 'signal' AND (
            n.sends < (SELECT count(*) FROM messages m WHERE m.channel_id = c.id AND m.src_id = n.process_id) OR
            n.receives != (SELECT coalesce(sum(messages), 0) FROM edges e
                WHERE e.channel_id = c.id AND e.dst_id = n.process_id))""")


@by_source
def who_received_whose(s, source):
    for name in NAMES:
        result, trace = s.record([program("signal_channel.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, source, trace, result.out)


@test(users=("root",))
def what_the_kernel_alone_tells(s):
    for name, *flags in (("unasked",), ("unasked", "-static"), ("storm", "-static"), ("deaths", "-static")):
        result, trace = s.record([program("signal_channel.c", *flags), name], "bpf")
        assert result.status == 0, (name, shorten(result))
        compare(name, "bpf", trace, result.out)


@test(users=("root",))
def in_a_pid_namespace(s):
    """The program's pids are others than the trace's."""
    for name, wanted in (("merged", [50, 100]), ("deaths", [1, 1, 1, 1, 50]), ("descriptor", [5, 5])):
        result, trace = s.record(["unshare", "--pid", "--fork", program("signal_channel.c"), name], "bpf")
        if b"unshare failed" in result.err:
            raise Skip(result.err.decode())
        assert result.status == 0, (name, shorten(result))
        assert sorted(edges(trace).values()) == wanted, (name, edges(trace))
        assert not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")
        ends = trace.rows("SELECT src_pid, dst_pid FROM edges WHERE mechanism = 'process' GROUP BY 1, 2")
        both_ways = [pair for pair in ends if pair[::-1] in ends]
        assert len(ends) == len(both_ways), ends


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES + ("unasked", "storm"):
        result = s.run([s.ipctrace, "-q", "--source=both", "--verify", "-o", s.new_trace(), "--",
                        program("signal_channel.c"), name])
        assert result.status == 0 and b"both sources agree" in result.err, (name, shorten(result))


@test
def more_handlers_than_can_be_watched(s):
    result, trace = s.record([program("signal_channel.c"), "many"])
    assert result.status == 0, shorten(result)
    assert trace.rows("SELECT reason, count FROM losses") == [("handler", 6)], trace.rows("SELECT * FROM losses")
    assert list(edges(trace).values()) == [64], edges(trace)


@by_source
def a_signalfd_is_opened_read_and_polled(s, source):
    result, trace = s.record([program("signal_channel.c"), "descriptor"], source)
    assert result.status == 0, shorten(result)
    calls = dict(trace.rows("SELECT call, count(*) FROM events WHERE mechanism = 'signal' AND errno = 0 GROUP BY 1"))
    assert calls == {"signalfd4": 1, "inherit": 1, "poll": 5, "read": 8, "readv": 2, "close": 1, "rt_sigqueueinfo": 10}, calls


@test
def handlers_on_small_stacks(s):
    trace = s.same([program("signal_channel.c"), "stacks"])
    assert trace.one("SELECT count(*) FROM events WHERE call = 'handler'")


@by_source
def the_name_is_the_targets(s, source):
    result, trace = s.record([program("signal_channel.c"), "handlers"], source)
    names = trace.rows("SELECT DISTINCT name FROM channels WHERE mechanism = 'signal'")
    assert names == [("signal_channel",)], names
    assert result.status == 0


@by_source
def sent_from_outside_and_to_outside(s, source):
    path = s.new_trace()
    child = subprocess.Popen(s.prefix + [s.ipctrace, "-q", f"--source={source}", "-o", path, "--",
                                         program("signal_channel.c"), "outside"], cwd=s.dir, stdout=subprocess.PIPE)
    pid = int(child.stdout.readline().split()[1])
    time.sleep(0.3)
    os.kill(pid, signal.SIGUSR1)
    child.communicate(timeout=60)
    assert child.returncode == 0
    rows = Trace(path).rows("SELECT src_pid, s.coverage, s.comm, dst_pid, d.coverage, messages, exact FROM edges e "
                            "JOIN processes s ON s.id = src_id JOIN processes d ON d.id = dst_id "
                            "WHERE mechanism = 'signal' ORDER BY dst_pid = ?", pid)
    assert [tuple(row) for row in rows] == [
        (pid, "full", "signal_channel", child.pid, "untraced", 1, 0),
        (os.getpid(), "untraced", open("/proc/self/comm", encoding="utf-8").read().strip(), pid, "full", 1, 1)], rows


@by_source
def a_command_that_is_timed_out(s, source):
    trace = s.same(["timeout", "0.2", "sleep", "5"], source)
    rows = trace.rows("SELECT src_comm, dst_comm, messages FROM edges WHERE mechanism = 'signal' "
                      "AND src_comm != 'kernel' AND src_id != dst_id")
    assert [tuple(row) for row in rows] == [("timeout", "sleep", 1)], rows


@by_source
def traps_of_a_shell(s, source):
    script = "trap 'echo got' USR1; kill -USR1 $$; kill -USR1 $$; kill -TERM $$"
    trace = s.same(["bash", "-c", script], source)
    assert trace.one("SELECT sum(messages) FROM edges WHERE mechanism = 'signal' AND src_id = dst_id") == 3


main()
