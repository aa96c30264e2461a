# SPDX-License-Identifier: BSD-2-Clause
"""The reference programs in every shape: the ledger is the truth for both sources."""
import atexit
import collections
import json
import functools
import os
import re
import shlex
import shutil
import subprocess

from harness import IS_ROOT, ROOT, Session, main, shorten, test, workshop
from ledger import EDGES, SHAPES, TOTALS, load

RINGS = "io_uring"  # as a reason of losses, too: the shim does not see what goes through one; it is on pipes
REFUSED = collections.Counter()


def sources():
    """{mechanism: SHIM, BPF, BOTH or NONE}"""
    with open(os.path.join(ROOT, "common/mechanisms.def"), encoding="ascii") as rows:
        return dict(re.findall(r"^MECHANISM\((\w+),.* (\w+)\)$", rows.read(), re.M))


def by_end(edges, end):
    """Messages and bytes of each process that sends (0) or receives (1)."""
    sums = {}
    for pids, (messages, moved) in edges.items():
        old = sums.get(pids[end], (0, 0))
        sums[pids[end]] = (old[0] + messages, old[1] + moved)
    return sums


class Run:
    """One run of a reference program: all that a trace has, or what a shell started among others."""

    def __init__(self, trace, ledger, processes=None, first=None):
        """processes: the pids of the program and of all that it started; first: the program, started by a shell."""
        self.trace, self.ledger, self.first = trace, ledger, first
        self.processes = processes or {pid for pid, in trace.rows("SELECT pid FROM processes")}

    def totals(self, mechanism):
        """{pid: (sends, receives, bytes sent, bytes received)}"""
        return {pid: tuple(value or 0 for value in sums) for pid, *sums in self.trace.rows(TOTALS, mechanism)
                if pid in self.processes}

    def edges(self, mechanism):
        """{(src_pid, dst_pid): (messages, bytes, exact)}, but for what the shell that started it did with it."""
        return {(src, dst): (messages, moved or 0, exact) for src, dst, messages, moved, exact
                in self.trace.rows(EDGES, mechanism) if {src, dst} & self.processes and {src, dst} <= self.processes | {0}}

    def compare(self, mechanism):
        """The trace says what the ledger says."""
        assert self.ledger["mechanism"] == mechanism
        if mechanism == RINGS:
            if not self.trace.one("SELECT count(*) FROM processes WHERE source = 'bpf'"):
                self.check_not_covered(mechanism)
                return
            mechanism = "pipe"
        told = {e["pid"]: (e["sends"], e["receives"], e["bytes_sent"] or 0, e["bytes_received"] or 0)
                for e in self.ledger["endpoints"] if e["sends"] + e["receives"]}
        found = self.totals(mechanism)
        if mechanism == "process" and self.first:
            sends, receives, *moved = found[self.first]
            found[self.first] = (sends, receives - 1, *moved)
        assert found == told, f"endpoints\nledger {told}\ntrace  {found}"
        self.compare_edges(self.edges(mechanism))

    def compare_edges(self, found):
        told = {(e["src_pid"], e["dst_pid"]): (e["messages"], e["bytes"] or 0) for e in self.ledger["edges"]}
        certain = {pids: edge[:2] for pids, edge in found.items() if edge[2]}
        found = {pids: edge[:2] for pids, edge in found.items()}
        if self.ledger["exact"]:
            assert found == told, f"edges\nledger {told}\ntrace  {found}"
            return
        wrong = {pids: (edge, told.get(pids)) for pids, edge in certain.items() if told and edge != told.get(pids)}
        assert not wrong, f"edges that are not marked: trace, ledger: {wrong}"
        if not told:  # of a counter nobody knows; every post is one unit
            assert sum(e["sends"] for e in self.ledger["endpoints"]) == sum(moved[0] for moved in found.values()), found
        elif self.ledger["endpoints"][0]["bytes_sent"] is not None:  # units are not messages: their endpoints have to do
            for end in (0, 1):
                ours, theirs = by_end(found, end), by_end(told, end)
                assert ours == theirs, f"totals at end {end}\nledger {told}\ntrace  {found}"

    def check_not_covered(self, reason):
        """What no source sees is counted for each process that did it."""
        counted = {pid for pid, in self.trace.rows("""SELECT p.pid FROM losses l JOIN processes p ON p.id = l.process_id
            WHERE kind = 'not_covered' AND reason = ? AND count > 0""", reason)}
        pids = {e["pid"] for e in self.ledger["endpoints"]}
        assert pids <= counted, (pids, counted)


class Batch:
    """One recording of a shell that runs reference programs one after the other: to start a recording, and by eBPF
    to load it, takes longer than what most of them do."""

    def __init__(self, user, source, command, *recorder):
        self.user, self.source, self.command, self.recorder = user, source, command, recorder
        self.planned = []
        self.recorded = self.error = None

    def add(self, mechanism, *options):
        """Plans a run, and returns its number."""
        self.planned.append((mechanism, options))
        return len(self.planned) - 1

    def run(self, number):
        """The planned run of this number, or None: this mechanism cannot do that."""
        if not self.recorded and not self.error:
            try:
                self.recorded = self.record()
            except Exception as why:  # of each of its tests
                self.error = why
        if self.error:
            raise AssertionError("the recording of the batch") from self.error
        s, trace, parents, started = self.recorded
        with open(s.path(f"status-{number}"), encoding="ascii") as status, open(s.path(f"err-{number}"), "rb") as err:
            code, said = int(status.read()), err.read()
        if code == 3:
            assert b"not applicable" in said, said
            return None
        assert code == 0, (code, said[-1000:])
        processes, more = set(), {started[number]}
        while more:
            processes |= more
            more = {pid for pid, parent in parents.items() if parent in more}
        return Run(trace, load(s.path(f"ledger-{number}")), processes, started[number])

    def record(self):
        """Returns the Session, the Trace, {pid: parent's pid}, and the pids of the planned runs."""
        s = Session(self.user)
        lines = []
        for i, (mechanism, options) in enumerate(self.planned):
            words = [*self.command(s), mechanism, "--ledger", f"ledger-{i}", *options]
            lines.append(f"{shlex.join(words)} >out-{i} 2>err-{i}; echo $? >status-{i}")
        result, trace = s.record(["sh", "-c", "\n".join(lines)], self.source, self.recorder, timeout=600)
        assert result.status == 0, shorten(result)
        trace.check_sound()
        parents = dict(trace.rows("""SELECT p.pid, q.pid FROM processes p JOIN processes q ON q.id = p.parent_id
                                  WHERE p.pid != q.pid AND p.coverage NOT IN ('untraced', 'remote')"""))
        shell = trace.one("SELECT pid FROM processes WHERE comm = 'sh' ORDER BY id LIMIT 1")
        started = [pid for pid, in trace.rows("SELECT pid FROM processes GROUP BY pid ORDER BY min(start_ns)")
                   if parents.get(pid) == shell]
        assert len(started) == len(self.planned), (len(started), len(self.planned))
        return s, trace, parents, started


@functools.lru_cache(None)
def batch(user, source, command, _mechanism=None):
    return Batch(user, source, command)


def dynamic(s):
    return [s.ipctrace, "reference"]


def static(_):
    return [static_program()]


def add(group, mechanism, shape, *options):
    """A test of one run in a batch."""
    number = group.add(mechanism, *SHAPES[shape], *options)

    def workload(_):
        run = group.run(number)
        if not run:
            REFUSED[shape] += 1
            return
        run.compare(mechanism)
        marked = [pids for pids, edge in run.edges(mechanism).items() if not edge[2]]
        assert not marked or shape not in ("one pair", "killed pair"), f"marked: {marked}"
    kind = ["static"] if group.command == static else []
    workload.__name__ = " ".join([*kind, "reference", mechanism, shape, *options, "by", group.source])
    test(workload, (group.user,))


def variants(mechanism):
    """Other ways in which the program does it than the one it takes by itself."""
    s = Session("root")
    result = s.run([s.ipctrace, "reference", mechanism, "--variant", "?"])
    assert result.status == 2, shorten(result)
    return result.err.decode().split("'?':")[1].split()[1:]


def report():
    """What mechanisms cannot have is no failure, and is counted."""
    print(f"# not applicable: {sum(REFUSED.values())} of them:", dict(REFUSED))


@test
def all_of_them(s):
    path = s.path("ledgers")
    result = s.run([s.ipctrace, "reference", "--all", "--messages", "20", "--ledger", path])
    assert result.status == 0, shorten(result)
    ran = re.findall(rb"^(\w+) +ok$", result.out, re.M)
    mechanisms = {row["name"]: row["mechanism"] for row in LISTED}
    assert [ledger["mechanism"] for ledger in load(path)] == [mechanisms[name.decode()] for name in ran], shorten(result)
    assert len(result.out.splitlines()) == len(LISTED) and len(ran) > len(LISTED) / 2, shorten(result)


@test(users=("nobody",))
def the_comparison_has_all(s):
    result = s.run([s.ipctrace, "reference", "--compare", "--json"])
    assert result.status == 0, shorten(result)
    table = {row.pop("mechanism"): row for row in json.loads(result.out)}
    assert list(table) == [row["mechanism"] for row in LISTED if row["mechanism"] == row["name"]]
    for name, row in table.items():
        for key in ("model", "boundary", "scope", "blocking", "capacity", "direction", "synchronisation", "relationship"):
            assert row[key], (name, key, row)
        assert row["latency_p50_ns"] is None or 0 < row["latency_p50_ns"] <= row["latency_p99_ns"], (name, row)
    assert table["pipe"]["messages_per_s"] > 1000 and table["pipe"]["large_bytes_per_s"] > 1 << 20, table["pipe"]
    assert table["sysv_msg"]["largest_bytes"] == 8192 and table["pipe"]["largest_bytes"] is None


@functools.lru_cache(None)
def static_program():
    """The reference programs alone, linked statically."""
    build = os.environ.get("BUILD", "build")
    make = os.environ.get("MAKE", "make -s").split()
    subprocess.run([*make, f"BUILD={build}", f"{build}/reference-static"], cwd=ROOT, check=True)
    shutil.copy(os.path.join(ROOT, build, "reference-static"), workshop())
    return os.path.join(workshop(), "reference-static")


@test
def a_static_program_writes_the_same_ledger(s):
    ledgers = []
    for command in ([static_program(), "tcp"], [s.ipctrace, "reference", "tcp"]):
        result = s.run([*command, "--producers", "2", "--messages", "30", "--size", "64-3000"])
        assert result.status == 0, shorten(result)
        ledger = json.loads(result.out)
        order = {e["pid"]: i for i, e in enumerate(ledger["endpoints"])}
        for row in ledger["endpoints"] + ledger["edges"]:
            row.update((key, order[row[key]]) for key in ("pid", "src_pid", "dst_pid") if key in row)
        ledgers.append(ledger)
    assert ledgers[0] == ledgers[1], ledgers


@test
def the_shim_counts_a_static_program(s):
    result, trace = s.record([static_program(), "pipe"])
    assert result.status == 0, shorten(result)
    assert trace.lost("static") == {"reference-static": 1}, trace.rows("SELECT * FROM losses")
    assert not trace.rows("SELECT * FROM edges")


RECORDED = sources()
if __name__ == "__main__":
    LISTED = json.loads(Session("root").run([Session("root").ipctrace, "reference", "--list", "--json"]).out)
    for row in LISTED:
        one = row["mechanism"]
        if row["name"] != one:  # tests/e2e/test_reference_calls.py
            continue
        by_shim, by_bpf = RECORDED[one] in ("SHIM", "BOTH"), RECORDED[one] in ("BPF", "BOTH") and IS_ROOT
        for name in SHAPES:
            if by_shim:
                add(batch("root", "shim", dynamic, one), one, name)
                add(batch("nobody", "shim", dynamic, one), one, name)
            if by_bpf:
                add(batch("root", "bpf", dynamic, one), one, name)
        if by_bpf:
            # What the shim cannot enter: by eBPF alone, and by the shim, which is in the shell, and eBPF.
            add(batch("root", "bpf", static), one, "many to many")
            add(batch("root", "bpf", static), one, "killed pair")
            add(batch("root", "auto", static), one, "many to one")
        for variant in variants(one) if by_shim else ():
            add(batch("nobody", "shim", dynamic, one), one, "one pair", "--variant", variant)
            add(batch("nobody", "shim", dynamic, one), one, "many to many", "--variant", variant)
    atexit.register(report)
    main()
