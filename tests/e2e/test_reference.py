# SPDX-License-Identifier: BSD-2-Clause
"""The reference programs in every shape: the ledger is the truth for both sources."""
import atexit
import collections
import json
import functools
import os
import re
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


def compare_edges(ledger, trace, mechanism):
    told = {(e["src_pid"], e["dst_pid"]): (e["messages"], e["bytes"] or 0) for e in ledger["edges"]}
    found = {tuple(row[:2]): (row[2], row[3] or 0) for row in trace.rows(EDGES, mechanism)}
    if ledger["exact"]:
        assert found == told, f"edges\nledger {told}\ntrace  {found}"
        return
    certain = [tuple(row[:2]) for row in trace.rows(EDGES, mechanism) if row[4]]
    wrong = {pids: (found[pids], told.get(pids)) for pids in certain if told and found[pids] != told.get(pids)}
    assert not wrong, f"edges that are not marked: trace, ledger: {wrong}"
    if not told:  # of a counter nobody knows; every post is one unit
        assert sum(e["sends"] for e in ledger["endpoints"]) == sum(moved[0] for moved in found.values()), found
    elif ledger["endpoints"][0]["bytes_sent"] is not None:  # units are not messages: their endpoints have to do
        for end in (0, 1):
            ours, theirs = by_end(found, end), by_end(told, end)
            assert ours == theirs, f"totals at end {end}\nledger {told}\ntrace  {found}"


def check_not_covered(ledger, trace, reason):
    """What no source sees is counted for each process that did it."""
    counted = {pid for pid, in trace.rows("""SELECT p.pid FROM losses l JOIN processes p ON p.id = l.process_id
                                          WHERE kind = 'not_covered' AND reason = ? AND count > 0""", reason)}
    pids = {e["pid"] for e in ledger["endpoints"]}
    assert pids <= counted, (pids, counted)


def compare_ledger(ledger, trace, mechanism):
    assert ledger["mechanism"] == mechanism
    if mechanism == RINGS:
        if not trace.one("SELECT count(*) FROM processes WHERE source = 'bpf'"):
            check_not_covered(ledger, trace, mechanism)
            return
        mechanism = "pipe"
    told = {e["pid"]: (e["sends"], e["receives"], e["bytes_sent"] or 0, e["bytes_received"] or 0)
            for e in ledger["endpoints"] if e["sends"] + e["receives"]}
    found = {row[0]: tuple(value or 0 for value in row[1:]) for row in trace.rows(TOTALS, mechanism)}
    assert found == told, f"endpoints\nledger {told}\ntrace  {found}"
    compare_edges(ledger, trace, mechanism)
    trace.check_sound()


def compare(s, source, command, mechanism, shape, *options):
    path = s.path(f"ledger-{mechanism}-{source}")
    result, trace = s.record([*command, mechanism, "--ledger", path, *SHAPES[shape], *options], source)
    if result.status == 3:
        assert b"not applicable" in result.err, shorten(result)
        REFUSED[shape] += 1
        return
    assert result.status == 0, shorten(result)
    compare_ledger(load(path), trace, mechanism)
    if shape in ("one pair", "killed pair"):
        assert not trace.one("SELECT count(*) FROM edges WHERE mechanism = ? AND exact = 0", mechanism), "marked"


def add(source, mechanism, shape, users, *options):
    def workload(s):
        compare(s, source, [s.ipctrace, "reference"], mechanism, shape, *options)
    workload.__name__ = " ".join(["reference", mechanism, shape, *options, "by", source])
    test(workload, users)


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
    assert [ledger["mechanism"] for ledger in load(path)] == [name.decode() for name in ran], shorten(result)
    assert len(result.out.splitlines()) == len(LISTED) and len(ran) > len(LISTED) / 2, shorten(result)


@test(users=("nobody",))
def the_comparison_has_all(s):
    result = s.run([s.ipctrace, "reference", "--compare", "--json"])
    assert result.status == 0, shorten(result)
    table = {row.pop("mechanism"): row for row in json.loads(result.out)}
    assert list(table) == [row["mechanism"] for row in LISTED]
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


def add_static(source, mechanism, shape, *shell):
    def workload(s):
        compare(s, source, [*shell, static_program()], mechanism, shape)
    workload.__name__ = f"static reference {mechanism} {shape} by {source}"
    test(workload, ("root",))


RECORDED = sources()
if __name__ == "__main__":
    LISTED = json.loads(Session("root").run([Session("root").ipctrace, "reference", "--list", "--json"]).out)
    for row in LISTED:
        for name in SHAPES:
            if RECORDED[row["mechanism"]] in ("SHIM", "BOTH"):
                add("shim", row["mechanism"], name, ("root", "nobody"))
            if RECORDED[row["mechanism"]] in ("BPF", "BOTH") and IS_ROOT:
                add("bpf", row["mechanism"], name, ("root",))
        if RECORDED[row["mechanism"]] in ("BPF", "BOTH") and IS_ROOT:
            # What the shim cannot enter: by eBPF alone, and by the shim, which is in the shell, and eBPF.
            add_static("bpf", row["mechanism"], "many to many")
            add_static("bpf", row["mechanism"], "killed pair")
            add_static("auto", row["mechanism"], "many to one", "sh", "-c", 'exec "$@"', "sh")
        for variant in variants(row["mechanism"]) if RECORDED[row["mechanism"]] in ("SHIM", "BOTH") else ():
            add("shim", row["mechanism"], "one pair", ("nobody",), "--variant", variant)
            add("shim", row["mechanism"], "many to many", ("nobody",), "--variant", variant)
    atexit.register(report)
    main()
