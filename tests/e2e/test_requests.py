#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What real programs ask of each other by D-Bus, RPC and HTTP. Truth is what they log themselves, or a monitor run beside."""
import collections
import os

from harness import by_source, main, needs, shorten

BUS = """<busconfig><type>session</type><listen>unix:path={path}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"""

# Each step waits for what it needs: for the bus, and for the monitor, which loses its name when it becomes one. At the end
# for what the monitor writes of the last client.
ON_BUS = """
dbus-daemon --config-file=bus.conf --nofork 2>/dev/null & bus=$!
until [ -S bus ]; do sleep 0.02; done
export DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus
dbus-monitor --profile >monitor & monitor=$!
lost() { until [ "$(grep -c NameLost monitor)" -ge $1 ]; do sleep 0.02; done; }
lost 1
to=org.freedesktop.DBus
gdbus call --session --dest $to --object-path /org/freedesktop/DBus --method $to.ListNames
gdbus call --session --dest $to --object-path /org/freedesktop/DBus --method $to.GetNameOwner no.such.name
dbus-send --session --print-reply --dest=$to /org/freedesktop/DBus $to.GetId
dbus-send --session --type=signal /some/path some.interface.Signal string:text
busctl --address=$DBUS_SESSION_BUS_ADDRESS call $to /org/freedesktop/DBus $to NameHasOwner s $to
lost 6
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
    needs("dbus-daemon", "dbus-monitor", "gdbus", "dbus-send", "busctl")
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


if __name__ == "__main__":
    main()
