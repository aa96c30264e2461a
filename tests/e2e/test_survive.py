# SPDX-License-Identifier: BSD-2-Clause
"""Whatever a program does: it behaves as without us, and what we cannot see of it is told."""
import os
import re
import subprocess
import time

from harness import PROGRAMS, Skip, Trace, main, needs, program, run, test, workshop

TALK = ["sh", "-c", "echo hello | cat"]


def lost(trace, *kinds):
    """What is counted as lost, or as not covered."""
    return {reason for reason, in trace.rows("SELECT DISTINCT reason FROM losses WHERE kind IN (%s)"
                                             % ", ".join("?" * len(kinds)), *kinds)}


# --- signals, threads, memory ---

@test
def a_storm_of_signals(s):
    """Four threads, handlers within handlers, on stacks of their own, jumps out of reads that block. Who jumps out of
    the middle of a record may lose it, and others until that is noticed: they are counted, and what they moved too."""
    command = [program("storm.c")]
    plain = s.run(command)
    result, trace = s.record(command)
    assert (result.status, result.out) == (plain.status, plain.out), (plain, result)
    losses = lost(trace, "lost", "not_covered")
    assert losses <= {"torn", "dropped"}, trace.rows("SELECT * FROM losses")
    if not losses:
        trace.check_sound()
    if "torn" not in losses:
        moved = trace.rows("SELECT bytes_sent FROM channels WHERE mechanism = 'pipe' AND bytes_received > 0")
        assert sorted(moved) == sorted([(40000,)] * 4 + [(int(result.err),)]), (moved, result)


@test
def children_that_share_memory(s):
    """Those that their parent waits for are recorded; of those that run beside it, what they execute. 25 rounds: vfork
    counts only where no such child can be, in the first."""
    trace = s.same([program("clones.c")])
    recorded = 5 + 5 + 25 * (500 + 5) + 24 * 5 + 25 * 5
    assert trace.rows("SELECT bytes_sent, bytes_received FROM channels WHERE mechanism = 'pipe' AND bytes_received > 0") \
        == [(recorded, 38125)]
    assert trace.lost("clone-vm") == {"clones": 4 * 25 + 2 * 24}, trace.rows("SELECT * FROM losses")
    assert trace.rows("SELECT count(*), count(end_ns) FROM processes WHERE comm = 'echo'") == [(75, 75)]


@test
def children_that_share_memory_beside_threads(s):
    trace = s.same([program("clones.c"), "2"])
    assert trace.lost("clone-vm") == {"clones": 4 * 25 + 2 * 24}, trace.rows("SELECT * FROM losses")


@test
def a_process_without_its_first_thread(s):
    trace = s.same([program("leaderless.c")])
    assert trace.rows("SELECT bytes_sent, bytes_received FROM channels WHERE mechanism = 'pipe' AND bytes_received > 0") \
        == [(200000, 200000)]
    trace = s.same([program("leaderless.c"), "exec"])
    assert trace.rows("SELECT p.comm, n.comm FROM processes p JOIN processes n ON n.prev_id = p.id") == \
        [("leaderless", "echo")]


# --- descriptors ---

# A pipe under high numbers; ranges are closed around it in a program that goes on, in a child, and for one that is executed.
RANGES = """
import os, resource, subprocess
for most in (1000001, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        break
    except (ValueError, PermissionError):
        pass
for top in (4096, 6000, 65535, most - 1):
    if top >= most:
        continue
    r, w = os.pipe()
    os.dup2(w, top - 1)
    os.dup2(r, top)
    os.closerange(3, top - 1)
    if not os.fork():
        os.closerange(top, most)
        os.write(top - 1, b'12345')
        os._exit(0)
    os.wait()
    print(os.read(top, 10))
    os.write(top - 1, b'678')
    os.closerange(3, top)
    print(subprocess.run(['cat'], stdin=top, stdout=subprocess.PIPE).stdout)
    os.closerange(4000, most)
"""


@test
def descriptors_up_to_a_million(s):
    """Or as high as this user may: above 4,096 the kernel is asked each time. The same is written and read by all."""
    high, ranges = [program("highfds.c")], ["/usr/bin/python3", "-c", RANGES]
    plain = {tuple(command): s.run(command) for command in (high, ranges)}
    top = int(plain[tuple(high)].err)
    n, m = (1 + sum(number <= top for number in numbers) for numbers in ((4094, 4096, 4098, 6000, 65535), (4096, 6000, 65535)))
    s.exact(high, same=False)
    for source, *recorder in (("shim",), ("shim", "--no-patch"), *([("bpf",)] if s.user == "root" else [])):
        for command, wanted in ((high, [("fd_passing", n, 0, 1), ("pipe", 4 * n, 20 * n, 1), ("unix_dgram", n, n, 1), ("unix_stream", n, 5 * n, 1)]),
                                (ranges, [("pipe", 3 * m, 11 * m, 1)])):
            result, trace = s.record(command, source, recorder)
            assert result == plain[tuple(command)], shorten(result)
            trace.check_sound()
            losses = trace.rows("SELECT * FROM losses WHERE reason != 'libc-internal'")
            assert not losses, losses
            assert trace.rows("SELECT mechanism, sum(messages), sum(bytes), min(exact) FROM edges WHERE mechanism != 'process'"
                              " GROUP BY 1") == wanted, (source, recorder, trace.rows("SELECT * FROM edges"))
    if top < 1000000:
        raise Skip(f"right up to {top}, the highest number that this user may have")


# --- programs and their environments ---

@test
def a_program_that_executes_itself_a_thousand_times(s):
    trace = s.same([program("execs.c"), "1000"])
    assert trace.one("SELECT count(*) FROM processes WHERE coverage = 'full'") == 1001
    assert not lost(trace, "lost", "not_covered"), trace.rows("SELECT * FROM losses")


@test
def threads_that_race_to_execute(s):
    trace = s.same([program("execs.c"), "40", "race"])
    assert trace.one("SELECT count(*) FROM processes WHERE coverage = 'full'") == 41
    assert not lost(trace, "lost", "not_covered"), trace.rows("SELECT * FROM losses")


@test
def a_scrubbed_environment(s):
    """It is put back at the exec: nothing is missing, and the program sees what it was given."""
    trace = s.same(["env", "-i", "sh", "-c", "/usr/bin/env; /bin/echo hello | /bin/cat"])
    assert trace.edge("echo", "cat")[1] == 6
    assert not lost(trace, "lost", "not_covered"), trace.rows("SELECT * FROM losses")


@test
def another_allocator_is_preloaded(s):
    jemalloc = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
    if not os.path.exists(jemalloc):
        raise Skip("no libjemalloc2 here")
    trace = s.same(["env", "LD_PRELOAD=" + jemalloc, "sh", "-c", "env | grep LD_; grep -c jemalloc /proc/self/maps >&2; echo hello | cat"])
    assert trace.edge("sh", "cat")[1] == 6
    s.same(["env", "LD_PRELOAD=" + jemalloc, program("threads.c")])


@test
def another_clock_is_preloaded(s):
    needs("faketime")
    trace = s.same(["faketime", "-f", "2020-01-01 00:00:00", "sh", "-c", "date | cat; env | grep LD_"])
    assert trace.edge("date", "cat")[1] > 0


@test(users=("root",))
def other_users_by_sudo_and_su(s):
    """Root may: for others these are set-uid programs, counted by name."""
    sudo, su = needs("sudo", "su")
    for command in ([sudo, "-u", "nobody"], [su, "-s", "/bin/sh", "nobody", "--"]):
        trace = s.same([*command, *(TALK if command[0] == sudo else TALK[1:])])
        assert trace.edge("sh", "cat")[1] == 6, command
        assert trace.rows("SELECT DISTINCT uid FROM processes WHERE comm = 'cat'") == [(65534,)], command
        assert not lost(trace, "lost", "not_covered"), trace.rows("SELECT * FROM losses")


@test(users=("nobody",))
def sudo_and_su_of_others(s):
    sudo, su = needs("sudo", "su")
    for name in (sudo, su):
        trace = s.same([name, "--version"])
        assert trace.lost("setuid") == {os.path.basename(name): 1}, trace.rows("SELECT * FROM losses")


@test(users=("root",))
def mounts_of_its_own(s):
    """What is hidden behind them cannot be entered: that is told, and nobody complains."""
    if run(["unshare", "-m", "true"]).status:
        raise Skip("cannot unshare")
    trace = s.same(["unshare", "-m", "sh", "-c", "echo hello | cat; mount -t tmpfs none /dev/shm; echo hello | tail -n 1; "
                    "mount -t tmpfs none /tmp; echo hello | sort"])
    assert trace.edge("sh", "cat")[1] == 6
    assert set(trace.lost("no-arena")) == {"mount", "sort", "tail"}, trace.rows("SELECT * FROM losses")


# --- sandboxes ---

@test
def strict_mode_and_a_counter_that_faults(s):
    """And system calls that are forbidden to all but libc, by signals (for who emulates another system)."""
    for how in ("prctl", "seccomp", "tsc", "fork", "dispatch"):
        trace = s.same([program("strict.c"), how])
        sent = 200 if how == "fork" else 100
        assert trace.one("SELECT sum(bytes_sent) FROM channels WHERE mechanism = 'pipe'") == sent, how
        assert trace.lost("sandboxed") == {"strict": 1}, trace.rows("SELECT * FROM losses")


@test(users=("nobody",))
def each_call_forbidden_alone(s):
    """Every system call that we make on our own is among them. (ld.so complains where it cannot read libraries; it
    does so of the program's too.)"""
    for action in ("kill", "trap", "refuse"):
        command = [program("forbids.c"), action]
        plain, (result, trace) = s.run(command), s.record(command)
        assert (result.status, result.out) == (plain.status, plain.out), \
            (action, sorted(set(plain.out.split(b"\n")) ^ set(result.out.split(b"\n"))))
        noise = [line for line in result.err.splitlines(True) if not line.startswith(b"ERROR: ld.so: object")]
        assert b"".join(noise) == plain.err, (action, result.err)
        assert action == "refuse" or trace.lost("sandboxed"), trace.rows("SELECT * FROM losses")


# --- what it is built from ---

def sanitized(s, *flags):
    trace = s.same([program("threads.c", *flags)])
    assert trace.rows("SELECT messages, bytes FROM edges WHERE mechanism = 'pipe'") == [(5000, 100000)], flags


@test
def sanitizers_of_gcc(s):
    """test_faults.py has the address and the thread sanitizer alone."""
    sanitized(s, "-fsanitize=undefined")
    sanitized(s, "-fsanitize=address,undefined", "-static-libasan")
    sanitized(s, "-fsanitize=leak")


@test
def two_libcs_in_one_process(s):
    trace = s.same([program("namespaces.c")])
    assert trace.lost("namespace") == {"namespaces": 1}, trace.rows("SELECT * FROM losses")
    assert trace.rows("SELECT sum(sends), sum(receives) FROM endpoints n JOIN channels c ON c.id = n.channel_id"
                      " WHERE mechanism = 'pipe' AND c.bytes_received > 0") == [(13, 13)]


def foreign(s, path, reason):
    """Not entered, no word about it, counted by its name, between others that are recorded and as the command itself."""
    name = os.path.basename(path)
    for command in (["sh", "-c", f"{path} | cat; echo after | cat"], [path], ["env", "-i", path]):
        trace = s.same(command)
        assert trace.lost(reason) == {name: 1}, (command, trace.rows("SELECT * FROM losses"))
        assert command[0] != "sh" or trace.edge("sh", "cat")[1] == 6


@test
def a_program_of_32_bits(s):
    libc, linker, path = "/usr/lib32/libc.so.6", "/lib/ld-linux.so.2", os.path.join(workshop(), "hello32")
    if not (os.path.exists(libc) and os.path.exists(linker)):
        raise Skip("no libc6-i386 here")
    subprocess.run(["gcc", "-m32", "-nostdlib", "-fno-pie", "-no-pie", "-o", path, os.path.join(PROGRAMS, "hello32.c"), libc,
                    "-Wl,--dynamic-linker=" + linker], check=True)
    foreign(s, path, "other-arch")


@test
def a_program_with_musl(s):
    musl, = needs("musl-gcc")
    path = os.path.join(workshop(), "hello-musl")
    subprocess.run([musl, "-o", path, os.path.join(PROGRAMS, "hello.c")], check=True)
    foreign(s, path, "other-libc")


@test
def a_static_program_without_libc(s):
    """As those are that Go makes."""
    path = program("raw.c", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-O2")
    trace = s.same(["sh", "-c", f"echo hello | {path} /bin/cat | cat"])
    assert list(trace.lost("static")) == [os.path.basename(path)], trace.rows("SELECT * FROM losses")


# --- debuggers (with gdb: test_start.py) ---

def until(condition):
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def calls_of(log):
    """What strace has written so far."""
    if not os.path.exists(log):
        return ""
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


@test
def strace_attaches(s):
    """To a program that is traced, and sees its calls until it ends."""
    strace, = needs("strace")
    go, log = s.path("go"), s.path("attached.log")
    waits = f"echo $$; while [ ! -e {go} ]; do sleep 0.02; done; echo hello | cat; exit 3"
    with subprocess.Popen([*s.prefix, s.ipctrace, "-q", "-o", s.new_trace(), "--", "sh", "-c", waits], cwd=s.dir,
                          stdout=subprocess.PIPE, bufsize=0) as traced:
        with subprocess.Popen([*s.prefix, strace, "-f", "-o", log, "-p", traced.stdout.readline().strip()], cwd=s.dir,
                              stderr=subprocess.PIPE) as tracer:
            until(lambda: calls_of(log) or tracer.poll() is not None)
            with open(go, "wb"):
                pass
            assert traced.wait(100) == 3 and traced.stdout.read() == b"hello\n"
            error = tracer.communicate(timeout=100)[1]
    if b"not permitted" in error:
        raise Skip("no debugger may attach here")
    log = calls_of(log)
    # A call that another process's comes in between of is written in two parts.
    assert re.search(r'write\(1, "hello\\n", 6(\) += 6| <unfinished)', log) and "exited with 3" in log, log[-2000:]


@test
def all_of_it_under_strace(s):
    strace, = needs("strace")
    path, log = s.new_trace(), s.path("strace.log")
    result = s.run([strace, "-f", "-o", log, s.ipctrace, "-q", "-o", path, "--source=shim", "--", "sh", "-c", "echo hello | cat; exit 3"])
    assert result == (3, b"hello\n", b""), result
    trace = Trace(path)
    trace.check_sound()
    assert trace.edge("sh", "cat") == (1, 6)


main()
