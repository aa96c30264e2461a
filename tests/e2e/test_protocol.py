#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What is kept of what messages say: names of calls, and bytes only where they were asked for."""
import os
import signal
import sqlite3
import stat
import subprocess
import time

from harness import Trace, by_source, main, test

PYTHON = "/usr/bin/python3"
SECRET = b"hush-88417"
CALLS = 40
# Calls and replies over a pair of sockets, all with a word that it is told; half-way it waits for another line.
TALK = f"""
import os, socket, sys
word = sys.stdin.readline().strip().encode()
a, b = socket.socketpair()
call = b'{{"jsonrpc":"2.0","id":%d,"method":"look","params":["' + word + b'"]}}\\n'
reply = b'{{"jsonrpc":"2.0","id":%d,"result":["' + word + b'"]}}\\n'
if not os.fork():
    a.close()
    for i in range({CALLS}):
        assert b.recv(4096) == call % i
        b.sendall(reply % i)
    os._exit(0)
b.close()
for i in range({CALLS}):
    a.sendall(call % i)
    assert a.recv(4096) == reply % i
    if i == {CALLS} // 2:
        sys.stdin.readline()
os.wait()
"""
SAID = [("jsonrpc", "call", "look", CALLS, 0), ("jsonrpc", "reply", None, CALLS, CALLS)]


def content(path):
    """All that is on the disk."""
    found = b""
    for name in (path, path + "-wal", path + "-recover"):
        if os.path.exists(name):
            with open(name, "rb") as f:
                found += f.read()
    return found


def mode_of(trace):
    return stat.S_IMODE(os.stat(trace.path).st_mode)


def said(trace):
    return trace.rows("SELECT protocol, kind, name, count(*), count(call) FROM protocol_messages GROUP BY 1, 2, 3 "
                      "ORDER BY 2")


def record(s, source, *recorder):
    _, trace = s.record([PYTHON, "-c", TALK], source, recorder, stdin=SECRET + b"\n\n")
    return trace


@by_source
def names_are_stored_and_bytes_are_not(s, source):
    trace = record(s, source)
    assert said(trace) == SAID, said(trace)
    assert SECRET not in content(trace.path) and not trace.rows("SELECT * FROM payloads")
    assert not trace.rows("SELECT * FROM meta WHERE key IN ('capture', 'payload_warning')")


@by_source
def nothing_is_looked_at(s, source):
    trace = record(s, source, "--no-protocols")
    assert not said(trace) and SECRET not in content(trace.path)
    assert "--no-protocols" in trace.one("SELECT value FROM meta WHERE key = 'settings'")


@by_source
def bytes_that_were_asked_for(s, source):
    """Of each message at both of its ends, no more of it than that; the trace says so, and only its owner reads it."""
    trace = record(s, source, "--capture=20")
    assert said(trace) == SAID, said(trace)
    kept = dict(trace.rows("""SELECT verb, count(*) FROM payloads p JOIN events e ON e.id = p.event_id
                           WHERE mechanism = 'unix_stream' AND data = CAST('{"jsonrpc":"2.0","id' AS BLOB) GROUP BY 1"""))
    assert kept == {"send": 2 * CALLS, "recv": 2 * CALLS}, kept
    assert trace.one("SELECT max(length(data)) FROM payloads") == 20
    assert mode_of(trace) == 0o600, oct(mode_of(trace))
    shown = s.run([s.ipctrace, "summary", "-i", trace.path])
    assert shown.out.count(b"the first 20 bytes of each message") == 1, shown


@test
def bytes_alone(s):
    """They are stored and not looked at."""
    trace = record(s, "shim", "--no-protocols", "--capture=4K")
    assert not said(trace)
    assert trace.one("SELECT count(*) FROM payloads WHERE instr(data, CAST(? AS BLOB))", SECRET.decode()) >= 4 * CALLS


def killed(s, *recorder):
    """The recorder is killed when it has stored the first half. Returns what was on the disk then, and the trace that
    was made of it."""
    path = s.new_trace()
    child = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--source=shim", *recorder, "--", PYTHON, "-c", TALK],
                             cwd=s.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(SECRET + b"\n")
    child.stdin.flush()
    until = time.monotonic() + 120
    while stored(path) < CALLS and time.monotonic() < until:
        time.sleep(0.01)
    before = content(path)
    os.kill(child.pid, signal.SIGKILL)
    child.stdin.write(b"\n")
    child.stdin.close()
    child.stdout.read()  # the program's too: it has ended
    child.wait(60)
    done = s.run([s.ipctrace, "recover", "-q", path])
    assert (done.status, done.err) == (0, b""), done
    return before, Trace(path)


def stored(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM events WHERE mechanism = 'unix_stream' AND verb = 'recv'").fetchone()[0]
    except sqlite3.Error:
        return 0


@test
def the_journal_has_no_bytes(s):
    """What was recorded before the recorder was killed cannot be read again, which is told."""
    before, trace = killed(s)
    assert SECRET not in before and SECRET not in content(trace.path)
    assert sum(trace.lost("payload-dropped").values()) > 0, trace.rows("SELECT * FROM losses")
    trace.check_sound()


@test
def the_journal_has_what_was_asked_for(s):
    before, trace = killed(s, "--capture=4K")
    assert SECRET in before
    assert said(trace) == SAID, said(trace)
    assert not trace.lost("payload-dropped")
    assert mode_of(trace) == 0o600, oct(mode_of(trace))


main()
