# SPDX-License-Identifier: BSD-2-Clause
"""What is counted rather than told: events for which the eBPF source's buffer had no room, and all sends and receives
of a recording with --aggregate."""
import os
import re
import signal
import sqlite3
import subprocess
import time

from harness import ROOT, Trace, main, program, script, shorten, test
from ledger import EDGES, SHAPES, TOTALS, load

SMALL = ["--buffer=64K"]
PIPE_EVENTS = "SELECT count(*) FROM events WHERE mechanism = ?"
DROPPED = "SELECT coalesce(sum(count), 0) FROM losses WHERE reason = 'dropped' AND mechanism = ?"


def mechanisms():
    """The rows of the table of mechanisms."""
    with open(os.path.join(ROOT, "common/mechanisms.def"), encoding="ascii") as rows:
        return [re.split(r", *", row) for row in re.findall(r"^MECHANISM\((.*)\)$", rows.read(), re.M)]


def endpoints_of(ledger):
    return {e["pid"]: (e["sends"], e["receives"], e["bytes_sent"] or 0, e["bytes_received"] or 0)
            for e in ledger["endpoints"] if e["sends"] + e["receives"]}


def check_endpoints(ledger, trace, mechanism):
    told = endpoints_of(ledger)
    found = {row[0]: tuple(value or 0 for value in row[1:]) for row in trace.rows(TOTALS, mechanism)}
    assert found == told, f"endpoints\nledger {told}\ntrace  {found}"


def record_reference(s, mechanism, shape, *recorder):
    """Returns the ledger and the Trace; None where the mechanism cannot have this shape."""
    path = s.path(f"ledger-{mechanism}")
    result, trace = s.record([s.ipctrace, "reference", "--ledger", path, mechanism, *shape], "bpf", recorder)
    if result.status == 3:
        return None
    assert result.status == 0, shorten(result)
    return load(path), trace


# ---- what was dropped ----

@test(users=("root",))
def a_flood_is_counted(s):
    """Every call is an event or counted as dropped, by mechanism; the endpoints have all."""
    calls = 100000
    whole = s.record([program("flood.c"), "10"], "bpf")[1]
    whole.check_sound()
    result, trace = s.record([program("flood.c"), str(calls)], "bpf", SMALL)
    assert result.status == 0, shorten(result)
    for mechanism in ("pipe", "unix_stream"):
        events = whole.one(PIPE_EVENTS, mechanism) - 20 + 2 * calls
        stored, dropped = trace.one(PIPE_EVENTS, mechanism), trace.one(DROPPED, mechanism)
        assert stored + dropped == events and dropped > calls, (mechanism, stored, dropped, events)
        assert trace.totals(mechanism) == (calls, calls, calls, calls), trace.totals(mechanism)
        rows = trace.rows("SELECT partial FROM channels WHERE mechanism = ? AND bytes_sent > 0", mechanism)
        assert rows == [(1,)], rows
        rows = trace.rows("SELECT messages, bytes, exact, partial FROM edges WHERE mechanism = ?", mechanism)
        assert all(row[0] < calls and row[1] < calls and row[2:] == (0, 1) for row in rows), rows
    assert not trace.one("SELECT count(*) FROM messages WHERE mechanism = 'pipe' AND exact"), "exact messages"
    rows = trace.rows("SELECT kind, processor, first_ns, last_ns FROM losses WHERE mechanism IS NOT NULL")
    start, end = trace.rows("SELECT min(start_ns), max(end_ns) FROM processes")[0]
    for kind, processor, first, last in rows:
        assert kind == "lost" and 0 <= processor < os.cpu_count() and start < first <= last <= end, rows
    others = trace.rows("SELECT * FROM losses WHERE reason NOT IN ('dropped')")
    assert not others, others


@test(users=("root",))
def durations_of_a_flood(s):
    """Sends and receives of one thread took no longer than all, and longer than those that were told."""
    _, trace = s.record([program("flood.c"), "50000"], "bpf", SMALL)
    spent, told, lasted = trace.rows(
        """SELECT (SELECT sum(send_dur_ns + receive_dur_ns) FROM endpoints),
        (SELECT sum(dur_ns) FROM events WHERE verb IN ('send', 'recv') AND bytes > 0),
        (SELECT max(last_ns) - min(first_ns) FROM endpoints)""")[0]
    assert trace.one(DROPPED, "pipe") > 0 and 1.5 * told < spent < lasted, (told, spent, lasted)


def sent(path):
    """How much went through the pipe so far; None: there is no trace yet."""
    try:
        trace = Trace(path)
        return trace.totals("pipe")[0], trace.one(DROPPED, "pipe")
    except sqlite3.OperationalError:
        return None


@test(users=("root",))
def drops_are_told_while_it_runs(s):
    calls, path = 50000, s.new_trace()
    with subprocess.Popen([s.ipctrace, "-q", "-o", path, "--source=bpf", *SMALL, "--", program("flood.c"), str(calls), "60"],
                          cwd=s.dir) as child:
        found, until = None, time.monotonic() + 50
        while time.monotonic() < until and (not found or found[0] != calls):
            time.sleep(0.3)
            found = sent(path)
        assert child.poll() is None
        child.terminate()
        child.wait(30)
        assert found and found[0] == calls and found[1] > 0, found


@test(users=("root",))
def the_ledger_holds_in_a_flood(s):
    for mechanism in ("pipe", "fifo", "unix_stream", "tcp", "unix_dgram", "udp", "sysv_msg", "posix_mq"):
        ledger, trace = record_reference(s, mechanism, ["--messages", "20000"], *SMALL)
        assert trace.one(DROPPED, mechanism) > 0, mechanism
        check_endpoints(ledger, trace, mechanism)
        edges = trace.rows("SELECT messages, bytes, exact, partial FROM edges WHERE mechanism = ?", mechanism)
        assert all(not row[2] and row[3] for row in edges), (mechanism, edges)


@test(users=("root",))
def lost_definitions_are_told_again(s):
    """The recorder stands still while processes and a FIFO come to be."""
    path, go = s.new_trace(), s.path("go")
    command = [s.ipctrace, "-q", "-o", path, "--source=bpf", *SMALL, "--", "/usr/bin/python3", script("untold.py"), go]
    with subprocess.Popen(command, cwd=s.dir, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        with open(go, "wb"):
            pass
        late = int(child.stdout.readline())
        child.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        os.remove(go)
        assert child.wait(60) == 0
    trace = Trace(path)
    lost = trace.one("SELECT sum(count) FROM losses WHERE reason = 'dropped' AND mechanism IS NULL")
    assert lost > 100, trace.rows("SELECT * FROM losses")
    rows = trace.rows("""SELECT n.sends, n.bytes_sent, c.name FROM endpoints n JOIN processes p ON p.id = n.process_id
                      JOIN channels c ON c.id = n.channel_id WHERE p.pid = ? AND n.sends AND mechanism = 'fifo'""", late)
    assert rows == [(2, 9, s.path("fifo"))], (rows, trace.rows("SELECT * FROM losses"))


# ---- --aggregate ----

def check_edges(ledger, trace, mechanism):
    """Exact and as in the ledger where one sends to one; elsewhere what is not marked must be right."""
    told = {(e["src_pid"], e["dst_pid"]): (e["messages"], e["bytes"] or 0) for e in ledger["edges"]}
    found = {tuple(row[:2]): row[2:] for row in trace.rows(EDGES, mechanism)}
    senders = [e for e in ledger["endpoints"] if e["sends"]]
    receivers = [e for e in ledger["endpoints"] if e["receives"]]
    drained = sum(e["bytes_sent"] for e in senders) == sum(e["bytes_received"] for e in receivers)
    if (len(senders), len(receivers), drained) == (1, 1, True):
        exact = mechanism != "pty"  # what a terminal makes of it is not looked at
        assert {key: row[:2] for key, row in found.items()} == told and all(row[2] == exact for row in found.values()), found
    wrong = {key: (row, told.get(key)) for key, row in found.items() if row[2] and row[:2] != told.get(key)}
    assert not wrong, f"edges that are not marked: trace, ledger: {wrong}"
    assert set(told) <= set(found), f"missing: {set(told) - set(found)}"


def check_aggregates(trace):
    """They add up to the endpoints."""
    trace.none("aggregates against endpoints", """SELECT n.id, n.bytes_sent, n.bytes_received, n.send_dur_ns,
        n.receive_dur_ns, sum(a.bytes) FILTER (WHERE verb = 'send') AS bs, sum(a.bytes) FILTER (WHERE verb = 'recv') AS br,
        sum(calls - errors) FILTER (WHERE verb = 'send') AS s, sum(dur_sum_ns) AS ns
        FROM endpoints n JOIN aggregates a ON a.endpoint_id = n.id GROUP BY n.id
        HAVING coalesce(bs, 0) != n.bytes_sent OR coalesce(br, 0) != n.bytes_received OR coalesce(s, 0) < n.sends
        OR ns < n.send_dur_ns + n.receive_dur_ns""")
    trace.none("percentiles", """SELECT * FROM aggregates WHERE NOT (dur_min_ns <= dur_p50_ns AND dur_p50_ns <= dur_p90_ns
        AND dur_p90_ns <= dur_p99_ns AND dur_p99_ns <= dur_max_ns AND dur_max_ns <= dur_sum_ns)""")
    trace.none("histograms", """SELECT calls, dur_min_ns, dur_max_ns, histogram FROM aggregates a WHERE calls !=
        (SELECT sum(value) FROM json_each(a.histogram)) OR dur_min_ns <
        (SELECT min(CAST(key AS INTEGER)) FROM json_each(a.histogram)) OR dur_max_ns <
        (SELECT max(CAST(key AS INTEGER)) FROM json_each(a.histogram))""")
    trace.none("calls that are events all the same", """SELECT * FROM events WHERE verb IN ('send', 'recv') AND mechanism IN
        (SELECT name FROM mechanisms WHERE boundary IN ('stream', 'message') AND name != 'fd_passing') AND NOT flags & 32""")


def add(mechanism, shape):
    def aggregated(s):
        both = record_reference(s, mechanism, SHAPES[shape], "--aggregate")
        if not both:
            return
        ledger, trace = both
        check_endpoints(ledger, trace, mechanism)
        check_edges(ledger, trace, mechanism)
        check_aggregates(trace)
        lost = trace.rows("SELECT * FROM losses WHERE kind = 'lost'")
        assert not lost, lost
    aggregated.__name__ = f"aggregated {mechanism} {shape}"
    test(aggregated, ("root",))


@test(users=("root",))
def seconds(s):
    """A row for each second; what was short-lived is not lost."""
    code = "for i in 1 2 3 4 5 6 7 8 9 10; do seq 1 1000 | cat | wc -c; sleep 0.3; done"
    result, trace = s.record(["sh", "-c", code], "bpf", ["--aggregate"])
    assert result.out == b"3893\n" * 10, result
    check_aggregates(trace)
    times = [t for t, in trace.rows("SELECT DISTINCT start_ns FROM aggregates ORDER BY 1")]
    assert len(times) >= 3 and all(b - a > 990e6 for a, b in zip(times, times[1:])), times
    assert trace.edge("seq", "cat") [1] == trace.edge("cat", "wc")[1] == 38930
    assert not trace.one("SELECT count(*) FROM edges WHERE exact = 0 OR partial"), trace.rows("SELECT * FROM edges")
    assert trace.one("SELECT value FROM meta WHERE key = 'aggregate_ms'") == "1000"


@test(users=("root",))
def rounds_lose_nothing(s):
    """Totals are read and deleted while calls go on."""
    calls = 600000
    result, trace = s.record([program("flood.c"), str(calls)], "bpf", ["--aggregate"])
    assert result.status == 0, shorten(result)
    check_aggregates(trace)
    for mechanism in ("pipe", "unix_stream"):
        assert trace.totals(mechanism) == (calls, calls, calls, calls), trace.totals(mechanism)
        rows = trace.rows("SELECT messages, bytes, exact, partial FROM edges WHERE mechanism = ?", mechanism)
        assert rows == [(calls, calls, 1, 0)] * len(rows) and rows, rows
    rounds = trace.one("SELECT count(DISTINCT start_ns) FROM aggregates")
    assert rounds >= 3, rounds
    assert not trace.rows("SELECT * FROM losses")


@test(users=("root",))
def threads_count_at_once(s):
    """On one pipe, so that several processors add to the same totals."""
    calls = 4 * 100000
    _, trace = s.record([program("flood.c"), "100000", "0", "4"], "bpf", ["--aggregate"])
    check_aggregates(trace)
    for mechanism in ("pipe", "unix_stream"):
        assert trace.totals(mechanism) == (calls, calls, calls, calls), trace.totals(mechanism)


@test(users=("root",))
def a_full_table_is_told(s):
    """More endpoints in a second than the kernel's table has room for."""
    pipes = 60000
    _, trace = s.record([program("flood.c"), "0", "0", "1", str(pipes)], "bpf", ["--aggregate", "--buffer=256M"])
    sends, _, receives, _ = trace.totals("pipe")
    lost = trace.one("SELECT sum(count) FROM losses WHERE reason = 'uncounted' AND mechanism = 'pipe'")
    assert lost and sends + receives + lost == 2 * pipes, (sends, receives, lost)
    wrong = trace.rows("SELECT * FROM edges WHERE mechanism = 'pipe' AND exact AND (messages, bytes) != (1, 1)")
    assert not wrong, wrong
    rows = trace.rows("SELECT DISTINCT reason FROM losses")
    assert rows == [("uncounted",)], rows


MANY = """
import os
r, w = os.pipe()
for act in (lambda: os.write(w, b"1234567890"),) * 2 + (lambda: os.read(r, 10),) * 2:
    if os.fork() == 0:
        act()
        os._exit(0)
    os.wait()
"""


@test(users=("root",))
def many_to_many_is_not_guessed(s):
    """Two that sent and two that received may all have talked to each other: no more is said."""
    _, trace = s.record(["/usr/bin/python3", "-c", MANY], "bpf", ["--aggregate"])
    rows = trace.rows("SELECT messages, bytes, exact FROM edges WHERE mechanism = 'pipe'")
    assert rows == [(None, None, 0)] * 4, rows
    assert trace.totals("pipe") == (2, 20, 2, 20)


@test(users=("root",))
def the_commands_show_it(s):
    _, trace = s.record(["sh", "-c", "seq 1 1000 | cat | wc -c"], "bpf", ["--aggregate"])
    for command in ("summary", "edges", "channels", "processes", "losses", "events", "messages", "waits"):
        result = s.run([s.ipctrace, command, "-i", trace.path])
        assert result.status == 0 and result.out, (command, result)
        counted = command in ("events", "messages", "waits")
        assert result.err.count(b"\n") == counted and (b"--aggregate" in result.err) == counted, (command, result)
    result = s.run([s.ipctrace, "edges", "--json", "-i", trace.path])
    assert b'"bytes":3893' in result.out.replace(b" ", b""), result


@test
def refused(s):
    for options, what in ((["--aggregate"], b"--aggregate needs --source=bpf"),
                          (["--aggregate", "--source=both", "--verify"], b"--aggregate needs --source=bpf"),
                          (["--buffer=1M"], b"--buffer needs --source=bpf"),
                          (["--source=bpf", "--buffer=63K"], b"'63K' is not a good SIZE"),
                          (["--source=bpf", "--buffer=1T"], b"'1T' is not a good SIZE"),
                          (["--source=bpf", "--buffer=2G"], b"'2G' is not a good SIZE")):
        result = s.run([s.ipctrace, *options, "--", "true"])
        assert result.status == 2 and what in result.err, (options, result)


for row in mechanisms():
    if row[2] in ("stream", "message") and row[6] in ("BPF", "BOTH") and row[0] not in ("none", "fd_passing", "io_uring"):
        for name in SHAPES:
            add(row[0], name)
main()
