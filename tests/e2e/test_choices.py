#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a recording is asked to leave out, and when it ends: the same by both sources. Takes some 20 s in all, most of it
the verifier's of eBPF programs."""
import fcntl
import json
import os
import re
import shutil
import subprocess
import time

from harness import IS_ROOT, Skip, Trace, by_source, main, program, run, test

PYTHON = "/usr/bin/python3"
PATIENCE = 60  # seconds, for what takes a moment on an idle machine

# A pipe's end is passed to a child through a UNIX socket, and used by it.
PASSES = """
import array, os, socket
r, w = os.pipe()
a, b = socket.socketpair()
if not os.fork():
    data, control, _, _ = b.recvmsg(10, 100)
    fd = array.array('i', control[0][2])[0]
    os.close(w)
    os.write(fd, b'x' * 100)
    os._exit(0)
a.sendmsg([b'take it'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))])
os.close(w)
print(len(os.read(r, 1000)), len(os.read(r, 1000)))
os.wait()
"""

# What children do, and the program itself, through a pipe that all have.
FAMILY = """
import os, subprocess
r, w = os.pipe()
if not os.fork():
    os.write(w, b'child')
    r2, w2 = os.pipe()
    os.write(w2, b'abc')
    os.read(r2, 3)
    os._exit(3)
os.wait()
os.write(w, b'self')
print(os.read(r, 100))
print(subprocess.run('echo a | cat; env | grep -c -e IPCTRACE -e LD_PRELOAD', shell=True, capture_output=True).stdout)
os.posix_spawn('/bin/true', ['true'], os.environ)
os.wait()
mine, yours = os.pipe()
os.write(yours, b'123')
os.read(mine, 3)
os.execv('/bin/sh', ['sh', '-c', 'echo the same process; read x <<E\\nabc\\nE\\necho $x'])
"""


def wait_for(what, happens):
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, f"{what} has not happened in {PATIENCE} s"
        time.sleep(0.02)


@by_source
def a_passed_descriptor_is_known_though_its_socket_is_left_out(s, source):
    result, trace = s.record([PYTHON, "-c", PASSES], source, ["-m", "pipe"])
    assert result.out == b"100 0\n", result
    assert trace.rows("SELECT DISTINCT mechanism FROM channels") == [("pipe",)]
    rows = trace.rows("SELECT s.pid != d.pid, messages, bytes FROM edges e JOIN processes s ON s.id = e.src_id "
                      "JOIN processes d ON d.id = e.dst_id")
    assert rows == [(1, 1, 100)], rows
    if source == "shim":
        assert trace.one("SELECT count(*) FROM events WHERE call = 'recvmsg:fd'") == 1
    trace.check_sound()


@test
def what_is_left_out_is_not_looked_at_by_the_shim(s):
    """A handler is the program's own in the kernel, where with signals a stub of ours stands in its place."""
    work = """
import ctypes, signal
libc = ctypes.CDLL(None)
signal.signal(signal.SIGUSR1, lambda *_: None)
old = (ctypes.c_ulong * 4)()
assert not libc.syscall(13, 10, None, old, 8)
maps = [line.split() for line in open('/proc/self/maps')]
print([m[-1] for m in maps if int(m[0].split('-')[0], 16) <= old[0] < int(m[0].split('-')[1], 16)][0][-12:])
"""
    plain = s.run([PYTHON, "-c", work])
    left_out, trace = s.record([PYTHON, "-c", work], "shim", ["-m", "pipe"])
    assert left_out == plain, left_out
    assert trace.one("SELECT count(*) FROM channels WHERE mechanism != 'pipe'") == 0


@test
def threads_are_cancelled_as_ever_in_what_is_left_out(s):
    command = [program("cancel_async.cc", "-Wl,-z,now")]
    plain = s.run(command)
    for options in (["-m", "pipe"], ["--comm", "ipct-cat"]):
        result, _ = s.record(command, "auto", options)
        assert result == plain, (options, result)


@by_source
def no_follow_is_the_program_alone(s, source):
    plain = s.run([PYTHON, "-c", FAMILY])
    result, trace = s.record([PYTHON, "-c", FAMILY], source, ["--no-follow"])
    assert result == plain, (plain, result)
    full = trace.rows("SELECT comm, pid FROM processes WHERE coverage = 'full' ORDER BY id")
    assert [comm for comm, _ in full] == ["python3", "sh"] and full[0][1] == full[1][1], full
    # The children are known by their parent's word: who, for how long, and how they ended.
    children = trace.rows("SELECT exit_status FROM processes WHERE coverage = 'untraced' AND ppid = ? ORDER BY id", full[0][1])
    assert children == [(3 << 8,), (256,), (0,)], children
    assert trace.one("SELECT count(*) FROM events WHERE pid != ? AND mechanism != 'process'", full[0][1]) == 0
    # They have not been seen to read or write: what they share is not certain, and what they have not, is.
    edges = trace.rows("SELECT bytes, exact FROM edges WHERE mechanism = 'pipe' AND src_pid = dst_pid AND src_comm = 'python3'")
    assert sorted(edges) == [(3, 1), (4, 0)], edges
    assert trace.rows("SELECT reason FROM losses WHERE reason != 'unmatched'") == []
    trace.check_sound()


@test
def no_follow_of_what_has_only_descendants_is_refused(s):
    for words in (["-a", "--no-follow"], ["--no-follow", "--follow", "--", "true"], ["--cgroup", "/", "--no-follow"]):
        result = s.run([s.ipctrace, *words])
        assert result.status == 2 and b"follow" in result.err.splitlines()[0], (words, result)


# What is not chosen makes all that the chosen ones use, by every way to start a program, and does as much itself.
HANDS_ON = """
import os, subprocess, sys
cat = sys.argv[1]
r, w = os.pipe()
os.write(w, b'not seen ')
r2, w2 = os.pipe()
if not os.fork():
    os.dup2(r, 0), os.dup2(w2, 1)
    for fd in (r, w, r2, w2):
        os.close(fd)
    os.execv(cat, [cat])
os.close(r), os.close(w2)
sink = subprocess.Popen([cat], stdin=r2, stdout=subprocess.PIPE, close_fds=True)
os.close(r2)
os.write(w, b'nor this')
os.close(w)
print(sink.stdout.read(), sink.wait(), os.wait()[1])
print(os.waitpid(os.posix_spawn(cat, [cat, '/dev/null'], {}), 0)[1])
print(subprocess.run([cat, '/no/such'], capture_output=True).returncode, os.environ.get('LD_PRELOAD'), os.environ.get('IPCTRACE'))
print(subprocess.run(f'echo in a shell | {cat} | cat', shell=True, capture_output=True).stdout)
if not os.fork():
    os._exit(subprocess.run([cat, '/dev/null']).returncode)
os.wait()
os.execv(cat, [cat, '/dev/null'])
"""


@by_source
def only_programs_of_a_name_among_others(s, source):
    """Whoever starts them: what they are given and what becomes of it is right, of the others nothing is there."""
    cat = s.path("ipct-cat")
    if not os.path.exists(cat):
        shutil.copy("/bin/cat", cat)
    command = [PYTHON, "-c", HANDS_ON, cat]
    plain = s.run(command)
    result, trace = s.record(command, source, ["--comm", "ipct-cat"])
    assert result == plain, (plain, result)
    rows = trace.rows("SELECT comm, coverage, exit_status FROM processes WHERE coverage IN ('full', 'partial') ORDER BY id")
    assert sorted(rows) == [("ipct-cat", "full", 0)] * 6 + [("ipct-cat", "full", 256)], rows
    assert trace.one("SELECT count(*) FROM events WHERE comm != 'ipct-cat'") == 0
    # What came from the others cannot be anybody's of the trace, and is said to be missing.
    edges = trace.rows("SELECT messages > 0, bytes, src_pid != dst_pid, exact FROM edges WHERE mechanism = 'pipe'")
    assert edges == [(1, 17, 1, 0)], edges
    assert {reason for reason, in trace.rows("SELECT reason FROM losses")} <= {"unmatched"}
    trace.check_sound()


@by_source
def a_process_that_is_chosen_and_not_and_chosen_again(s, source):
    result, trace = s.record(["sh", "-c", "exec env sh -c 'exec env; exit 3'"], source, ["--comm", "sh"])
    rows = trace.rows("""SELECT p.comm, p.coverage, v.comm, p.exit_status, p.end_ns IS NOT NULL FROM processes p
                      LEFT JOIN processes v ON v.id = p.prev_id ORDER BY p.id""")
    assert rows == [("sh", "full", None, None, 1), ("env", "untraced", "sh", None, 1), ("sh", "full", "env", None, 1),
                    ("env", "untraced", "sh", 0, 1)], rows
    assert trace.one("SELECT count(DISTINCT pid) FROM processes") == 1 and b"IPCTRACE" not in result.out, result
    assert trace.rows("SELECT reason FROM losses") == []
    trace.check_sound()


@test
def a_name_needs_no_kernel_where_there_is_a_program(s):
    result, trace = s.record(["sh", "-c", "echo a | cat"], "auto", ["--comm", "cat"])
    assert result.out == b"a\n" and not result.err, result
    assert trace.rows("SELECT comm, source FROM processes WHERE coverage = 'full'") == [("cat", "shim")]
    assert s.run([s.ipctrace, "--comm", "cat", "--source=shim"]).status == 2, "nobody would be recorded"


# Says that it runs, goes on when told by a byte, and then talks to itself and ends.
LASTS = """
import os, sys
print('up', flush=True)
sys.stdin.readline()
r, w = os.pipe()
os.write(w, b'late' * 25)
os.read(r, 100)
print('done', flush=True)
sys.exit(7)
"""


def lasting(s, path, *words):
    """A program whose recording ends before it does. Returns the recorder; the program is up."""
    child = subprocess.Popen([*s.prefix, s.ipctrace, "-o", path, *words, "--", PYTHON, "-c", LASTS], cwd=s.dir,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    return child


def outlasted(child, path, how):
    """The trace is complete while the program runs on; which then ends as ever."""
    wait_for("the end of the recording", lambda: not os.path.exists(path + "-wal"))
    trace = Trace(path)
    assert trace.one("SELECT value FROM meta WHERE key = 'ended_by'") == how
    assert trace.one("SELECT count(*) FROM meta WHERE key = 'exit_status'") == 0
    assert trace.rows("SELECT reason FROM losses") == [], "that it goes on is none"
    out, err = child.communicate("\n", timeout=PATIENCE)
    assert (child.returncode, out) == (7, "done\n"), (child.returncode, out, err)
    assert trace.one("SELECT count(*) FROM events WHERE bytes = 100") == 0
    trace.check_sound()
    return err


@by_source
def a_duration_ends_the_recording_and_not_the_program(s, source):
    path = s.new_trace()
    err = outlasted(lasting(s, path, f"--source={source}", "--duration", "0.3"), path, "duration")
    assert "ran " in err and len(err.splitlines()) < 6, err


@test
def a_duration_is_a_number_of_seconds(s):
    for bad in ("0", "-1", "x", "1s", "nan", "inf", "1e30", ""):
        result = s.run([s.ipctrace, f"--duration={bad}", "--", "true"])
        assert result.status == 2 and b"--duration" in result.err, (bad, result)
    result, trace = s.record(["true"], "shim", ["--duration=1e6"])
    assert result.status == 0 and trace.one("SELECT count(*) FROM meta WHERE key = 'ended_by'") == 0


# Goes on until the trace is complete: one plain file.
FLOOD = 'while [ -e "$0-wal" ]; do dd if=/dev/zero bs=1 count=20000 2>/dev/null | cat >/dev/null; done; echo done; exit 5'


# Four pairs of processes ask and answer until the trace is complete, at full speed.
ASKS = """
import os, socket, sys
for _ in range(4):
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        while theirs.recv(10):
            theirs.send(b'no')
        os._exit(0)
    theirs.close()
    if not os.fork():
        while os.path.exists(sys.argv[1] + '-wal'):
            for _ in range(1000):
                ours.send(b'who?')
                ours.recv(10)
        os._exit(0)
    ours.close()
for _ in range(8):
    os.wait()
print('done')
sys.exit(5)
"""


@by_source
def a_trace_does_not_outgrow_its_size(s, source):
    """What is in it is whole and its totals are those of its rows; many events, processes, requests or payloads."""
    few = ("sh", "-c", FLOOD), 1
    storm = ("sh", "-c", 'while [ -e "$0-wal" ]; do (echo a) | cat >/dev/null; done; echo done; exit 5'), 2
    asks = (PYTHON, "-c", ASKS), 4
    for limit, (command, moved_each), mechanism, *words in ((3 << 19, few, "pipe"), (1 << 20, storm, "pipe"), (1 << 20, asks, "unix_stream"),
                                                            (3 << 19, asks, "unix_stream", "--capture=4096")):
        path = s.new_trace()
        result = s.run([s.ipctrace, "-o", path, f"--source={source}", f"--max-size={limit}", *words, "--", *command, path])
        assert (result.status, result.out) == (5, b"done\n"), result
        assert re.match(rb"ipctrace: [^\n]*--max-size[^\n]*\n", result.err) and b" until --max-size, " in result.err, result.err
        assert limit // 2 < os.path.getsize(path) <= limit, (command, words, os.path.getsize(path))
        trace = Trace(path)
        assert trace.one("SELECT value FROM meta WHERE key = 'ended_by'") == "max-size"
        end, last = trace.rows("SELECT (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'end_ns'), max(ts_ns + dur_ns) FROM events")[0]
        assert last <= end, (last, end)
        if trace.one("SELECT count(*) FROM losses WHERE kind = 'lost'"):
            continue  # where the machine is overloaded the recorder cannot follow
        moved, messages = trace.rows("SELECT sum(bytes), sum(messages) FROM edges WHERE mechanism = ?", mechanism)[0]
        assert 100 < messages <= moved <= moved_each * messages, (moved, messages)
        assert trace.one("SELECT count(*) FROM messages WHERE mechanism = ?", mechanism) == messages
        trace.check_sound()


@test
def a_size_that_is_not_reached_changes_nothing(s):
    result, trace = s.record(["sh", "-c", "echo a | cat"], "shim", ["--max-size=1G"])
    assert result.out == b"a\n" and not result.err and trace.one("SELECT count(*) FROM meta WHERE key = 'ended_by'") == 0
    for bad in ("1", "1023K", "0", "x", "-1M", "1T", "9999999999G"):
        assert s.run([s.ipctrace, f"--max-size={bad}", "--", "true"]).status == 2, bad


def stop(s, *words):
    return s.run([s.ipctrace, "stop", *words])


@by_source
def stop_ends_a_recording_and_not_the_program(s, source):
    """By the trace's name, and by the recorder's pid; nobody else's recording is stopped, whoever runs them."""
    for by_pid in (False, True) if source == "shim" else (True,):
        path = s.new_trace()
        child = lasting(s, path, f"--source={source}", "-q")
        other = s.new_trace()
        bystander = lasting(s, other, "-q")
        word = str(child.pid) if by_pid else path
        wait_for("the recorder's answer", lambda: all(p.encode() in stop(s, "/no/such").err for p in (path, other)))
        result = stop(s, word)
        assert result.status == 0 and path.encode() in result.out and str(child.pid).encode() in result.out, result
        # It has waited: the trace is one plain file by now.
        assert Trace(path).one("SELECT value FROM meta WHERE key = 'ended_by'") == "stop" and not os.path.exists(path + "-wal")
        assert outlasted(child, path, "stop") == ""
        result = stop(s, word)
        assert result.status == 1 and b"no recording runs that is called" in result.err, result
        _, err = bystander.communicate("\n", timeout=PATIENCE)
        assert bystander.returncode == 7 and not err
        assert Trace(other).one("SELECT count(*) FROM events WHERE bytes = 100") == 2


def held_up(s, source, *command):
    """A recording that has begun and is not ready: it waits for a lock on the folder of its trace. Returns the recorder, the
    trace's path, and the lock, which goes when it is closed."""
    path = os.path.join(s.path("held"), "trace.db")
    os.mkdir(s.path("held"))
    os.chmod(s.path("held"), 0o777)
    lock = os.open(s.path("held"), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    child = subprocess.Popen([*s.prefix, s.ipctrace, "-q", "-o", path, f"--source={source}", "--", *command], cwd=s.dir,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for("the recorder's name", lambda: f"@ipctrace/{child.pid}/" in open("/proc/net/unix").read())
    return child, path, lock


@by_source
def stop_waits_for_a_recording_that_is_starting(s, source):
    child, path, lock = held_up(s, source, PYTHON, "-c", LASTS)
    stopping = subprocess.Popen([*s.prefix, s.ipctrace, "stop", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.2)
    assert stopping.poll() is None and not os.path.exists(path), "it waits"
    os.close(lock)
    out, err = stopping.communicate(timeout=5 * PATIENCE)
    assert stopping.returncode == 0 and path.encode() in out and not err, (stopping.returncode, out, err)
    assert child.stdout.readline() == "up\n" and outlasted(child, path, "stop") == ""


@test
def a_recording_that_does_not_come_about_is_not_waited_for(s):
    child, _, lock = held_up(s, "shim", "/no/such")
    stopping = subprocess.Popen([*s.prefix, s.ipctrace, "stop", str(child.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(lock)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 127
    out, err = stopping.communicate(timeout=5 * PATIENCE)
    assert (stopping.returncode, out) == (1, b"") and err.startswith(b"ipctrace: no recording"), (stopping.returncode, out, err)


@test
def stop_lists_recordings_where_it_cannot_tell_which(s):
    paths = [s.new_trace(), s.new_trace()]
    children = [lasting(s, path, "-q") for path in paths]
    wait_for("both answers", lambda: all(path.encode() in stop(s, "/no/such").err for path in paths))
    result = stop(s)
    assert result.status == 1 and result.err.startswith(b"ipctrace: several recordings run"), result
    for child, path in zip(children, paths):
        assert re.search(rf"^ *{child.pid}  {path}  {PYTHON} -c", result.err.decode(), re.M), result.err
        child.communicate("\n", timeout=PATIENCE)
        assert Trace(path).one("SELECT count(*) FROM meta WHERE key = 'ended_by'") == 0
    assert stop(s, "1", "2").status == 2


@test
def another_user_cannot_stop_it(s):
    if not IS_ROOT or s.user != "root":
        raise Skip("not root")
    path = s.new_trace()
    child = lasting(s, path, "-q")
    wait_for("the recorder's answer", lambda: path.encode() in stop(s, "/no/such").err)
    result = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", s.ipctrace, "stop", path])
    assert result.status == 1 and path.encode() not in result.err.replace(f"'{path}'".encode(), b""), result
    child.communicate("\n", timeout=PATIENCE)
    assert child.returncode == 7 and Trace(path).one("SELECT count(*) FROM events WHERE bytes = 100") == 2


@test
def a_chosen_program_that_cannot_be_entered_is_named(s):
    """Whoever starts it, by exec or posix_spawn: one that is not chosen itself, and what that has forked."""
    static = program("relay.c", "-static")
    name = os.path.basename(static)[:15]
    spawn = f"import os; os.waitpid(os.posix_spawn({static!r}, ['relay'], {{}}), 0)"
    result, trace = s.record(["sh", "-c", f'{static}; {static}; {PYTHON} -c "{spawn}"; exec {static}'], "shim", ["--comm", name],
                             stdin=b"")
    assert result.status == 0, result
    assert trace.lost("static") == {name: 4}, trace.rows("SELECT * FROM losses")


@test
def the_summary_names_who_was_not_seen_and_what_to_do(s):
    """In words, with the pid; `losses` keeps the machine's word, and explains it."""
    static = program("relay.c", "-static")
    path = s.new_trace()
    result = s.run([s.ipctrace, "--source=shim", "-o", path, "--", "sh", "-c", f"{static} & echo $!; wait"])
    pid, name = int(result.out.split()[0]), os.path.basename(static)[:15]
    lines = [line for line in result.err.decode().splitlines() if line.startswith("! not covered")]
    assert len(lines) == 1 and re.search(rf"{name}\S* \(pid {pid}\): a static program.*; run ipctrace as root", lines[0]), result
    assert ">=" in result.err.decode().splitlines()[0], "more may have been sent"
    rows = json.loads(s.run([s.ipctrace, "losses", "--json", "-i", path]).out)
    assert [(r["kind"], r["reason"], r["pid"], r["count"]) for r in rows] == [("not_covered", "static", pid, 1)], rows
    assert "static program" in rows[0]["words"] and "root" in rows[0]["remedy"]
    text = s.run([s.ipctrace, "losses", "-i", path]).out.decode()
    assert re.search(r"^static: a static program.*; run ipctrace as root", text, re.M), text


if __name__ == "__main__":
    main()
