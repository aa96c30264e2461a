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

# Calls and replies whose numbers stand at their ends, each sent by one call.
SIZES = 10, 3000, 4096, 5000, 10000, 60000
LATE = f"""
import os, socket, sys
def message(text):
    return b'Content-Length: %d\\r\\n\\r\\n' % len(text) + text if sys.argv[1] == 'headed' else text + b'\\n'
def call(i, size):
    return message(b'{{"jsonrpc":"2.0","method":"late","params":["%s"],"id":%d}}' % (b'x' * size, i))
def reply(i, size):
    return message(b'{{"jsonrpc":"2.0","result":["%s"],"id":%d}}' % (b'}}' * size, i))
def take(end, wanted):
    got = b''
    while len(got) < len(wanted):
        got += end.recv(len(wanted) - len(got))
    assert got == wanted
a, b = socket.socketpair()
if not os.fork():
    a.close()
    for i, size in enumerate({SIZES}):
        take(b, call(i, size))
        b.sendall(reply(i, size))
    os._exit(0)
b.close()
for i, size in enumerate({SIZES}):
    a.sendall(call(i, size))
    take(a, reply(i, size))
os.wait()
"""


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


def late(s, source, how, *recorder):
    _, trace = s.record([PYTHON, "-c", LATE, how], source, recorder)
    rows = trace.rows("""SELECT c.kind, c.name, c.number, r.kind, r.number, c.exact, r.exact FROM protocol_messages c
                      LEFT JOIN protocol_messages r ON r.call = c.id WHERE c.name NOTNULL ORDER BY c.id""")
    assert [row[:5] for row in rows] == [("call", "late", i, "reply", i) for i in range(len(SIZES))], rows
    assert trace.one("SELECT count(*) FROM protocol_messages") == 2 * len(SIZES)
    return trace, [row[5:] for row in rows]


@by_source
def numbers_at_the_end_of_long_messages(s, source):
    trace, exact = late(s, source, "headed")
    assert set(exact) == {(1, 1)} and not trace.lost("unparsed"), exact


@by_source
def without_a_head_they_may_be_of_another_message(s, source):
    """Which is marked."""
    trace, exact = late(s, source, "bare")
    assert exact[:2] == [(1, 1)] * 2 and set(exact[2:]) == {(0, 0)} and trace.lost("unparsed"), exact


@by_source
def what_is_stored_of_long_messages_is_their_beginning(s, source):
    """Whatever the parsers look at."""
    for capture in 100, 3500:
        trace, _ = late(s, source, "headed", f"--capture={capture}")
        sizes = set()
        for data, moved in trace.rows("""SELECT data, bytes FROM payloads p JOIN events e ON e.id = p.event_id
                                      WHERE mechanism = 'unix_stream' AND verb = 'send'"""):
            assert len(data) == min(moved, capture) and data[:16] == b"Content-Length: ", (moved, data)
            text = data.partition(b'"}' if b'"result"' in data else b'"x')[2].rstrip(b'"]},id:0123456789')
            assert not text.strip(b"x}"), data
            sizes.add(len(data))
        assert capture in sizes, sizes


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
