#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the commands write, for programs and for people: formats, terminals, the pager, names that are no text, one pid
of two processes, and trace files that are none. Truth is the trace, read by sqlite3."""
import csv
import fcntl
import io
import json
import os
import pty
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import termios
import time
import unicodedata

from harness import Skip, main, needs, read_terminal, run, script, shorten, test

PIPELINE = ["sh", "-c", "ls /usr | grep bin | cat"]
TRACED = {}  # user: a trace that several tests look at
ROWS = ("processes", "channels", "edges", "regions", "messages", "spans", "waits", "events", "losses")


def trace_of(s):
    """A trace with something in nearly every view, made once for each user."""
    if s.user not in TRACED:
        result, trace = s.record(["sh", "-c", "ls /usr | grep bin | (sleep 0.1; cat) >/dev/null"])
        assert result.status == 0, result
        TRACED[s.user] = trace
    return TRACED[s.user]


def viewers(s):
    """{command: the argument that it needs} of the commands that read a trace."""
    names = re.findall(r"^  ([a-z]+) {2,}", s.run([s.ipctrace, "--help"]).out.decode(), re.M)
    assert "edges" in names and "doctor" in names, names
    reading = [name for name in names if b"[-i FILE]" in s.run([s.ipctrace, name, "--help"]).out]
    assert set(ROWS) <= set(reading) and "doctor" not in reading, reading
    return {name: ["SELECT * FROM events"] if name == "query" else [] for name in reading}


def shown(s, *words, status=0):
    result = s.run([s.ipctrace, *words])
    assert result.status == status, (words, shorten(result))
    return result.out.decode("utf-8")


def on_terminal(s, *words, columns=80, status=0, stdin=b"", **environment):
    """What a terminal of so many columns gets, lines ended by a newline."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    plain = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "PAGER", "LESS")}
    child = subprocess.Popen(s.prefix + [s.ipctrace, *words], cwd=s.dir, stdin=subprocess.DEVNULL, stdout=theirs,
                             stderr=theirs, env={**plain, "TERM": "xterm", "IPCTRACE_PAGER": "", **environment})
    os.close(theirs)
    out = read_terminal(ours)
    assert child.wait(timeout=60) == status, (words, child.returncode, out)
    return out.decode("utf-8")


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it does not come")


def width(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@test(users=("nobody",))
def every_format_has_the_same_rows(s):
    trace = trace_of(s)
    for name in ROWS:
        rows = json.loads(shown(s, name, "-i", trace.path, "--json"))
        lines = [json.loads(line) for line in shown(s, name, "-i", trace.path, "--ndjson").splitlines()]
        assert lines == rows, name
        text = shown(s, name, "-i", trace.path, "--csv")
        assert text.count("\n") == text.count("\r\n") == len(rows) + 1, text
        table = list(csv.DictReader(io.StringIO(text, newline="")))
        assert table == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows], name
        if name in ("processes", "events", "messages"):
            assert len(rows) == trace.one(f"SELECT count(*) FROM {name}"), name
    for words in (["reference", "--list"], ["doctor"]):
        formats = [s.run([s.ipctrace, *words, option]).out.decode() for option in ("--json", "--ndjson", "--csv")]
        names = [row["name"] for row in json.loads(formats[0])]
        assert names and [json.loads(line)["name"] for line in formats[1].splitlines()] == names, formats
        assert [row["name"] for row in csv.DictReader(io.StringIO(formats[2], newline=""))] == names, formats


@test(users=("nobody",))
def comma_separated_values_as_rfc_4180_has_them(s):
    got = shown(s, "query", "-i", trace_of(s).path, "--csv",
                "SELECT 'a,b' AS \"x,y\", 'say \"hi\"' AS b, NULL AS c, '' AS d, ' e ' AS e, 'l' || char(10) || 'm' AS f, 1.5 AS g")
    assert got == '"x,y",b,c,d,e,f,g\r\n"a,b","say ""hi""",,""," e ",l\\x0am,1.5\r\n', got


@test(users=("nobody",))
def events_come_while_they_are_recorded(s):
    """What --follow writes is there before the recording ends, and in the end it is all; the trace is one file then."""
    path, gate = s.path("growing.db"), s.path("gate")
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    recorder = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--", "sh", "-c", f"echo one | cat; read x <{gate}; echo two | cat"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(path) and s.run([s.ipctrace, "events", "-i", path]).status == 0)
    followers = [subprocess.Popen(s.prefix + [s.ipctrace, "events", "--follow", "-i", path, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                for options in (["--ndjson"], ["--csv"], ["--ndjson", "--verb", "send", "--mechanism", "pipe"])]
    first = json.loads(followers[2].stdout.readline())
    assert first["bytes"] == 4 and recorder.poll() is None, first
    with open(gate, "w", encoding="ascii") as file:
        file.write("go\n")
    rest = [viewer.communicate(timeout=60)[0].decode() for viewer in followers]
    assert recorder.wait(60) == 0 and [viewer.returncode for viewer in followers] == [0, 0, 0]
    rows = [json.loads(line) for line in rest[0].splitlines()]
    assert rows == json.loads(shown(s, "events", "-i", path, "--json")) and len(rows) > 10
    assert rest[1] == shown(s, "events", "-i", path, "--csv")
    sends = json.loads(shown(s, "events", "-i", path, "--json", "--verb", "send", "--mechanism", "pipe"))
    assert [first] + [json.loads(line) for line in rest[2].splitlines()] == sends and len(sends) >= 2
    assert s.run([s.ipctrace, "events", "--follow", "--limit", "1", "-i", path]).status == 2
    # Of what has ended it is the same as without.
    assert shown(s, "events", "-i", path, "--follow") == shown(s, "events", "-i", path)


def check_integers(text):
    """No integer of this JSON is changed by a reader that makes it a double."""
    def check(word):
        assert int(float(word)) == int(word) and abs(int(word)) < 2 ** 53, f"{word} is too large for a double"
        return int(word)
    return json.loads(text, parse_int=check)


@test(users=("nobody",))
def times_survive_a_reader_that_knows_doubles_only(s):
    """The trace says that the machine is up for 200 days: more nanoseconds than a double can tell apart."""
    path = s.new_trace()
    shutil.copy(trace_of(s).path, path)
    late = 200 * 86400 * 10 ** 9 + 1
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'start_ns'", (str(late),))
        db.execute("UPDATE processes SET start_ns = ? + id", (late,))
        sent = [str(t) for t, in db.execute("SELECT ts_ns FROM events")]
        started = [str(t) for t, in db.execute("SELECT start_ns FROM processes")]
    db.close()
    texts = {name: shown(s, name, "-i", path, "--json") for name in ROWS}
    texts["query"] = shown(s, "query", "-i", path, "--json", "SELECT ts_ns, -ts_ns AS before, 9007199254740991 AS most FROM events")
    rows = {name: check_integers(text) for name, text in texts.items()}
    assert [row["ts_ns"] for row in rows["events"]] == [row["ts_ns"] for row in rows["query"]] == sent
    assert [row["start_ns"] for row in rows["processes"]] == started
    assert rows["query"][0]["most"] == 2 ** 53 - 1 and rows["query"][0]["before"] == "-" + sent[0], rows["query"][0]
    node = shutil.which("node")
    if node:
        read = run([node, "-e", "const rows = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
                    "console.log(rows.map(row => BigInt(row.ts_ns)).join(' '))"], stdin=texts["events"].encode())
        assert read.out.decode().split() == sent, shorten(read)
    early = json.loads(shown(s, "events", "-i", trace_of(s).path, "--json"))
    assert all(isinstance(row["ts_ns"], str) and isinstance(row["dur_ns"], int) for row in early), early[:2]


@test(users=("nobody",))
def colours_on_a_terminal_only_and_as_told(s):
    path = trace_of(s).path
    assert "\x1b" not in shown(s, "edges", "-i", path)
    assert "\x1b[1m" in shown(s, "edges", "-i", path, "--color=always")
    plain = on_terminal(s, "edges", "-i", path, "--color=never")
    assert "\x1b" not in plain
    coloured = on_terminal(s, "edges", "-i", path)
    assert coloured.startswith("\x1b[1mFROM"), coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert on_terminal(s, "edges", "-i", path, NO_COLOR="1") == plain
    assert on_terminal(s, "edges", "-i", path, NO_COLOR="") == coloured
    assert on_terminal(s, "edges", "-i", path, TERM="dumb") == plain
    assert on_terminal(s, "edges", "-i", path, "--color=always", NO_COLOR="1", TERM="dumb") == coloured
    assert on_terminal(s, "edges", "-i", "none", status=1).startswith("\x1b[31mipctrace:\x1b[m cannot"), "error"
    assert s.run([s.ipctrace, "edges", "--color=sometimes"]).status == 2
    for option in ("--json", "--ndjson", "--csv"):
        assert "\x1b" not in on_terminal(s, "edges", "-i", path, option, "--color=always")


@test(users=("nobody",))
def marks_stand_out(s):
    path = s.new_trace()
    shutil.copy(trace_of(s).path, path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE edge_rows SET exact = 0")
        db.execute("INSERT INTO loss_rows VALUES ('lost', 'shim', 'dropped', 0, '', 3, 1, 2, 0, -1)")
    db.close()
    got = on_terminal(s, "summary", "-i", path)
    assert "\x1b[33m~\x1b[m" in got and "\x1b[31m!\x1b[m lost" in got, got


@test(users=("nobody",))
def tables_use_the_width_there_is(s):
    path = trace_of(s).path
    for columns in (20, 80, 200):
        for name in ROWS + ("edges",):
            for line in on_terminal(s, name, "-i", path, "--color=never", columns=columns).splitlines():
                assert width(line) <= max(columns, 24) or "ipctrace: note:" in line, (columns, name, line)
    narrow, wide = (on_terminal(s, "channels", "-i", path, columns=n) for n in (80, 200))
    assert "NON-BLOCKING" in wide and "NON-BLOCKING" not in narrow
    assert on_terminal(s, "channels", "-i", path, columns=200, COLUMNS="80") == narrow
    assert on_terminal(s, "channels", "-i", path, columns=80, COLUMNS="nonsense") == narrow
    assert on_terminal(s, "channels", "-i", path, columns=80, COLUMNS="200") == wide
    # In a pipe nothing is shortened, whatever COLUMNS says.
    long = "n" * 300
    assert long in s.run(["env", "COLUMNS=20", s.ipctrace, "query", "-i", path, f"SELECT '{long}' AS x"]).out.decode()
    assert "nnn..nnn" in on_terminal(s, "query", "-i", path, f"SELECT '{long}' AS x")


@test(users=("nobody",))
def columns_are_aligned_whatever_is_in_them(s):
    sql = """SELECT column1 AS name, column2 AS number, column3 AS "end" FROM (VALUES ('plain', 1, 'x'),
             ('日本語', 22222, 'x'), ('e' || char(769) || 'te', 333, 'x'), (NULL, NULL, 'x'), ('grüße', 1.5, 'x'))"""
    for lines in (shown(s, "query", "-i", trace_of(s).path, sql).splitlines(),
                  on_terminal(s, "query", "-i", trace_of(s).path, sql, "--color=never").splitlines()):
        assert len({width(line[:line.rindex("x")]) for line in lines[1:]}) == 1, lines
        assert lines[1].index("1") > lines[2].index("2"), lines  # numbers to the right
    wide = "SELECT '" + "漢字" * 40 + "' AS x, 1 AS y"
    for columns in (40, 41, 42, 43):
        got = on_terminal(s, "query", "-i", trace_of(s).path, wide, "--color=never", columns=columns).splitlines()
        assert width(got[1]) <= columns and ".." in got[1] and got[1].endswith("1"), got
        assert width(got[0]) == width(got[1]), got


@test(users=("nobody",))
def long_output_goes_through_the_pager(s):
    path = trace_of(s).path
    paged = s.path("paged")
    show = ["edges", "-i", path, "--color=never"]
    direct = on_terminal(s, *show)
    def pages(pager="", *words, **environment):
        open(paged, "w", encoding="utf-8").close()
        os.chmod(paged, 0o666)
        out = on_terminal(s, *show, *words, IPCTRACE_PAGER=pager, **environment)
        with open(paged, encoding="utf-8") as file:
            return out, file.read()
    assert pages(f"cat >{paged}") == ("", direct)
    assert pages(f"cat >{paged}", "--no-pager") == (direct, "")
    assert pages(f"cat >{paged}", TERM="dumb") == (direct, "")
    assert pages("", PAGER=f"cat >{paged}") == (direct, "")
    assert pages("cat") == pages("no-such-pager -x") == (direct, "")
    assert pages(f"printf '%s %s' $LESS $LV >{paged}") == ("", "FRX -c")
    assert pages(f"printf '%s' $LESS >{paged}", LESS="S") == ("", "S")
    # Who has seen enough leaves: no failure, nothing goes on running.
    assert on_terminal(s, "query", "-i", path, "--color=never", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                       " SELECT i AS n FROM n", IPCTRACE_PAGER="head -n 1").strip() == "n"
    # What is wrong is said, with the status, also where the pager has both.
    assert "no such table" in on_terminal(s, "query", "-i", path, "SELECT * FROM no_such", status=1, IPCTRACE_PAGER="cat -v")
    # Neither a pipe nor a file has one.
    result = s.run(["env", f"IPCTRACE_PAGER=cat >{paged}", s.ipctrace, *show])
    assert b"ls:" in result.out, shorten(result)


@test(users=("nobody",))
def less_is_the_pager_unless_told_otherwise(s):
    needs("less")
    show = ["edges", "-i", trace_of(s).path, "--color=never", "--limit", "1"]
    environment = {key: value for key, value in os.environ.items() if key not in ("PAGER", "LESS")}
    direct = on_terminal(s, *show)
    # What fits the screen it writes and leaves.
    got = on_terminal(s, *show, IPCTRACE_PAGER="less", **environment)
    assert direct.splitlines()[1] in got, got


def with_requests(s):
    """A trace in which ls asked grep, grep cat twice, and cat said in bytes what no terminal shall get."""
    path = s.new_trace()
    shutil.copy(trace_of(s).path, path)
    with sqlite3.connect(path) as db:
        ls, grep, cat = (db.execute("SELECT id FROM processes WHERE comm = ? ORDER BY id DESC", (comm,)).fetchone()[0] for comm in ("ls", "grep", "cat"))
        start = db.execute("SELECT value FROM meta WHERE key = 'start_ns'").fetchone()[0]
        pipe, = db.execute("SELECT id FROM channels WHERE mechanism = 'pipe'").fetchone()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        db.execute("DELETE FROM spans")
        db.executemany("""INSERT INTO spans (trace_id, span_id, parent_id, kind, name, src_id, dst_id, channel_id, start_ns, end_ns,
                       exact, pipelined) VALUES (?, ?, ?, 'http', ?, ?, ?, ?, ? + CAST(? AS INTEGER), ? + CAST(? AS INTEGER), ?, 0)""", [
            (trace, "b1", None, "GET /\x1b[2J", ls, grep, pipe, 0, start, 10 ** 9, start, 1),
            (trace, "b2", "b1", "late", grep, cat, pipe, 5 * 10 ** 8, start, 10 ** 9, start, 0),
            (trace, "b3", "b1", "early", grep, cat, pipe, 0, start, 5 * 10 ** 8, start, 1),
            (trace, "b4", "b3", "unanswered", cat, ls, pipe, 25 * 10 ** 7, start, None, None, 1),
            (trace[:-1] + "7", "c1", None, "another", ls, cat, pipe, 0, start, 10, start, 1)])
        db.execute("INSERT INTO span_links VALUES ('b2', 'b1', 1, NULL, ?, 1)", (pipe,))
        db.execute("DELETE FROM payloads")
        db.execute("INSERT INTO payloads SELECT DISTINCT send_event, x'68695c00ff1b5b324ac3a90a5c783431' FROM messages WHERE mechanism = 'pipe'")
    db.close()
    return path, trace


@test(users=("nobody",))
def a_trace_is_a_tree_with_bars_to_scale(s):
    path, trace = with_requests(s)
    lines = on_terminal(s, "trace", "-i", path, trace, "--color=never", columns=120).splitlines()
    assert lines[0] == f"trace {trace}: 4 requests between 3 processes, 1.0 s", lines
    bar = slice(lines[1].index("0 "), lines[1].index("1.0 s") + 5)
    assert bar.stop - bar.start == 20, lines
    assert [(line[:bar.start].rstrip(), line[bar].rstrip()) for line in lines[2:]] == [
        ("GET /\\x1b[2J", "#" * 20), ("  early", "#" * 10), ("    unanswered", " " * 5 + "-" * 15), ("  late", " " * 10 + "#" * 10)], lines
    assert "~500.0 ms" in lines[5] and "~" not in lines[3], lines
    assert "pipe" in on_terminal(s, "trace", "-i", path, trace, columns=200).splitlines()[5]
    for columns in (20, 80, 120, 300):
        for line in on_terminal(s, "trace", "-i", path, trace, "--color=never", columns=columns).splitlines()[1:]:
            assert width(line) <= max(columns, 26), (columns, line)
    # In a list people get as many digits as they need, programs all of them.
    assert trace[:8] in on_terminal(s, "spans", "-i", path) and trace not in on_terminal(s, "spans", "-i", path)
    assert trace in shown(s, "spans", "-i", path)


@test(users=("nobody",))
def a_trace_is_named_by_the_beginning_of_its_id(s):
    path, trace = with_requests(s)
    whole = shown(s, "trace", "-i", path, trace)
    assert shown(s, "trace", "-i", path, trace.upper()) == shown(s, "trace", "-i", path) == whole
    for words, status, said in ((trace[:8], 1, f"several traces begin with '{trace[:8]}': {trace}, {trace[:-1]}7"), ("abc", 1, "no trace in "),
                                ("xyz", 2, "is not the beginning of a trace's id"), (trace + "0", 2, "is not the beginning"), ("", 2, "is not")):
        result = s.run([s.ipctrace, "trace", "-i", path, words])
        assert result.status == status and said in result.err.decode() and not result.out, result
    rows = json.loads(shown(s, "trace", "-i", path, trace, "--json"))
    def names(spans):
        return [(span["name"], span["depth"], names(span["children"])) for span in spans]
    assert names(rows) == [("GET /\x1b[2J", 0, [("early", 1, [("unanswered", 2, [])]), ("late", 1, [])])], rows
    flat = [json.loads(line) for line in shown(s, "trace", "-i", path, trace, "--ndjson").splitlines()]
    assert [(row["name"], row["via"]) for row in flat] == [("GET /\x1b[2J", None), ("early", None), ("unanswered", None), ("late", "pipe")], flat
    assert len(shown(s, "trace", "-i", path, trace, "--csv").splitlines()) == 5


ASK = """
import os, socket
ours, theirs = socket.socketpair()
if not os.fork():
    for _ in range(3):
        theirs.send(b"reply to " + theirs.recv(100))
    os._exit(0)
for i in range(3):
    ours.send(b"request %d" % i)
    ours.recv(100)
os.wait()
"""


@test(users=("nobody",))
def what_one_process_asks_of_another(s):
    """Recorded, and shown: the requests, and what was said. Where the recorder left the requests out they are found later."""
    result, trace = s.record(["/usr/bin/python3", "-c", ASK], recorder=["--capture=12"])
    assert result.status == 0, shorten(result)
    said = [row["payload"] for row in json.loads(shown(s, "messages", "--payload", "-i", trace.path, "--json", "--mechanism", "unix_stream", "--sort", "sent_ns"))]
    assert said == [text for i in range(3) for text in (f"request {i}", "reply to req")], said
    spans = shown(s, "spans", "-i", trace.path, "--json")
    assert len({row["trace_id"] for row in json.loads(spans)}) == 3 and {row["name"] for row in json.loads(spans)} == {"unix_stream"}, spans
    assert "exchange" in shown(s, "summary", "-i", trace.path)
    path = s.new_trace()
    shutil.copy(trace.path, path)
    with sqlite3.connect(path) as db:
        db.executescript("DELETE FROM spans; UPDATE meta SET value = 'deferred' WHERE key = 'spans'")
    db.close()
    os.chmod(path, 0o444)
    assert "and requests, which have yet to be found" in shown(s, "summary", "-i", path)
    for command in ("spans", "trace"):
        result = s.run([s.ipctrace, command, "-i", path])
        assert result.status == 1 and b"needs leave to write there: Permission denied" in result.err, result
    os.chmod(path, 0o666)
    assert shown(s, "trace", "-i", path) == shown(s, "trace", "-i", trace.path)
    result = s.run([s.ipctrace, "spans", "-i", path, "--json"])
    assert result.out.decode() == spans and not result.err, result
    with sqlite3.connect(path) as db:
        db.executescript("DELETE FROM spans; DELETE FROM meta WHERE key = 'spans'")  # as while it goes on
    db.close()
    for command in ("spans", "trace"):
        result = s.run([s.ipctrace, command, "-i", path, "--json"])
        assert (result.status, result.out) == (0, b"[\n]\n") and b"when the recording has ended" in result.err, result


@test(users=("nobody",))
def payloads_as_text_and_in_hexadecimal(s):
    path, _ = with_requests(s)
    as_text = r"hi\\\x00\xff\x1b[2Jé\x0a\\x41"  # what was said and what stands for a byte cannot be confused
    for option, wanted in (("--payload", as_text), ("--payload=text", as_text), ("--payload=hex", "68695c00ff1b5b324ac3a90a5c783431")):
        for text in (shown(s, "messages", option, "-i", path, "--mechanism", "pipe"),
                     on_terminal(s, "messages", option, "-i", path, "--mechanism", "pipe", columns=120)):
            assert len(text.splitlines()) > 1 and all(wanted in line for line in text.splitlines()[1:]), text
        assert {row["payload"] for row in json.loads(shown(s, "messages", option, "-i", path, "--json", "--mechanism", "process"))} == {None}
    for option in ("--json", "--ndjson", "--csv"):
        text = shown(s, "messages", "--payload", "-i", path, "--mechanism", "pipe", option)
        assert (as_text if option == "--csv" else r'"hi\\\u0000\ufffd\u001b[2Jé\n\\x41"') in text, text
    assert "payload" not in json.loads(shown(s, "messages", "-i", path, "--json"))[0]
    result = s.run([s.ipctrace, "messages", "--payload", "-i", trace_of(s).path])
    assert result.status == 1 and b"has no payloads: they are recorded with --capture=" in result.err and result.err.count(b"\n") == 1, result
    assert s.run([s.ipctrace, "messages", "--payload=all", "-i", path]).status == 2


REUSE = """
import os
def child(text):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, text)
        os._exit(0)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    os.waitpid(pid, 0)
    return pid
def after(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(pid - 1))
first = child(b"first")
for _ in range(2000):
    after(first)
    if child(b"other") == first:
        break
print(first)
"""


@test(users=("root",))
def two_processes_that_had_one_pid(s):
    """The kernel is told which pid comes next. The trace has both, and so has every view."""
    try:
        with open("/proc/sys/kernel/ns_last_pid", "r+", encoding="ascii"):
            pass
    except OSError as why:
        raise Skip(f"pids cannot be chosen: {why}")
    for source in ("shim", "bpf"):
        result, trace = s.record(["/usr/bin/python3", "-c", REUSE], source)
        if source == "bpf" and result.status == 125:
            continue
        pid = int(result.out)
        ids = [row[0] for row in trace.rows("SELECT id FROM processes WHERE pid = ? AND coverage = 'full' ORDER BY id", pid)]
        assert len(ids) >= 2, trace.rows("SELECT id, pid, comm FROM processes")
        first, last = f"python3:{pid}", f"python3:{pid}#{len(ids)}"
        edges = json.loads(shown(s, "edges", "-i", trace.path, "--mechanism", "pipe", "--json"))
        assert {row["src"] for row in edges if row["src_id"] == ids[0]} == {first}, edges
        assert {row["src"] for row in edges if row["src_id"] == ids[-1]} == {last}, edges
        text = shown(s, "summary", "-i", trace.path)
        assert f"\n{first} " in text and last in text, text
        lives = trace.one("SELECT count(*) FROM processes WHERE prev_id IS NULL AND pid IS NOT NULL AND coverage = 'full'")
        assert f" {lives} processes" in text, text
        assert last in shown(s, "channels", "-i", trace.path)
        for name, columns in (("messages", ("src_id", "dst_id")), ("events", ("process_id",))):
            head = shown(s, name, "-i", trace.path).split("\n")[0].split()
            assert set(columns) <= set(head), head
            assert on_terminal(s, name, "-i", trace.path, "--color=never", columns=300).split("\n")[0].split().count("PROCESS") == len(columns)
    head = shown(s, "messages", "-i", trace_of(s).path).split("\n")[0].split()
    assert "src_id" not in head, head


def is_tame(text, allowed="\n"):
    """No control character but these; nothing that changes the direction of writing."""
    wild = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in allowed]
    return not wild


@test(users=("nobody",))
def names_with_control_characters(s):
    """No command lets them out, in no format, whether there is a terminal or not."""
    result, trace = s.record(["/usr/bin/python3", script("evil.py"), s.dir])
    assert result.status == 0, shorten(result)
    assert trace.one("SELECT count(*) FROM processes WHERE instr(comm, char(27))")
    assert trace.one("SELECT count(*) FROM channels WHERE instr(name, char(27))") > 2
    for name, words in viewers(s).items():
        for option, allowed in ([], "\n"), (["--json"], "\n"), (["--ndjson"], "\n"), (["--csv"], "\r\n"):
            text = shown(s, name, "-i", trace.path, *option, *words)
            assert is_tame(text, allowed), (name, option, text)
            text = on_terminal(s, name, "-i", trace.path, "--color=never", *option, *words, columns=1000)
            assert is_tame(text, allowed), (name, option, text)
    assert "\\x1b" in shown(s, "processes", "-i", trace.path)
    names = {row["name"] for row in json.loads(shown(s, "channels", "-i", trace.path, "--json"))}
    assert {name for name, in trace.rows("SELECT name FROM channels WHERE mechanism = 'unix_stream'")} <= names | {None}
    heading = on_terminal(s, "query", "-i", trace.path, "SELECT 1 AS \"\x1b[2J\"", "--color=never")
    assert heading.startswith("\\x1b[2J\n"), heading


@test(users=("nobody",))
def words_with_control_characters(s):
    """Nor do they come back in a message, of any command, or as the name of a trace."""
    evil = "\x1b[2J\x07\n\u202e"
    names = re.findall(r"^  ([a-z]+) {2,}", s.run([s.ipctrace, "--help"]).out.decode(), re.M)
    for words in ([evil], ["-" + evil], ["--" + evil], ["--", evil], ["-o", evil + "/t", "--", "true"], ["--source=" + evil, "--", "true"],
                  *([name, evil] for name in names if name != "record"), *([name, "--" + evil] for name in names),
                  *([name, "-i", evil] for name in viewers(s)), ["reference", "pipe", "--" + evil], ["reference", "pipe", "--variant", evil],
                  ["reference", "pipe", "--messages", evil], ["query", "-i", trace_of(s).path, evil],
                  ["record", "--cgroup", evil]):
        result = s.run([s.ipctrace, *words])
        assert result.status, (words, result)
        assert is_tame((result.out + result.err).decode()), (words, result)
    path = s.path(evil)
    recorder = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path + "2", "--", "sh", "-c", "read x"], stdin=subprocess.PIPE)
    wait_for(lambda: b"2J" in s.run([s.ipctrace, "stop", "nothing"]).err)
    for words in (["nothing"], [path + "2"]):
        result = s.run([s.ipctrace, "stop", *words])
        assert is_tame((result.out + result.err).decode()) and b"\\x1b[2J" in result.out + result.err, result
    recorder.communicate(b"\n", timeout=60)
    result = s.run([s.ipctrace, "-o", path, "--", *PIPELINE])
    assert result.status == 0 and is_tame(result.err.decode()) and b"\\x1b[2J" in result.err, shorten(result)
    for name, words in viewers(s).items():
        result = s.run([s.ipctrace, name, "-i", path, *words])
        assert result.status == 0 and is_tame((result.out + result.err).decode()), shorten(result)


def damage(s, good):
    """Yields (name of a file that is no whole trace, what is said of it)."""
    def write(name, data):
        with open(s.path(name), "wb") as file:
            file.write(data)
        os.chmod(s.path(name), 0o644)
        return name
    def database(name, sql):
        with sqlite3.connect(s.path(name)) as db:
            db.executescript(sql)
        db.close()
        os.chmod(s.path(name), 0o644)
        return name
    with open(good, "rb") as file:
        data = file.read()
    yield "missing", "cannot open 'missing': No such file or directory (ipctrace -- COMMAND records one"
    foreign = "is not an ipctrace trace (-i FILE shows another)"
    yield write("text", b"text\n" * 1000), foreign
    yield write("nothing", b""), foreign
    yield write("magic", b"A" + data[1:]), foreign
    yield database("other", "CREATE TABLE meta (key, value)"), foreign
    yield database("another", "PRAGMA application_id = 7; CREATE TABLE events (id)"), foreign
    os.mkfifo(s.path("fifo"))
    yield "fifo", foreign
    os.mkdir(s.path("folder"))
    yield "folder", "Is a directory"
    for cut in (100, 5000, len(data) // 2, len(data) - 1):
        yield write(f"cut-{cut}", data[:cut]), "is damaged ("
    schema = int.from_bytes(data[60:64], "big")
    for version, remedy in ((99, "a newer ipctrace is needed"), (1, "record it again")):
        write(f"version-{version}", data)
        yield database(f"version-{version}", f"PRAGMA user_version = {version}"), f"has schema version {version} and this ipctrace knows {schema}: {remedy}"
    yield database("empty", f"PRAGMA application_id = 1229996884; PRAGMA user_version = {schema}"), "no such table"


@test(users=("nobody",))
def what_is_no_trace_gets_one_line(s):
    for name, said in damage(s, trace_of(s).path):
        for command, words in viewers(s).items():
            result = s.run([s.ipctrace, command, "-i", name, *words])
            text = result.err.decode()
            assert result.status == 1 and not result.out, (name, command, shorten(result))
            assert text.count("\n") == 1 and said in text, (name, command, text)
    if s.user == "nobody":
        shutil.copy(trace_of(s).path, s.path("secret"))
        os.chmod(s.path("secret"), 0)
        result = s.run([s.ipctrace, "edges", "-i", "secret"])
        assert result.status == 1 and result.err == b"ipctrace: cannot open 'secret': Permission denied\n", result


@test(users=("nobody",))
def damage_anywhere_is_survived(s):
    """Bytes of a trace are wrong: each command shows what it can read or says in a line that it cannot."""
    with open(trace_of(s).path, "rb") as file:
        good = file.read()
    dice = random.Random(1)
    for _ in range(12):
        bad = bytearray(good)
        for _ in range(dice.choice((1, 10, 300))):
            bad[dice.randrange(100, len(bad))] = dice.randrange(256)
        with open(s.path("bad"), "wb") as file:
            file.write(bad)
        for command, words in viewers(s).items():
            result = s.run([s.ipctrace, command, "-i", "bad", *words])
            said = [line for line in result.err.decode().splitlines() if not line.startswith("ipctrace: note: ")]
            assert result.status in (0, 1) and len(said) == result.status, (command, shorten(result))
            assert is_tame((result.out + result.err).decode()), command


if __name__ == "__main__":
    main()
