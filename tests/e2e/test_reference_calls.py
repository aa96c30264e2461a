# SPDX-License-Identifier: BSD-2-Clause
"""The reference programs that make calls, over protocols or through a chain of processes: their ledgers have every
call and the true trees of requests, and a trace must show them."""
import collections

from harness import IS_ROOT, TESTS, main, shorten, test
import test_reference as reference

del TESTS[:]  # those of that module
MESSAGES = """SELECT m.kind, m.name, p.pid, count(*) FROM protocol_messages m JOIN processes p ON p.id = m.process_id
    WHERE m.protocol = ? AND m.sent AND m.kind != 'reply' GROUP BY 1, 2, 3"""
REPLIES = """SELECT coalesce(r.failed, 0), p.pid, CASE WHEN r.failed THEN r.status ELSE '' END, count(*)
    FROM protocol_messages r JOIN processes p ON p.id = r.process_id
    WHERE r.protocol = ? AND r.sent AND r.kind = 'reply' GROUP BY 1, 2, 3"""
HEADS = """SELECT m.member, p.pid, m.path, m.signature, coalesce(m.fds, 0), count(*)
    FROM protocol_messages m JOIN processes p ON p.id = m.process_id
    WHERE m.protocol = ? AND m.sent AND m.interface = 'org.ipctrace.Reference' AND m.kind IN ('call', 'oneway')
    AND m.destination LIKE 'org.ipctrace.Reference_' AND p.comm != 'dbus-daemon' GROUP BY 1, 2, 3, 4, 5"""
SPANS = """SELECT s.name, p.pid, q.pid, coalesce(s.failed, 0), CASE WHEN s.failed THEN s.status ELSE '' END,
    s.parent_id NOT NULL, count(*) FROM spans s JOIN processes p ON p.id = s.src_id LEFT JOIN processes q ON q.id = s.dst_id
    WHERE s.kind = ? AND s.end_ns NOT NULL GROUP BY 1, 2, 3, 4, 5, 6"""
EXCHANGES = """SELECT c.mechanism, p.pid, s.src_tid, q.pid, s.dst_tid, s.trace_id, s.span_id, s.parent_id
    FROM spans s JOIN processes p ON p.id = s.src_id JOIN processes q ON q.id = s.dst_id
    JOIN channels c ON c.id = s.channel_id WHERE s.end_ns NOT NULL ORDER BY s.start_ns"""
PROTOCOLS = {"jsonrpc": "jsonrpc", "rpc": "onc_rpc", "dbus": "dbus"}
SHAPES = {"one pair": ["--messages", "40"],
          "one to many": ["--messages", "40", "--consumers", "3"],
          "many to one": ["--messages", "20", "--producers", "3"],
          "many to many": ["--messages", "30", "--producers", "3", "--consumers", "2"],
          "sizes": ["--messages", "40", "--size", "64-600", "--seed", "7"],
          "large": ["--messages", "10", "--size", "8000"]}
SEMAPHORES = "posix_sem"


def same(what, told, found):
    missing, more = told - found, found - told
    assert not missing and not more, f"{what}: not in the trace: {dict(missing)}\nnot in the ledger: {dict(more)}"


def counted(run, sql, name, width):
    """Rows that have a pid of the run in their second to fourth column, as {row but the count: count}."""
    return collections.Counter({tuple(row[:width]): row[width] for row in run.trace.rows(sql, PROTOCOLS[name])
                                if run.processes & set(row[1:4])})


def ledger_calls(run, *keys, kinds=("call",)):
    told = collections.Counter()
    for call in run.ledger["calls"]:
        if call["kind"] in kinds:
            told[tuple(call[key] for key in keys)] += call["count"]
    return told


def calls_are_those_of_the_ledger(run, name):
    """Every message, by name and sender, and what was answered."""
    told = ledger_calls(run, "kind", "name", "src_pid", kinds=("call", "oneway"))
    receivers = len({call["dst_pid"] for call in run.ledger["calls"] if call["kind"] == "signal"})
    for key, count in ledger_calls(run, "kind", "name", "src_pid", kinds=("signal",)).items():
        told[key] += count // receivers  # it is sent once, and booked for each who gets it
    names = {key[1] for key in told}
    bus = bus_of(run)
    same("sent", told, collections.Counter({key: count for key, count in counted(run, MESSAGES, name, 3).items()
                                            if key[1] in names and key[2] != bus}))


def bus_of(run):
    """The pid of the dbus-daemon, which hands on what others sent."""
    return next((call["dst_pid"] for call in run.ledger["calls"] if call["name"] == "org.freedesktop.DBus.Hello"), None)


def answers_are_those_of_the_ledger(run, name):
    told = collections.Counter()
    for (pid, status), count in ledger_calls(run, "dst_pid", "status").items():
        told[(int(status != ""), pid, status)] += count
    bus = bus_of(run)
    found = counted(run, REPLIES, name, 3)
    if bus:  # its own answers are among those that it hands on
        told, found = [collections.Counter({key: count for key, count in counts.items() if key[1] != bus})
                       for counts in (told, found)]
    same("answered", told, found)


def spans_are_those_of_the_ledger(run, name):
    """From who asked to who answered, whoever handed it on; and no request caused them."""
    told, keys = collections.Counter(), ("name", "src_pid", "dst_pid", "status")
    for (call, src, dst, status), count in ledger_calls(run, *keys, kinds=("call", "oneway")).items():
        told[(call, src, dst, int(status != ""), status, 0)] += count
    names = {key[0] for key in told}  # signals have no one who answers
    same("spans", told, collections.Counter({key: count for key, count in counted(run, SPANS, name, 6).items()
                                             if key[0] in names}))


def heads_are_those_of_the_ledger(run, name):
    """What else a client says of a call; and what comes through a descriptor that it passes."""
    told = collections.Counter()
    for (call, src), count in ledger_calls(run, "name", "src_pid", kinds=("call", "oneway")).items():
        interface, member = call.rsplit(".", 1)
        if interface == "org.ipctrace.Reference":
            takes = member == "Take"
            told[(member, src, "/org/ipctrace/Reference", "ayh" if takes else "ay", int(takes))] += count
    same("heads", told, counted(run, HEADS, name, 5))
    passed = {(src, dst): (count, 8 * count) for (src, dst, call), count
              in ledger_calls(run, "src_pid", "dst_pid", "name").items() if call.endswith(".Take")}
    found = {pids: edge[:2] for pids, edge in run.edges("pipe").items() if pids in passed}
    assert found == passed, (passed, found)


def edges_are_those_of_the_ledger(run, _):
    """Of D-Bus: between client and service, not counting the bus, which has more to say to each."""
    bus, told = bus_of(run), collections.Counter()
    for call in run.ledger["calls"]:
        told[call["src_pid"], call["dst_pid"]] += call["count"]
        if call["kind"] == "call":
            told[call["dst_pid"], call["src_pid"]] += call["count"]
    same("edges", *[collections.Counter({pids: count for pids, count in counts.items() if bus not in pids})
                    for counts in (told, {pids: edge[0] for pids, edge in run.edges("dbus").items()})])


def own_reads(run):
    """{(channel, process): [(the bytes that it had read by then, the event, its end)]}"""
    reads = collections.defaultdict(list)
    for channel, process, event, end, got in run.trace.rows("""SELECT channel_id, process_id, id, ts_ns + dur_ns, bytes FROM events
            WHERE verb = 'recv' AND bytes > 0 AND mechanism = 'unix_stream' ORDER BY id"""):
        before = reads[channel, process]
        before.append(((before[-1][0] if before else 0) + got, event, end))
    return reads


def messages_are_those_of_the_ledger(run, _):
    """From client to service, a row for each who gets it, from its sender's own send to its receiver's own read."""
    bus, told, found = bus_of(run), collections.Counter(), collections.Counter()
    for call in run.ledger["calls"]:
        told[call["src_pid"], call["dst_pid"], call["name"]] += call["count"]
        if call["kind"] == "call":
            told[call["dst_pid"], call["src_pid"], None] += call["count"]
    sent = {(serial, sender): (event, start) for serial, sender, event, start in run.trace.rows(
        """SELECT m.serial, p.pid, m.first_event, e.ts_ns FROM protocol_messages m JOIN processes p ON p.id = m.process_id
           JOIN events e ON e.id = m.first_event WHERE m.protocol = 'dbus' AND m.sent AND m.sender IS NULL""")}
    reads = own_reads(run)
    for src, dst, dst_id, name, serial, channel, end, *row in run.trace.rows(
            """SELECT m.src_pid, m.dst_pid, m.dst_id, p.name, p.serial, p.channel_id, p.offset + p.bytes, m.send_event,
               m.recv_event, m.sent_ns, m.received_ns, m.latency_ns, m.bytes - p.bytes, m.exact
               FROM messages m JOIN protocol_messages p ON p.id = m.protocol_id WHERE m.mechanism = 'dbus'"""):
        if not {src, dst} <= run.processes - {bus}:
            continue
        found[src, dst, name] += 1
        event, start = sent[serial, src]
        _, read, finish = next(one for one in reads[channel, dst_id] if one[0] >= end)
        assert row == [event, read, start, finish, finish - start, 0, 1], (name, row, event, read, start, finish)
    same("messages", collections.Counter({key: count for key, count in told.items() if bus not in key[:2]}), found)
    signals = [(pid, *counts) for pid, *counts in run.trace.rows(
        """SELECT m.src_pid, count(*), count(DISTINCT m.dst_id) FROM messages m JOIN protocol_messages p ON p.id = m.protocol_id
           WHERE p.name = 'org.ipctrace.Reference.Tick' GROUP BY 1, m.send_event""") if pid in run.processes]
    receivers = len({call["dst_pid"] for call in run.ledger["calls"] if call["kind"] == "signal"})
    assert signals and {tuple(counts) for _, *counts in signals} == {(receivers, receivers)}, (signals, receivers)


def passed_channels_are_those_that_were_used(run, _):
    """A pipe is passed with each Take, twice, and what came through it has an edge of its own."""
    told, passed = collections.Counter(), collections.Counter()
    for (src, dst, name), count in ledger_calls(run, "src_pid", "dst_pid", "name").items():
        if name.endswith(".Take"):
            told[src, dst] += count
    for src, dst, key in run.trace.rows("""SELECT s.pid, d.pid, c.key FROM bus_messages b JOIN protocol_messages p USING (id)
            JOIN processes s ON s.id = b.src_id JOIN processes d ON d.id = b.dst_id JOIN passed x ON x.message_id = b.id
            JOIN channels c ON c.id = x.channel_id WHERE p.member = 'Take'"""):
        if src in run.processes:
            passed[src, dst, key] += 1
    used = collections.Counter({(src, dst, key): 2 * count for src, dst, key, count in run.trace.rows(
        """SELECT src_pid, dst_pid, c.key, sum(messages) FROM edges e JOIN channels c ON c.id = e.channel_id
           WHERE e.mechanism = 'pipe' GROUP BY 1, 2, 3""") if (src, dst) in told})
    same("passed", used, passed)
    assert sum(passed.values()) == 2 * sum(told.values()), (passed, told)
    # Who got a descriptor sees the same channel as who passed it.
    ends = run.trace.rows("""SELECT a.channel_id, b.channel_id FROM messages m LEFT JOIN passed a ON a.event_id = m.send_event
        LEFT JOIN passed b ON b.event_id = m.recv_event WHERE m.mechanism = 'fd_passing'""")
    assert len(ends) >= sum(passed.values()) and all(a == b and a for a, b in ends), ends


COMPARISONS = [calls_are_those_of_the_ledger, answers_are_those_of_the_ledger, spans_are_those_of_the_ledger]
OF_DBUS = [heads_are_those_of_the_ledger, edges_are_those_of_the_ledger, messages_are_those_of_the_ledger,
           passed_channels_are_those_that_were_used]


def exchanges(tree, parent=None):
    """Those of a ledger's trees, as (exchange, its parent)."""
    for one in tree:
        yield one, parent
        yield from exchanges(one["children"], one)


def key_of(one):
    return one["name"], one["src_pid"], one["src_tid"], one["dst_pid"]


class Trees:
    """The spans of a run, each found as the k-th that its thread asked of a process over a mechanism: a thread asks for
    one thing at a time."""

    def __init__(self, run, but=()):
        self.told = [(one, parent) for one, parent in exchanges(run.ledger["trees"]) if one["name"] not in but]
        self.told.sort(key=lambda pair: pair[0]["start_ns"])
        mechanisms = {one["name"] for one, _ in self.told}
        self.found = collections.defaultdict(list)
        for mechanism, src, src_tid, dst, *rest in run.trace.rows(EXCHANGES):
            if mechanism in mechanisms and src in run.processes:
                self.found[mechanism, src, src_tid, dst].append(rest)
        same("exchanges", collections.Counter(key_of(one) for one, _ in self.told),
             collections.Counter({key: len(spans) for key, spans in self.found.items()}))
        self.spans = {}  # {id of the ledger's exchange: (dst_tid, trace_id, span_id, parent_id)}
        taken = collections.Counter()
        for one, _ in self.told:
            key = key_of(one)
            self.spans[id(one)] = self.found[key][taken[key]]
            taken[key] += 1

    def compare(self, may_lose=lambda parent: False):
        """may_lose: whether the chain may end behind this exchange."""
        lost = 0
        for one, parent in self.told:
            dst_tid, trace, span, above = self.spans[id(one)]
            what = {key: value for key, value in one.items() if key != "children"}, span
            assert dst_tid in (one["dst_tid"], one["answered_tid"]), (what, dst_tid)
            if parent is None:
                assert above is None, (what, above)
            elif above is None and may_lose(parent):
                lost += 1
            else:
                wanted = self.spans[id(parent)]
                assert above == wanted[2] and trace == wanted[1], (what, above, wanted)
        return lost


def through_semaphores(parent):
    """Whether it was handed over by the semaphore, inside of the process that answered it."""
    return parent["name"] == "posix_mq"


def chain(group, *options):
    number = group.add("chain", "--messages", "25", *options)
    everything = "--sync=all" in group.recorder

    def workload(_):
        run = group.run(number)
        trees = Trees(run, () if everything else (SEMAPHORES,))
        lost = trees.compare(lambda parent: not everything and through_semaphores(parent))
        print(f"# {len(trees.told)} exchanges, {lost} without their parent")
    workload.__name__ = " ".join(["the trees of chain", *options, *group.recorder, "by", group.source])
    test(workload, (group.user,))


def protocol(group, name, shape, *options):
    number = group.add(name, *SHAPES[shape], *options)
    for compare in COMPARISONS + (OF_DBUS if name == "dbus" else []):
        def workload(_, compare=compare):
            run = group.run(number)
            if run:
                if run.ledger["mechanism"] == "pipe":
                    run.compare("pipe")
                compare(run, name)
        workload.__name__ = " ".join([name, shape, *options, compare.__name__, "by", group.source])
        test(workload, (group.user,))


@test(users=("nobody",))
def what_is_missing_is_said(s):
    result = s.run(["env", "PATH=/nowhere", s.ipctrace, "reference", "dbus"])
    assert result.status == 3 and result.err.count(b"\n") == 1 and b"dbus-daemon" in result.err, shorten(result)
    s.run(["mkdir", "-p", "alone"])
    s.run(["cp", s.ipctrace, "alone"])
    result = s.run(["alone/ipctrace", "reference", "rpc"])
    assert result.status == 3 and result.err.count(b"\n") == 1 and b"not applicable" in result.err, shorten(result)


@test(users=("nobody",))
def that_semaphores_are_not_followed_is_said(s):
    for recorder, said in ((), True), (("--sync=all",), False):
        _, trace = s.record([s.ipctrace, "reference", "chain", "--messages", "2"], recorder=recorder)
        spans, summary = (s.run([s.ipctrace, view, "-i", trace.path]) for view in ("spans", "summary"))
        for text in spans.err, summary.out:
            assert (b"not followed through semaphores: record with --sync=all" in text) == said, (recorder, text)


if __name__ == "__main__":
    for user, source in (("root", "shim"), ("nobody", "shim"), ("root", "bpf")):
        if source == "bpf" and not IS_ROOT:
            continue
        batch = reference.Batch(user, source, reference.dynamic)
        chain(batch)
        chain(batch, "--producers", "5")
        if source == "shim":
            chain(reference.Batch(user, source, reference.dynamic, "--sync=all"), "--producers", "5")
        for program in PROTOCOLS:
            for word in SHAPES:
                protocol(batch, program, word)
            for variant in reference.variants(program)[1:]:
                protocol(batch, program, "one pair", "--variant", variant)
    main()
