#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who talks to whom through a bus: names, processes and edges, with clients of three libraries. Truth is dbus-monitor."""
import collections
import json
import os
import platform
import shutil
import sqlite3
import subprocess

from harness import by_source, main, needs, program, shorten

BUS = """<busconfig><type>session</type><listen>unix:path={path}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"""
FLAGS = ["-I/usr/include/dbus-1.0", f"-I/usr/lib/{platform.machine()}-linux-gnu/dbus-1.0/include", "-ldbus-1"]
SERVICE = "echoes"

# The daemon writes its address when it listens, which is later than that its socket is there. The service ends when its bus does.
START = """dbus-daemon --config-file=bus.conf --nofork --print-address=1 >address 2>/dev/null & bus=$!
until [ -s address ]; do sleep 0.02; done"""
SERVE = """
export DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus
{service} >service & service=$!
until [ -s service ]; do sleep 0.02; done
"""
# busctl comes with systemd, which not every machine has.
THIRD, THIRD_CALL = ("busctl", "busctl --address=$DBUS_SESSION_BUS_ADDRESS call com.example.Echo /com/example com.example.Echo Say") \
    if shutil.which("busctl") else ("dbus-send", "dbus-send --session --print-reply --dest=com.example.Echo /com/example com.example.Echo.Say")
CALLS = f"""
to="--dest com.example.Echo --object-path /com/example --method com.example.Echo"
gdbus call --session $to.Say
dbus-send --session --print-reply --dest=com.example.Echo /com/example com.example.Echo.Say
{THIRD_CALL}
! gdbus call --session $to.Fail
"""
MONITOR = """
dbus-monitor --profile >monitor & monitor=$!
lost() { until [ "$(grep -c NameLost monitor)" -ge $1 ]; do sleep 0.02; done; }
lost 1
"""
CLIENTS = ["gdbus", "dbus-send", THIRD, "gdbus"]
NAMES = "SELECT n.name, p.comm FROM bus_names n LEFT JOIN processes p ON p.id = n.process_id"
EDGES = """SELECT src_comm, dst_comm, sum(messages) FROM edges WHERE mechanism = 'dbus' GROUP BY 1, 2"""
CALLED = """SELECT s.comm, d.comm, m.member, r.status FROM protocol_messages m JOIN bus_messages b USING (id)
    JOIN processes s ON s.id = b.src_id JOIN processes d ON d.id = b.dst_id LEFT JOIN protocol_messages r ON r.call = m.id
    WHERE m.interface = 'com.example.Echo' AND m.kind = 'call' AND b.origin IS NULL ORDER BY m.id"""
NO = "com.example.Error.No"
TRUE_CALLS = [(comm, SERVICE, "Fail" if i == 3 else "Say", NO if i == 3 else None) for i, comm in enumerate(CLIENTS)]


TOLD = [row for i, comm in enumerate(CLIENTS) for row in (
    (comm, SERVICE, f"com.example.Echo.{'Fail' if i == 3 else 'Say'}"),
    (SERVICE, comm, f"{NO} to com.example.Echo.Fail" if i == 3 else "reply to com.example.Echo.Say"))]


def known(rows):
    """The service by its name without the flags that are in its file's."""
    return [tuple(SERVICE if isinstance(word, str) and word.startswith(SERVICE) else word for word in row) for row in rows]


def messages(s, trace):
    """As they are shown, between service and clients: one from the one to the other, with both times."""
    rows = json.loads(s.run([s.ipctrace, "messages", "--json", "--mechanism", "dbus", "-i", trace.path]).out)
    assert all(int(row["received_ns"]) - int(row["sent_ns"]) == row["latency_ns"] and row["exact"] for row in rows), rows
    return [row for row in known((row["src_comm"], row["dst_comm"], row["name"]) for row in rows) if "com.example.Echo." in row[2]]


def found_later(s, trace):
    """Of a large trace, when they are asked for."""
    with sqlite3.connect(trace.path) as db:
        db.executescript("""DELETE FROM bus_messages; DELETE FROM edge_rows WHERE channel_id IN
            (SELECT id FROM channels WHERE mechanism = 'dbus'); UPDATE meta SET value = 'deferred' WHERE key = 'spans'""")
    db.close()
    return messages(s, trace)


def configure(s):
    needs("dbus-daemon", "dbus-monitor", "gdbus", "dbus-send")
    with open(s.path("bus.conf"), "w", encoding="utf-8") as file:
        file.write(BUS.format(path=s.path("bus")))
    os.chmod(s.path("bus.conf"), 0o644)
    return SERVE.format(service=program(SERVICE + ".c", *FLAGS))


@by_source
def names_and_edges_of_a_bus(s, source):
    serve = configure(s)
    result, trace = s.record(["sh", "-c", f"{START}\n{serve}{MONITOR}{CALLS}lost 5; kill $monitor $bus; wait"], source, timeout=120)
    assert result.status == 0, shorten(result)
    trace.check_sound()
    with open(s.path("monitor"), encoding="utf-8") as file:
        seen = [line.split("\t") for line in file if line.startswith(("mc", "mr", "err", "sig"))]
    with open(s.path("service"), encoding="utf-8") as file:
        names = {file.read().strip(): SERVICE, "com.example.Echo": SERVICE, "org.freedesktop.DBus": "dbus-daemon"}
    callers = [line[3] for line in seen if line[7:8] in (["Say\n"], ["Fail\n"])]
    names.update(zip(callers, CLIENTS, strict=True))
    found = dict(known(trace.rows(NAMES)))
    assert {name: comm for name, comm in found.items() if comm != "dbus-monitor"} == names, (found, names)
    # What went between service and clients, by whatever name.
    told = collections.Counter((names[line[3]], names[line[4]]) for line in seen if {line[3], line[4]} <= names.keys())
    edges = {tuple(row[:2]): row[2] for row in known(trace.rows(EDGES))}
    for pair in (pair for comm in CLIENTS for pair in ((comm, SERVICE), (SERVICE, comm))):
        assert edges[pair] == told[pair], (pair, edges, told)
    assert known(trace.rows(CALLED)) == TRUE_CALLS, trace.rows(CALLED)
    assert messages(s, trace) == TOLD
    assert not trace.rows("SELECT * FROM edges WHERE mechanism = 'dbus' AND (latency_p50_ns IS NULL OR latency_p99_ns IS NULL)")
    # Others' messages are not for who watches.
    assert trace.one("SELECT count(*) FROM bus_messages WHERE origin >= 0 AND dst_id IS NULL") >= len(seen) // 2
    assert ("dbus-daemon", "dbus-monitor") in edges and not [pair for pair in edges if pair[1] == "dbus-monitor" and pair[0] in CLIENTS]
    if s.user == "root":
        assert found_later(s, trace) == TOLD


@by_source
def a_bus_that_is_not_in_the_trace(s, source):
    serve = configure(s)
    with subprocess.Popen([*s.prefix, "sh", "-c", f"{START}; echo $bus; wait"], cwd=s.dir, stdout=subprocess.PIPE) as bus:
        number = bus.stdout.readline().strip().decode()
        try:
            result, trace = s.record(["sh", "-c", f"{serve}{CALLS}kill $service; wait; exit 0"], source, timeout=120)
        finally:
            subprocess.run(["kill", number], check=True)
    assert result.status == 0, shorten(result)
    trace.check_sound()
    edges = {tuple(row[:2]) for row in known(trace.rows(EDGES))}
    assert {(comm, SERVICE) for comm in CLIENTS} | {(SERVICE, comm) for comm in CLIENTS} <= edges, edges
    assert known(trace.rows(CALLED)) == TRUE_CALLS, trace.rows(CALLED)
    assert messages(s, trace) == TOLD
    # Of the bus itself only the calls of the others are known.
    assert all((latency is None) == ("dbus-daemon" in pair) for *pair, latency in
               trace.rows("SELECT src_comm, dst_comm, latency_p50_ns FROM edges WHERE mechanism = 'dbus'"))


if __name__ == "__main__":
    main()
