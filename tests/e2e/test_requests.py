#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What real programs ask of each other by D-Bus, RPC and HTTP. Truth is what they log themselves, or a monitor run beside."""
import collections
import os
import re
import shutil

from harness import Skip, by_source, free_port, main, needs, run, script, shorten, test

BUS = """<busconfig><type>session</type><listen>unix:path={path}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"""

# Each step waits for what it needs: for the bus, and for the monitor, which loses its name when it becomes one. At the end
# for the last that it writes: each of five clients came and left.
ON_BUS = """
dbus-daemon --config-file=bus.conf --nofork --print-address=1 >address 2>/dev/null & bus=$!
until [ -s address ]; do sleep 0.02; done
export DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus
dbus-monitor --profile >monitor & monitor=$!
seen() { until [ "$(grep -c $1 monitor)" -ge $2 ]; do sleep 0.02; done; }
seen NameLost 1
to=org.freedesktop.DBus
gdbus call --session --dest $to --object-path /org/freedesktop/DBus --method $to.ListNames
gdbus call --session --dest $to --object-path /org/freedesktop/DBus --method $to.GetNameOwner no.such.name
dbus-send --session --print-reply --dest=$to /org/freedesktop/DBus $to.GetId
dbus-send --session --type=signal /some/path some.interface.Signal string:text
if command -v busctl; then busctl --address=$DBUS_SESSION_BUS_ADDRESS call $to /org/freedesktop/DBus $to NameHasOwner s $to
else dbus-send --session --print-reply --dest=$to /org/freedesktop/DBus $to.NameHasOwner string:$to; fi
seen NameOwnerChanged 10
kill $monitor $bus
wait
"""


KINDS = {"mc": "call", "mr": "reply", "err": "reply", "sig": "signal"}


def monitored(path):
    """What dbus-monitor --profile wrote: (kind, serial, sender, destination, path, interface, member) of each message."""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    named = [[None if word == "<none>" else word for word in line] for line in lines]
    return [(KINDS[kind], int(serial), sender, to, *(rest if KINDS[kind] != "reply" else [None] * 3))
            for kind, _, serial, sender, to, *rest in named]


DBUS = """SELECT m.kind, m.serial, m.sender, m.destination, m.path, m.interface, m.member FROM protocol_messages m
          JOIN processes p ON p.id = m.process_id WHERE m.protocol = 'dbus' AND m.sent AND p.comm {whose} 'dbus-daemon'
          AND m.channel_id {where} IN (SELECT n.channel_id FROM endpoints n JOIN processes q ON q.id = n.process_id
          WHERE q.comm = 'dbus-monitor') ORDER BY m.id"""


def counted(rows, *fields, kind=None):
    """How often these fields come, in messages of one kind."""
    return collections.Counter(tuple(row[i] for i in fields) for row in rows if kind in (None, row[0]))


@by_source
def what_a_monitor_of_the_bus_sees(s, source):
    needs("dbus-daemon", "dbus-monitor", "gdbus", "dbus-send")
    clients = {"gdbus", "dbus-send"} | ({"busctl"} if shutil.which("busctl") else set())
    with open(s.path("bus.conf"), "w", encoding="utf-8") as file:
        file.write(BUS.format(path=s.path("bus")))
    os.chmod(s.path("bus.conf"), 0o644)
    result, trace = s.record(["sh", "-c", ON_BUS], source, timeout=120)
    assert result.status == 0, shorten(result)
    seen = monitored(s.path("monitor"))
    # Every name of every message that it got; but it does not write of the replies to its own calls.
    got = trace.rows(DBUS.format(whose="=", where=""))
    assert [row for row in got if row[0] != "reply" or row[3] != seen[0][3]] == seen, (got, seen)
    # What the clients sent, and what the bus replied to them. It puts in who sent it; signals may come too late for who leaves.
    asked, answered = (trace.rows(DBUS.format(whose=whose, where="NOT")) for whose in ("!=", "="))
    for kind in ("call", "signal"):
        ours, theirs = asked, [row for row in seen if row[2] != "org.freedesktop.DBus"]
        assert counted(ours, 1, 4, 5, 6, kind=kind) == counted(theirs, 1, 4, 5, 6, kind=kind), (ours, seen)
    assert counted(answered, *range(7), kind="reply") == counted(seen, *range(7), kind="reply"), (answered, seen)
    # One failed.
    assert trace.rows("""SELECT DISTINCT status, failed FROM protocol_messages WHERE status IS NOT NULL""") == [
        ("org.freedesktop.DBus.Error.NameHasNoOwner", 1)]
    # Each call is a request with its reply. Signals are spans without one.
    spans = trace.rows("""SELECT x.name, p.comm, q.comm, x.end_ns IS NOT NULL, x.status IS NULL FROM spans x JOIN processes p ON p.id = x.src_id
                       JOIN processes q ON q.id = x.dst_id WHERE x.kind = 'dbus' AND p.comm NOT IN ('dbus-monitor', 'dbus-daemon')
                       AND x.name != 'some.interface.Signal'""")
    calls = collections.Counter((f"{row[5]}.{row[6]}",) for row in seen if row[0] == "call")
    assert counted(spans, 0) == calls and {row[1:4] for row in spans} == {(comm, "dbus-daemon", 1) for comm in clients}, spans
    assert [row[0] for row in spans if not row[4]] == ["org.freedesktop.DBus.GetNameOwner"], spans


NGINX = """daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err; worker_processes 1;
events {{ worker_connections 100; }}
http {{
    log_format asked '$request_method $uri $status';
    access_log {dir}/nginx.log asked;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5; root {dir};
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_ignore_client_abort on; }} }}
}}
"""
# Every third asks for what is not there.
WRK = """local n = 0
request = function() n = n + 1; return wrk.format("GET", n % 3 == 0 and "/none?secret" or "/page/" .. n % 7 .. "?secret") end
"""
CONNECTIONS = 4


@by_source
def nginx_before_a_small_server_under_wrk(s, source):
    nginx, _ = needs("nginx", "wrk")
    port, behind = free_port(), free_port()
    for name, text in (("nginx.conf", NGINX.format(dir=s.dir, port=port, behind=behind)), ("wrk.lua", WRK)):
        with open(s.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(s.path(name), 0o644)
    start = f"{nginx} -e {s.dir}/nginx.err -c {s.dir}/nginx.conf"
    result, trace = s.record(["sh", "-c", f"""
        /usr/bin/python3 {script("pages.py")} {behind} listens >pages.log & pages=$!
        {start} & nginx=$!
        until [ -e listens ] && [ -s nginx.pid ]; do sleep 0.02; done
        wrk -t1 -c{CONNECTIONS} -d1s -s wrk.lua http://127.0.0.1:{port}
        {start} -s quit; wait $nginx
        kill $pages; wait $pages"""], source, timeout=120)
    assert result.status == 0, shorten(result)
    logged = {}
    for name in ("nginx.log", "pages.log"):
        with open(s.path(name), encoding="ascii") as log:
            logged[name] = collections.Counter(tuple(line.rsplit(maxsplit=1)) for line in log)
    asked = {comm: collections.Counter({tuple(row[:2]): row[2] for row in trace.rows(SPANS, comm)}) for comm in ("wrk", "nginx")}
    # What nginx asked of the server behind it is all that this one answered.
    assert asked["nginx"] == logged["pages.log"] and asked["nginx"], (asked, logged)
    # When wrk's time is over a request may be under way on each connection.
    answered = collections.Counter({name: n for name, n in asked["wrk"].items() if name[1]})
    other = (answered - logged["nginx.log"]) + (logged["nginx.log"] - answered)
    assert sum(other.values()) <= CONNECTIONS, (asked, logged)
    # It has one thread for all of them; a request belongs to the one for which its connection was made.
    assert not trace.rows("""SELECT x.name, y.name, x.exact FROM spans x JOIN processes p ON p.id = x.src_id LEFT JOIN spans y
                          ON y.span_id = x.parent_id AND y.trace_id = x.trace_id WHERE p.comm = 'nginx' AND x.exact AND x.name IS NOT y.name""")
    assert not trace.one("SELECT count(*) FROM protocol_messages WHERE instr(name, 'secret')")


SPANS = """SELECT name, status, count(*) FROM spans x JOIN processes p ON p.id = x.src_id WHERE kind = 'http' AND p.comm = ? GROUP BY 1, 2"""


# In namespaces of its own: nobody else hears of it. The last call asks rpcbind what it was asked.
ON_RPCBIND = """
mount -t tmpfs none /run && ip link set lo up || exit 1
rpcbind -f -w -r & bind=$!
until [ -S /run/rpcbind.sock ] && rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do sleep 0.02; done
rpcinfo -T tcp 127.0.0.1 100000 >/dev/null 2>&1
rpcinfo -T udp 127.0.0.1 100000 4 >/dev/null
rpcinfo -T tcp 127.0.0.1 99999 1 2>/dev/null
rpcinfo -s >/dev/null
rpcinfo -m 127.0.0.1
kill $bind
wait
"""


def rpc_statistics(text):
    """{name of a call as the trace has it: how often} from rpcinfo -m."""
    counts = collections.Counter()
    for version, table in re.findall(r"\(version (\d)\) statistics\n((?:[A-Z].*\n[0-9].*\n)+)", text):
        lines = table.splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            for name, value in zip(names.split(), values.split()):
                counts[f"portmapper v{version} {name}"] += int(value.split("/")[-1])
    return +counts


@test(users=("root",))
def what_rpcbind_counts(s):
    needs("rpcbind", "rpcinfo", "unshare", "ip")
    command = ["unshare", "-n", "-m", "sh", "-c", ON_RPCBIND]
    if run(["unshare", "-n", "-m", "mount", "-t", "tmpfs", "none", "/run"]).status:
        raise Skip("no namespaces here")
    result, trace = s.record(command, timeout=120, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    counts = rpc_statistics(result.out.decode())
    assert result.status == 0 and len(counts) >= 7, shorten(result)
    ours = dict(trace.rows("SELECT name, count(*) FROM protocol_messages WHERE protocol = 'onc_rpc' AND kind = 'call' GROUP BY 1"))
    assert ours.pop("portmapper v0 NULL") == 1, ours  # it asks for the versions that there are, and is refused
    assert ours == counts, (ours, counts)
    spans = trace.rows("""SELECT c.mechanism, x.status, x.failed, p.comm, q.comm FROM spans x JOIN channels c ON c.id = x.channel_id
                       JOIN processes p ON p.id = x.src_id JOIN processes q ON q.id = x.dst_id WHERE kind = 'onc_rpc'""")
    assert {row[3:] for row in spans} == {("rpcinfo", "rpcbind")} and len(spans) == sum(counts.values()) + 1, spans
    answered = collections.Counter(row[:3] for row in spans if row[0] != "udp")
    assert answered == {("tcp", "SUCCESS", 0): sum(counts.values()) - 3, ("tcp", "PROG_MISMATCH", 1): 1, ("unix_stream", "SUCCESS", 0): 1}, answered


if __name__ == "__main__":
    main()
