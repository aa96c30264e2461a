# SPDX-License-Identifier: BSD-2-Clause
"""The recorder is killed: its programs run on, and `ipctrace recover` finishes the trace."""
import os
import re
import signal
import subprocess
import time

from harness import Skip, Trace, main, program, script, test

PYTHON = "/usr/bin/python3"


class Killed:
    """A recording of programs/talk.py, whose recorder is killed when `when` says so."""

    def __init__(self, s, arguments, when=None, path=None, recorder=()):
        self.path = path or s.new_trace()
        self.child = subprocess.Popen(
            s.prefix + [s.ipctrace, "-q", "-o", self.path, "--source=shim", *recorder, "--", PYTHON, script("talk.py"),
                        *map(str, arguments)], cwd=s.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdout.readline() == b"begun\n"
        if when:
            when(self)
        else:
            assert self.child.stdout.readline() == b"ready\n"
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait(60)

    def go_on(self):
        """The program goes on to its end, which is its standard output's."""
        self.child.stdin.write(b"go\n")
        self.child.stdin.close()
        assert self.child.stdout.read().endswith(b"done\n")

    def recover(self, s):
        done = s.run([s.ipctrace, "recover", "-q", self.path])
        assert (done.status, done.out, done.err) == (0, b"", b""), done
        assert not os.path.exists(self.path + "-recover") and not os.path.exists(self.path + "-wal")
        return Trace(self.path)


def counts(trace):
    """What a run of talk.py has whenever it is recorded: per edge, and per endpoint."""
    edges = trace.rows("""SELECT s.comm, d.comm, mechanism, sum(messages), sum(bytes), min(exact), max(partial), count(*)
                       FROM edges e LEFT JOIN processes s ON s.id = e.src_id LEFT JOIN processes d ON d.id = e.dst_id
                       WHERE mechanism != 'signal' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3, 4""")
    ends = trace.rows("""SELECT c.mechanism, role, sends, receives, n.bytes_sent, n.bytes_received, count(*)
                      FROM endpoints n JOIN channels c ON c.id = n.channel_id
                      WHERE c.mechanism IN ('pipe', 'unix_stream', 'unix_dgram', 'sysv_sem') AND sends + receives > 2
                      GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6""")
    return edges, ends


def whole(s, *arguments):
    """The same, of a recording that nobody kills."""
    _, trace = s.record([PYTHON, script("talk.py"), *map(str, arguments)], stdin=b"go\n")
    trace.check_sound()
    return counts(trace)


@test
def nothing_is_missing(s):
    """Pairs of processes talk before the recorder is killed and after it: each call and byte is in the trace, in the
    same edges, as in a recording that ended well."""
    killed = Killed(s, [3, 400, 600])
    killed.go_on()
    trace = killed.recover(s)
    trace.check_sound()
    assert counts(trace) == whole(s, 3, 400, 600)
    assert trace.one("SELECT value FROM meta WHERE key = 'recovered'")
    assert not trace.lost("outlived")
    again = s.run([s.ipctrace, "recover", killed.path])
    assert again.status == 1 and len(again.err.splitlines()) == 1, again


def noted(s, path):
    """What each view says on standard error about the trace's not being complete."""
    said = set()
    for view in ("summary", "edges", "messages", "losses", "spans", "summary --json", "query VALUES(1)"):
        result = s.run([s.ipctrace, *view.split(), "-i", path])
        assert result.status == 0 and result.out, result
        said.add(tuple(line for line in result.err.decode().splitlines() if "recorder was killed" in line))
    assert len(said) == 1, said
    return [*said.pop()]


@test(users=("nobody",))
def views_of_what_is_not_complete_say_so_once(s):
    """And what can be done about it; of a recording that goes on, or is complete, there is nothing to say."""
    def live(killed):
        assert killed.child.stdout.readline() == b"ready\n" and noted(s, killed.path) == []
    killed = Killed(s, [1, 10, 10], live)
    assert noted(s, killed.path) == [f"ipctrace: note: the recorder was killed before the trace was complete: ipctrace recover {killed.path}"]
    killed.go_on()
    killed.recover(s)
    assert noted(s, killed.path) == []
    killed = Killed(s, [1, 10, 10])
    killed.go_on()
    assert s.run([s.ipctrace, "recover", "--clean", killed.path]).status == 0
    unfinished = noted(s, killed.path)
    assert len(unfinished) == 1 and "unfinished" in unfinished[0] and "recover" not in unfinished[0].replace("recorder", ""), unfinished


@test(users=("nobody",))
def killed_at_any_moment(s):
    """In the middle of storing, at full speed."""
    wanted = whole(s, 2, 12000, 10)
    for size in (0, 30_000, 100_000, 200_000, 400_000):
        def when(killed, size=size):
            journal = killed.path + "-recover"
            while killed.child.poll() is None and (not os.path.exists(journal) or os.path.getsize(journal) < size):
                time.sleep(0.001)
        killed = Killed(s, [2, 12000, 10], when)
        killed.go_on()
        trace = killed.recover(s)
        trace.check_sound()
        assert counts(trace) == wanted, size


@test
def what_still_runs_goes_on(s):
    """It is recorded until recover ends that; the program notices nothing."""
    killed = Killed(s, [1, 100, 100])
    trace = killed.recover(s)
    assert sum(trace.lost("outlived").values()) >= 1
    assert trace.one("SELECT count(*) FROM events WHERE mechanism = 'unix_stream' AND verb = 'send'") >= 100
    killed.go_on()


@test(users=("root",))
def what_ebpf_records_ends_with_the_recorder(s):
    """A static program whose recorder is killed: what it did since is told to be missing, although the shim, in its parent,
    saw it end."""
    path = s.new_trace()
    relay = program("relay.c", "-static")
    child = subprocess.Popen([s.ipctrace, "-q", "-o", path, "--", "sh", "-c", f"echo before | {relay}; {relay}; echo done"],
                             cwd=s.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"before\n"
    child.stdin.write(b"one\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"one\n"
    end = time.monotonic() + 60
    while Trace(path).one("SELECT count(*) FROM events WHERE comm = 'relay-static' AND verb = 'send'") < 2:
        assert time.monotonic() < end, "what was before the kill is not stored"
        time.sleep(0.02)
    child.kill()
    child.wait(60)
    child.stdin.write(b"two\n")
    child.stdin.close()
    assert child.stdout.read() == b"two\ndone\n"
    done = s.run([s.ipctrace, "recover", "-q", path])
    assert (done.status, done.out, done.err) == (0, b"", b""), done
    trace = Trace(path)
    assert trace.rows("SELECT coverage FROM processes WHERE comm = 'relay-static' ORDER BY start_ns") == [("full",), ("partial",)]
    assert trace.lost("bpf-ended") == {"relay-static": 1}, trace.rows("SELECT * FROM losses")


@test
def the_next_recording_of_the_same_name(s):
    """It begins as ever: what can be recovered goes aside with the older trace."""
    killed = Killed(s, [1, 50, 50])
    killed.go_on()
    s.run([s.ipctrace, "-q", "-o", killed.path, "--source=shim", "--", "true"])
    assert os.path.exists(killed.path + ".old-recover")
    done = s.run([s.ipctrace, "recover", "-q", killed.path + ".old"])
    assert done.status == 0, done
    old = Trace(killed.path + ".old")
    old.check_sound()
    assert counts(old) == whole(s, 1, 50, 50)
    assert Trace(killed.path).one("SELECT count(*) FROM processes WHERE comm = 'true'") == 1


def listed(s, path):
    """(session, state) of the recording into `path`, or None."""
    done = s.run([s.ipctrace, "recover", "--list"])
    assert done.status == 0, done
    for line in done.out.decode().splitlines():
        if f" {os.path.realpath(path)} " in line:
            return tuple(line.split()[:2])
    return None


def record_until_closed(s, path):
    """Returns the recorder, which goes on until its stdin is closed, and its session, which is listed by now."""
    live = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--source=shim", "--", "cat"], cwd=s.dir,
                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while not listed(s, path):
        assert live.poll() is None
        time.sleep(0.05)
    session, state = listed(s, path)
    assert state == "recording"
    return live, session


@test
def sessions_are_listed_and_cleaned(s):
    """Never one that is still recorded."""
    path = s.new_trace()
    live, session = record_until_closed(s, path)
    for words in (["--clean", session], [session], [path]):
        done = s.run([s.ipctrace, "recover", *words])
        assert done.status == 1 and b"still being recorded" in done.err, done
    killed = [Killed(s, [1, 10, 10]) for _ in range(2)]
    for one in killed:
        one.go_on()
    which = s.run([s.ipctrace, "recover"])
    assert which.status == 1 and b"name one" in which.err, which
    assert all(os.fsencode(os.path.realpath(one.path)) in which.out for one in killed), which
    for one in killed:
        session, state = listed(s, one.path)
        assert state == "killed" and os.path.exists(f"/dev/shm/ipctrace-{session}")
        done = s.run([s.ipctrace, "recover", "--clean", session])
        assert done.status == 0 and session.encode() in done.out, done
        assert not os.path.exists(f"/dev/shm/ipctrace-{session}") and not os.path.exists(one.path + "-recover")
        assert s.run([s.ipctrace, "edges", "-i", one.path]).status == 0, "what was stored stays"
    live.stdin.close()
    assert live.wait(60) == 0 and listed(s, path) is None
    Trace(path).check_sound()


@test(users=("root",))
def a_recorder_of_another_pid_namespace(s):
    """It lives, whatever its number means there; nobody takes its buffer away, nor says that it was killed."""
    away = ["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', s.dir]
    if s.run([*away, "true"]).status:
        raise Skip("no private mounts or pids here")
    path = s.new_trace()
    live, session = record_until_closed(s, path)
    assert s.run([*away, s.ipctrace, "-q", "-o", s.path("other.db"), "--source=shim", "--", "true"]).status == 0
    rows = s.run([*away, s.ipctrace, "recover", "--list"]).out.decode()
    assert re.search(f"^{session}  recording ", rows, re.M), rows
    for words in ([session], ["--clean", session]):
        done = s.run([*away, s.ipctrace, "recover", *words])
        assert done.status == 1 and b"still being recorded" in done.err, done
    live.communicate(b"hello", timeout=60)
    assert live.returncode == 0 and listed(s, path) is None
    Trace(path).check_sound()


@test(users=("root",))
def a_trace_of_another_mount_namespace(s):
    """A recording that does not see it leaves what is needed to recover it."""
    os.mkdir(s.path("held"))
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && chmod 777 "$0" && echo up && read x', s.path("held")],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if holder.stdout.readline() != b"up\n":
        raise Skip("no private mounts here")
    s.prefix = ["nsenter", "-t", str(holder.pid), "-m"]
    killed = Killed(s, [1, 50, 50], path=s.path("held/trace.db"))
    killed.go_on()
    s.prefix = []
    result, _ = s.record(["true"])
    assert result.status == 0, result
    s.prefix = ["nsenter", "-t", str(holder.pid), "-m"]
    session, state = listed(s, killed.path)
    assert state == "killed"
    done = s.run([s.ipctrace, "recover", killed.path])
    assert done.status == 0 and b"ran " in done.out, done
    assert listed(s, killed.path) is None
    holder.communicate(b"\n", timeout=60)


@test
def without_the_journal(s):
    """What was stored is a trace, and says what is missing."""
    killed = Killed(s, [1, 100, 10])
    killed.go_on()
    os.unlink(killed.path + "-recover")
    assert len(noted(s, killed.path)) == 1
    trace = killed.recover(s)
    assert sum(trace.lost("recorder-killed").values()) == 1 and noted(s, killed.path) == []
    assert listed(s, killed.path) is None


@test
def a_damaged_journal(s):
    """It counts as far as it is whole; nothing crashes."""
    killed = Killed(s, [1, 300, 10])
    killed.go_on()
    journal = killed.path + "-recover"
    with open(journal, "rb") as f:
        data = bytearray(f.read())
    data[len(data) // 2:] = os.urandom(len(data) - len(data) // 2)
    with open(journal, "wb") as f:
        f.write(data)
    done = s.run([s.ipctrace, "recover", "-q", killed.path])
    assert done.status == 0, done
    assert s.run(["sqlite3", killed.path, "PRAGMA integrity_check"]).out == b"ok\n"


@test
def names_that_are_nobodys(s):
    """One clear line each."""
    for words in (["nonsense"], ["--clean", "nonsense"], ["--list", "nonsense"], ["/"], [""]):
        done = s.run([s.ipctrace, "recover", *words])
        assert done.status == 1 and len(done.err.splitlines()) == 1, done
    assert s.run([s.ipctrace, "recover", "--list", "--clean"]).status == 2
    assert s.run([s.ipctrace, "recover", "a", "b"]).status == 2


main()
