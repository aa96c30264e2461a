#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who is recorded: processes that run already, with what they have open and are in the middle of; those of a cgroup,
of a name, of some mechanisms; the whole machine. The processes do what the test tells them, so that it knows."""
import ast
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import time

from harness import IS_ROOT, Skip, Trace, by_source, main, run, script, test

NO_START, INSIDE = 256, 32
PYTHON = "/usr/bin/python3"


class Worker:
    """A process that does what it is told. Its own end of its orders is a pipe too."""

    def __init__(self, fds=(), prefix=()):
        self.process = subprocess.Popen([*prefix, PYTHON, script("obey.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, pass_fds=fds)
        self.pid = self.do("os.getpid()") if not prefix else self.process.pid

    def begin(self, what):
        """Goes on with it while the test does something else."""
        self.process.stdin.write(what.encode() + b"\n")
        self.process.stdin.flush()

    def result(self):
        line = self.process.stdout.readline()
        assert line, "the worker has ended"
        return ast.literal_eval(line.decode())

    def do(self, what):
        self.begin(what)
        return self.result()

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=120)
        self.process.stdout.close()


@contextlib.contextmanager
def workers(*made):
    try:
        yield made
    finally:
        for worker in made:
            worker.process.kill()
            worker.end()


def until(condition, seconds=120):
    """Waits until it holds; returns what it was then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def asleep(pid, call):
    """Waits until the process sleeps in the system call of this number."""
    def sleeps():
        with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
            return f.read().split()[0] == str(call)
    until(sleeps)


@contextlib.contextmanager
def recording(s, options, *pids):
    """Records until the body has ended; begins when the trace has the pids. Yields a function that gives the trace, with
    the recorder ended: by an interrupt, or by itself."""
    path = s.new_trace()
    recorder = subprocess.Popen([s.ipctrace, "record", "-q", "-o", path, *options], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)

    def begun():
        assert recorder.poll() is None, recorder.stderr.read()
        with contextlib.suppress(sqlite3.Error):
            there = {pid for pid, in Trace(path).rows("SELECT pid FROM processes")}
            return there >= set(pids) and os.path.exists(path)

    def end(sent=signal.SIGINT):
        if sent:
            recorder.send_signal(sent)
        _, err = recorder.communicate(timeout=120)
        assert recorder.returncode == 0 and not err, (recorder.returncode, err)
        trace = Trace(path)
        if sent:
            still = trace.rows("SELECT reason FROM losses WHERE reason = 'outlived'")
            assert not still, "processes go on, and nobody said that they should not"
        return trace
    try:
        until(begun)
        yield end
    finally:
        if recorder.poll() is None:
            recorder.kill()
            recorder.communicate()


def pid_options(*made):
    return ["-p", ",".join(str(worker.pid) for worker in made)]


def on(trace, key):
    """{pid: (sends, bytes sent, receives, bytes received)} of a channel."""
    return {row[0]: row[1:] for row in trace.rows(
        """SELECT p.pid, sum(sends), sum(n.bytes_sent), sum(receives), sum(n.bytes_received) FROM endpoints n
        JOIN channels c ON c.id = n.channel_id JOIN processes p ON p.id = n.process_id WHERE c.key = ?
        GROUP BY 1 HAVING sum(sends) + sum(receives) > 0""", key)}


def between(trace, key):
    """{(src_pid, dst_pid): (bytes, exact)} of a channel."""
    return {row[:2]: row[2:] for row in trace.rows(
        """SELECT src_pid, dst_pid, sum(bytes), min(exact) FROM edges e JOIN channels c ON c.id = e.channel_id
        WHERE c.key = ? GROUP BY 1, 2""", key)}


def new_pipe():
    r, w = os.pipe()
    return r, w, f"pipe:[{os.fstat(r).st_ino}]"


def close(*fds):
    for fd in fds:
        os.close(fd)


as_root = test(users=("root",))


@as_root
def a_pipe_that_was_open(s):
    r, w, key = new_pipe()
    with workers(Worker([w]), Worker([r])) as (a, b):
        with recording(s, pid_options(a, b), a.pid, b.pid) as end:
            for i in range(10):
                a.do(f"os.write({w}, b'x' * {100 + i})")
                assert b.do(f"len(os.read({r}, 4096))") == 100 + i
            trace = end()
        assert on(trace, key) == {a.pid: (10, 1045, 0, 0), b.pid: (0, 0, 10, 1045)}
        assert between(trace, key)[a.pid, b.pid][0] == 1045
        with open(f"/proc/{a.pid}/cmdline", "rb") as f:
            cmdline = f.read().rstrip(b"\0").replace(b"\0", b" ").decode()
        row = trace.rows("SELECT comm, exe, cmdline, ppid, ns_pid FROM processes WHERE pid = ?", a.pid)
        with open(f"/proc/{a.pid}/comm", encoding="ascii") as f:
            comm = f.read().rstrip()
        assert row == [(comm, os.path.realpath(PYTHON), cmdline, os.getpid(), a.pid)]
        has = {fd for fd, in trace.rows("SELECT fd FROM events WHERE pid = ? AND call = 'inherit'", a.pid)}
        assert has >= {0, 1, w}, has
    close(r, w)


@as_root
def calls_that_were_under_way(s):
    r, w, key = new_pipe()
    r2, w2, key2 = new_pipe()
    with workers(Worker([w, w2]), Worker([r]), Worker([r2])) as (a, b, c):
        b.begin(f"len(os.read({r}, 4096))")
        c.begin(f"len(os.read({r2}, 4096))")
        asleep(b.pid, 0)
        asleep(c.pid, 0)
        with recording(s, pid_options(a, b, c), a.pid, b.pid, c.pid) as end:
            a.do(f"os.write({w}, b'hello')")
            assert b.result() == 5
            trace = end()
        assert on(trace, key) == {a.pid: (1, 5, 0, 0), b.pid: (0, 0, 1, 5)}
        assert trace.rows("""SELECT src_pid, bytes FROM messages WHERE dst_pid = ? AND mechanism = 'pipe'
                          AND channel_id = (SELECT id FROM channels WHERE key = ?)""", b.pid, key) == [(a.pid, 5)]
        reads = """SELECT e.flags & ?, e.dur_ns > 0, e.bytes FROM events e JOIN channels c ON c.id = e.channel_id
                WHERE e.pid = ? AND e.call = 'read' AND c.key = ?"""
        assert trace.rows(reads, NO_START | INSIDE, b.pid, key) == [(NO_START, 1, 5)]
        assert trace.rows(reads, NO_START | INSIDE, c.pid, key2) == [(NO_START | INSIDE, 1, 0)]
        # Those that wait for their orders are in the middle of a call as well.
        assert trace.one("SELECT flags & ? FROM events WHERE pid = ? AND call = 'read' AND fd = 0 ORDER BY id LIMIT 1",
                         NO_START, a.pid) == NO_START
        a.do(f"os.write({w2}, b'end')")
        c.result()
    close(r, w, r2, w2)


@as_root
def what_was_in_flight_is_nobodys(s):
    """Written by one who has it no more, or by another: never a message that is called certain."""
    r, w, key = new_pipe()
    path = s.path("fifo")
    os.mkfifo(path)
    fr, fw = os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)
    os.set_blocking(fr, True)
    with workers(Worker([w, fw]), Worker([r, fr]), Worker([w, fw])) as (a, b, c):
        for out in (w, fw):
            c.do(f"os.write({out}, b'x' * 100)")
        with recording(s, pid_options(a, b), a.pid, b.pid) as end:
            for out, into in ((w, r), (fw, fr)):
                a.do(f"os.write({out}, b'y' * 50)")
                assert b.do(f"os.read({into}, 70)") == b"x" * 70
                assert b.do(f"os.read({into}, 4096)") == b"x" * 30 + b"y" * 50
            trace = end()
        for key in (key, trace.one("SELECT key FROM channels WHERE mechanism = 'fifo'")):
            assert on(trace, key) == {a.pid: (1, 50, 0, 0), b.pid: (0, 0, 2, 150)}, key
            edges = between(trace, key)
            assert set(edges) <= {(a.pid, b.pid)} and all(moved <= 50 and not exact for moved, exact in edges.values())
            assert not trace.one("""SELECT count(*) FROM messages m JOIN channels c ON c.id = m.channel_id WHERE c.key = ?
                                 AND m.exact""", key)
        assert trace.lost("unmatched"), "200 bytes came from nowhere"
    close(r, w, fr, fw)


@as_root
def what_a_queue_held_is_nobodys(s):
    """Found in System V queues: one message from before, one since."""
    with workers(Worker(), Worker(), Worker()) as (a, b, c):
        for worker in (a, b, c):
            worker.do("things.update(c=ctypes.CDLL(None), m=ctypes.create_string_buffer(b'\\x01' + bytes(7) + b'x' * 9))")
        queue = a.do("things['c'].msgget(0, 0o600)")
        empty = a.do("things['c'].msgget(0, 0o600)")
        assert c.do(f"things['c'].msgsnd({queue}, things['m'], 5, 0)") == 0
        b.begin(f"things['c'].msgrcv({empty}, things['m'], 9, 0, 0)")
        asleep(b.pid, 70)
        with recording(s, pid_options(a, b), a.pid, b.pid) as end:
            for into in (empty, queue):
                assert a.do(f"things['c'].msgsnd({into}, things['m'], 7, 0)") == 0
            assert b.result() == 7
            assert [b.do(f"things['c'].msgrcv({queue}, things['m'], 9, 0, 0)") for _ in range(2)] == [5, 7]
            trace = end()
        for made in (queue, empty):
            a.do(f"things['c'].msgctl({made}, 0, None)")
        keys = [key for key, in trace.rows("SELECT key FROM channels WHERE mechanism = 'sysv_msg'")]
        full, = [key for key in keys if key.endswith(f":{queue}")]
        other, = [key for key in keys if key.endswith(f":{empty}")]
        assert on(trace, full) == {a.pid: (1, 7, 0, 0), b.pid: (0, 0, 2, 12)}
        assert on(trace, other) == {a.pid: (1, 7, 0, 0), b.pid: (0, 0, 1, 7)}
        assert not trace.one("SELECT count(*) FROM messages m JOIN channels c ON c.id = channel_id WHERE key = ? AND exact", full)
        assert trace.rows("SELECT src_pid, dst_pid, bytes FROM messages m JOIN channels c ON c.id = channel_id WHERE key = ?",
                          other) == [(a.pid, b.pid, 7)]


def connect(s, a, b):
    """a serves, b is its client: on a UNIX and a TCP socket. Returns their ends as keys, and how to say something."""
    path = s.path("socket")
    a.do("things.update(u=socket.socket(socket.AF_UNIX), t=socket.socket())")
    a.do(f"things['u'].bind({path!r}), things['t'].bind(('127.0.0.1', 0)), things['u'].listen(), things['t'].listen()")
    port = a.do("things['t'].getsockname()[1]")
    b.do("things.update(u=socket.socket(socket.AF_UNIX), t=socket.socket())")
    b.do(f"things['u'].connect({path!r}), things['t'].connect(('127.0.0.1', {port}))")
    a.do("things.update(U=things['u'].accept()[0], T=things['t'].accept()[0]) or 0")
    inodes = [worker.do(f"os.fstat(things[{what!r}].fileno()).st_ino") for worker, what in ((a, "U"), (b, "u"))]
    return path, port, "unix:" + "-".join(f"[{inode}]" for inode in sorted(inodes))


def talk(a, b):
    for kind, n in (("u", 10), ("t", 20)):
        b.do(f"things[{kind!r}].send(b'q' * {n})")
        assert a.do(f"len(things[{kind.upper()!r}].recv(100))") == n
        a.do(f"things[{kind.upper()!r}].send(b'a' * {2 * n})")
        assert b.do(f"len(things[{kind!r}].recv(100))") == 2 * n


@as_root
def sockets_that_were_connected(s):
    with workers(Worker(), Worker()) as (a, b):
        path, port, key = connect(s, a, b)
        with recording(s, pid_options(a, b), a.pid, b.pid) as end:
            talk(a, b)
            trace = end()
        assert on(trace, key) == {a.pid: (1, 20, 1, 10), b.pid: (1, 10, 1, 20)}
        assert {pair: moved for pair, (moved, _) in between(trace, key).items()} == {(a.pid, b.pid): 20, (b.pid, a.pid): 10}
        tcp = {row[:2]: row[2] for row in trace.rows("SELECT src_pid, dst_pid, sum(bytes) FROM edges WHERE mechanism = 'tcp' GROUP BY 1, 2")}
        assert tcp == {(a.pid, b.pid): 40, (b.pid, a.pid): 20}
        names = {row for row in trace.rows("SELECT mechanism, name FROM channels WHERE mechanism IN ('unix_stream', 'tcp')")}
        assert {("unix_stream", path), ("tcp", f"127.0.0.1:{port}")} <= names, names
        assert not trace.outsiders()


@as_root
def the_other_end_is_not_recorded(s):
    with workers(Worker(), Worker()) as (a, b):
        _, _, key = connect(s, a, b)
        with recording(s, pid_options(a), a.pid) as end:
            talk(a, b)
            trace = end()
        assert on(trace, key)[a.pid] == (1, 20, 1, 10)
        assert trace.one("SELECT coverage FROM processes WHERE pid = ?", b.pid) == "untraced"
        assert {pair: moved for pair, (moved, _) in between(trace, key).items()} == {(a.pid, b.pid): 20, (b.pid, a.pid): 10}
        assert not trace.one("SELECT count(*) FROM events WHERE pid = ?", b.pid)


@as_root
def descendants_and_threads(s):
    r, w, key = new_pipe()
    with workers(Worker([r, w])) as (a,):
        a.do("things.update(go=threading.Event(), on=threading.Event())")
        a.do(f"things.update(t=threading.Thread(target=lambda: (things['go'].wait(), os.write({w}, b'abc'), things['on'].set())))")
        a.do("things['t'].start()")
        tid = a.do("things['t'].native_id")
        child = a.do("things.update(c=subprocess.Popen(['sleep', '1000'])) or things['c'].pid")
        with recording(s, pid_options(a), a.pid, child) as end:
            a.do("things['go'].set(), things['on'].wait(), things['t'].join()")
            assert a.do(f"os.read({r}, 100)") == b"abc"
            late = a.do(f"things.update(d=subprocess.Popen(['echo'], stdout={w})) or things['d'].wait() or things['d'].pid")
            assert a.do(f"os.read({r}, 100)") == b"\n"
            a.do("things['c'].kill(), things['c'].wait()")
            a.end()
            trace = end(None)  # nobody is left
        assert trace.rows("""SELECT e.pid, e.tid, e.bytes FROM events e JOIN channels c ON c.id = e.channel_id
                          WHERE c.key = ? AND verb = 'send' ORDER BY ts_ns""", key) == [(a.pid, tid, 3), (late, late, 1)]
        parents = dict(trace.rows("SELECT c.pid, p.pid FROM processes c JOIN processes p ON p.id = c.parent_id"))
        assert parents[child] == a.pid and parents[late] == a.pid, parents
        assert trace.one("SELECT exit_status FROM processes WHERE pid = ?", child) == signal.SIGKILL
        assert (a.pid, child) in [row[:2] for row in trace.rows(
            "SELECT dst_pid, src_pid FROM messages WHERE mechanism = 'process'")], "who waited for it"
        assert not trace.rows("SELECT pid FROM processes WHERE end_ns IS NULL AND coverage = 'full'")
    close(r, w)


@as_root
def more_than_the_buffer_holds(s):
    """Processes with 320000 descriptors together: 23 MB."""
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20100)
    each = most - 100
    forks = 320000 // each
    r, w, key = new_pipe()
    with workers(Worker([r])) as (a,):
        a.do(f"resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))")
        assert a.do(f"len([os.dup({r}) for i in range({each - 1})])") == each - 1
        a.do(f"things.update(c=[os.fork() or signal.pause() for i in range({forks - 1})])")
        with recording(s, pid_options(a), a.pid) as end:
            trace = end()
        a.do("[os.kill(pid, 9) for pid in things['c']], [os.wait() for pid in things['c']]")
        assert not trace.lost("dropped")
        assert trace.one("""SELECT count(*) FROM events e JOIN channels c ON c.id = e.channel_id WHERE c.key = ?
                         AND e.call = 'inherit'""", key) == each * forks
    close(r, w)


BUSY = 4000
PING = f"[os.write({{1}}, b'x' * (i % {BUSY} + 1)) and os.read({{0}}, {BUSY}) for i in range(10 ** 9)]"
PONG = f"[os.write({{1}}, os.read({{0}}, {BUSY})) for i in range(10 ** 9)]"
FORKS = "[subprocess.call(['true']) for i in range(10 ** 9)]"


@as_root
def nothing_is_lost_or_told_twice(s):
    """Two who never rest, and one who starts others all the time: in each way the sizes go up by one."""
    there, back = new_pipe(), new_pipe()
    fds = [there[0], there[1], back[0], back[1]]
    with workers(Worker(fds), Worker(fds), Worker()) as (a, b, c):
        a.begin(PING.format(back[0], there[1]))
        b.begin(PONG.format(there[0], back[1]))
        c.begin(FORKS)
        for _ in range(4):
            with recording(s, [*pid_options(a, b, c), "--buffer=256M"], a.pid, b.pid, c.pid) as end:
                time.sleep(0.2)
                trace = end()
            lost = trace.rows("SELECT reason, count FROM losses WHERE reason NOT IN ('unmatched', 'killed')")
            assert not lost, lost
            seen = {}
            for key in (there[2], back[2]):
                for worker in (a, b):
                    sizes = [n for n, in trace.rows(
                        """SELECT bytes FROM events e JOIN channels c ON c.id = e.channel_id WHERE c.key = ? AND e.pid = ?
                        AND verb IN ('send', 'recv') AND flags & ? = 0 ORDER BY ts_ns + dur_ns""", key, worker.pid, INSIDE)]
                    assert len(sizes) > 20
                    jumps = [pair for pair in zip(sizes, sizes[1:]) if pair[1] != pair[0] % BUSY + 1]
                    assert not jumps, (key, worker is a, jumps[:5])
                    seen[key, worker.pid] = len(sizes)
            assert max(seen.values()) - min(seen.values()) <= 4, seen
            started = trace.rows("""SELECT p.pid, count(*), max(p.parent_id IS NOT NULL), max(p.comm = 'true') FROM processes p
                                 WHERE p.pid NOT IN (?, ?, ?) GROUP BY 1 ORDER BY min(p.start_ns)""", a.pid, b.pid, c.pid)
            assert len(started) > 5 and all(row[2] for row in started), started
            assert all(row[1:] == (2, 1, 1) for row in started[1:-1]), started
    close(*fds)


@contextlib.contextmanager
def cgroup():
    """A cgroup of our own in the unified hierarchy; and where that is."""
    with open("/proc/self/mounts", encoding="ascii") as f:
        where = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
    if not where:
        raise Skip("the unified hierarchy of cgroups is not mounted")
    path = f"{where[0]}/ipctrace-test-{os.getpid()}"
    try:
        os.mkdir(path)
        os.mkdir(path + "/below")
    except OSError as error:
        raise Skip(f"no cgroup can be made: {error}") from error
    try:
        yield where[0], path
    finally:
        until(lambda: not any(open(f"{path}{sub}/cgroup.procs").read() for sub in ("", "/below")))
        os.rmdir(path + "/below")
        os.rmdir(path)


def move(worker, folder):
    with open(folder + "/cgroup.procs", "w", encoding="ascii") as f:
        f.write(str(worker.pid))


@as_root
def a_cgroup_and_those_below(s):
    r, w, key = new_pipe()
    with cgroup() as (where, path), workers(Worker([w]), Worker([r]), Worker([w])) as (a, b, other):
        move(a, path)
        move(b, path + "/below")
        for given in (path, path[len(where):]):
            with recording(s, ["--cgroup", given], a.pid, b.pid) as end:
                for sender, n in ((a, 5), (other, 7)):
                    sender.do(f"os.write({w}, b'x' * {n})")
                    assert b.do(f"len(os.read({r}, 100))") == n
                child = a.do("things.update(c=subprocess.Popen(['true'])) or things['c'].wait() or things['c'].pid")
                outside = other.do("things.update(c=subprocess.Popen(['true'])) or things['c'].wait() or things['c'].pid")
                trace = end()
            assert on(trace, key) == {a.pid: (1, 5, 0, 0), b.pid: (0, 0, 2, 12)}
            groups = dict(trace.rows("SELECT pid, cgroup FROM processes WHERE coverage = 'full'"))
            assert groups == {a.pid: path[len(where):], child: path[len(where):], b.pid: path[len(where):] + "/below"}, groups
            assert outside not in groups and other.pid not in groups
        # A program that is started into it: judged by what its exec finds.
        with recording(s, ["--cgroup", path], a.pid) as end:
            late = other.do(f"things.update(c=subprocess.Popen(['sh', '-c', 'echo 0 > {path}/cgroup.procs; exec true']))"
                            " or things['c'].wait() or things['c'].pid")
            trace = end()
        assert trace.rows("SELECT pid, comm FROM processes WHERE pid = ?", late) == [(late, "true")]


@as_root
def containers_are_named(s):
    name = "0123456789abcdef" * 4
    with cgroup() as (where, path):
        folder = f"{path}/docker-{name}.scope"
        os.mkdir(folder)
        try:
            with workers(Worker()) as (a,):
                move(a, folder)
                with recording(s, ["--cgroup", path], a.pid) as end:
                    trace = end()
                assert trace.rows("SELECT container, cgroup FROM processes WHERE pid = ?", a.pid) == [
                    (name, folder[len(where):])]
                shown = run([s.ipctrace, "processes", "-i", trace.path, "--json"]).out.decode()
                assert name in shown
                assert b"container" in run([s.ipctrace, "processes", "-i", trace.path]).out.split(b"\n")[0]
        finally:
            until(lambda: not open(folder + "/cgroup.procs").read())
            os.rmdir(folder)


def named(s, name, program):
    """A copy of a program under a name of its own."""
    path = s.path(name)
    with open(path, "wb") as out, open(program, "rb") as f:
        out.write(f.read())
    os.chmod(path, 0o755)
    return path


@by_source
def processes_of_a_name(s, source):
    """In the command's tree: at their exec, until they execute something else."""
    shell, cat = named(s, "ipct-sh", "/bin/sh"), named(s, "ipct-cat", "/bin/cat")
    work = f"echo one | {cat} | {cat}; {shell} -c 'echo two; exec {cat} /dev/null' | {cat}; {shell} -c 'exit 3'"
    _, trace = s.record(["sh", "-c", work], source, ["--comm", "ipct-cat"])
    rows = trace.rows("SELECT comm, exit_status, cmdline FROM processes WHERE coverage = 'full' ORDER BY 3")
    assert rows == [("ipct-cat", 0, cat)] * 3 + [("ipct-cat", 0, f"{cat} /dev/null")], rows
    assert trace.edge("ipct-cat", "ipct-cat") == (1, 4)
    _, trace = s.record(["sh", "-c", work], source, ["--comm", "ipct-sh"])
    rows = trace.rows("""SELECT p.comm, p.coverage, p.exit_status, v.comm, p.end_ns IS NOT NULL FROM processes p
                      LEFT JOIN processes v ON v.id = p.prev_id ORDER BY p.id""")
    assert rows == [("ipct-sh", "full", None, None, 1), ("ipct-cat", "untraced", 0, "ipct-sh", 1),
                    ("ipct-sh", "full", 3 << 8, None, 1)], rows
    assert trace.one("SELECT count(*) FROM events WHERE comm = 'ipct-cat' AND call != 'exit_group'") == 0


@as_root
def the_whole_machine_by_name(s):
    r, w, key = new_pipe()
    with workers(Worker([w]), Worker([r]), Worker([w])) as (a, b, other):
        name = f"ipct{os.getpid()}"[:15]
        for worker in (a, b):
            worker.do(f"name_self({name!r})")
        copy = named(s, name, "/bin/echo")
        with recording(s, ["-a", "--comm", name], a.pid, b.pid) as end:
            for sender, n in ((a, 5), (other, 7)):
                sender.do(f"os.write({w}, b'x' * {n})")
                assert b.do(f"len(os.read({r}, 100))") == n
            late = other.do(f"things.update(c=subprocess.Popen([{copy!r}, 'x'], stdout={w})) or things['c'].wait()"
                            " or things['c'].pid")
            assert b.do(f"os.read({r}, 100)") == b"x\n"
            trace = end(signal.SIGTERM)
        assert on(trace, key) == {a.pid: (1, 5, 0, 0), b.pid: (0, 0, 3, 14), late: (1, 2, 0, 0)}
        assert {pid for pid, in trace.rows("SELECT pid FROM processes WHERE coverage = 'full'")} == {a.pid, b.pid, late}
        # As long as a command runs.
        result, trace = s.record(["sleep", "0.3"], "bpf", ["-a", "--comm", name])
        assert result.status == 0
        assert {pid for pid, in trace.rows("SELECT pid FROM processes WHERE coverage = 'full'")} == {a.pid, b.pid}
    close(r, w)


TRAFFIC = """
import os, socket
r, w = os.pipe()
a, b = socket.socketpair()
if not os.fork():
    os.write(w, b'x' * 100); a.send(b'y' * 50); os._exit(0)
os.read(r, 1000), b.recv(1000), os.wait()
"""


@by_source
def some_mechanisms(s, source):
    command = [PYTHON, "-c", TRAFFIC]
    for given, wanted in (("pipe", {"pipe"}), ("unix_stream,process", {"unix_stream", "process"})):
        _, trace = s.record(command, source, ["-m", given])
        found = {name for name, in trace.rows("SELECT DISTINCT mechanism FROM channels")}
        assert found == wanted, found
        assert {name for name, in trace.rows("SELECT DISTINCT mechanism FROM events")} == wanted
        moved = {row[0]: row[1:] for row in trace.rows("SELECT mechanism, sum(messages), sum(bytes) FROM edges GROUP BY 1")}
        assert moved == ({"pipe": (1, 100)} if given == "pipe" else {"unix_stream": (1, 50), "process": (2, 0)}), moved
        assert trace.one("SELECT count(*) FROM processes WHERE coverage = 'full' AND exit_status = 0") == 2
        trace.check_sound()


@by_source
def a_pid_namespace(s, source):
    if not IS_ROOT or s.user != "root":
        raise Skip("not root")
    result, trace = s.record(["unshare", "--pid", "--fork", "sh", "-c", "echo $$; sleep 0; echo $$ | cat"], source)
    if result.status == 1 and b"unshare" in result.err:
        raise Skip(result.err.decode())
    assert result.out == b"1\n1\n", result
    rows = trace.rows("SELECT comm, pid, ns_pid FROM processes WHERE exe GLOB '*sh' ORDER BY id LIMIT 1")
    assert rows[0][0] == "sh" and rows[0][2] == 1, rows
    if source == "bpf":
        assert rows[0][1] > 1
        inner = {own for own, in trace.rows("SELECT ns_pid FROM processes WHERE comm IN ('sh', 'cat', 'sleep')")}
        assert inner == {1, 2, 3, 4}, inner
        assert b"own" in run([s.ipctrace, "processes", "-i", trace.path]).out or \
            b"ns_pid" in run([s.ipctrace, "processes", "-i", trace.path]).out


@test
def what_cannot_be(s):
    gone = subprocess.Popen(["true"])
    gone.wait()
    result = s.run([s.ipctrace, "-p", str(gone.pid)])
    assert result.status == 125 and len(result.err.splitlines()) == 1, result
    assert (f"process {gone.pid}".encode() if s.user == "root" and IS_ROOT else b"sudo") in result.err, result
    assert b"shim" not in result.err, "which could not do it"
    result = s.run([s.ipctrace, "--cgroup", "/no-such-cgroup"])
    assert result.status == 125 and b"'/no-such-cgroup'" in result.err and len(result.err.splitlines()) == 1, result
    for words in (["-a", "--source=shim"], ["-p", "1", "--", "true"], ["-p", "1,x"], ["-p", "0"], ["-m", "pipe,none"],
                  ["-m", ""]):
        result = s.run([s.ipctrace, *words])
        assert result.status == 2 and result.err.startswith(b"ipctrace: "), (words, result)
    assert not os.path.exists(s.path("ipctrace.db"))


if __name__ == "__main__":
    main()
