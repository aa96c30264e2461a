# SPDX-License-Identifier: BSD-2-Clause
"""The reference workloads: their ledgers are the truth for both sources."""
from harness import IS_ROOT, main, test

# Workload, options, and whether who talked to whom can be known exactly from outside.
WORKLOADS = (
    ("pipe", ["--writers", "1"], True),
    ("pipe", ["--writers", "1", "--size", "100000", "--messages", "50"], True),
    ("pipe", ["--writers", "3"], True),
    ("pipe", ["--writers", "1", "--readers", "3"], True),
    ("pipe", ["--writers", "3", "--readers", "3"], False),
    ("fifo", [], True),
    ("fifo", ["--size", "70000", "--messages", "50"], True),
    ("unix_stream", [], True),
    ("unix_stream", ["--clients", "8", "--size", "300000", "--messages", "20"], True),
    ("unix_dgram", [], True),
    ("unix_dgram", ["--clients", "16", "--messages", "200", "--size", "5000"], True),
    ("unix_seqpacket", [], True),
    ("unix_seqpacket", ["--clients", "8", "--size", "65536", "--messages", "100"], True),
    ("tcp", [], True),
    ("tcp", ["--clients", "8", "--size", "300000", "--messages", "20"], True),
    ("udp", [], True),
    ("udp", ["--clients", "16", "--size", "1472"], True),
    ("socket_other", [], True),
    ("socket_other", ["--size", "1400"], True),
    ("netlink", [], True),
    ("netlink", ["--clients", "16", "--messages", "200", "--size", "5000"], True),
    ("sysv_msg", [], True),
    ("sysv_msg", ["--clients", "8", "--size", "2048"], True),
    ("posix_mq", [], True),
    ("posix_mq", ["--writers", "8", "--size", "8192"], True),
    ("eventfd", [], True),
    ("eventfd", ["--writers", "8"], True),
    ("eventfd", ["--readers", "3"], True),
    ("sysv_sem", [], True),
    ("sysv_sem", ["--writers", "8", "--messages", "200"], True),
    ("process", [], True),
    ("process", ["--children", "2", "--depth", "4"], True),
)


def read_ledger(path):
    """{(src, dst, key): (messages, bytes)}"""
    edges = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            src, dst, _, key, messages, moved = line.split()
            # Who is outside the trace has no pid there, and 0 in the ledger.
            edges[int(src) or None, int(dst) or None, key] = (int(messages), int(moved))
    return edges


def totals(edges, end):
    """Messages and bytes per process at this end (0: senders, 1: receivers) and channel."""
    sums = {}
    for key, (messages, moved) in edges.items():
        old = sums.get((key[end], key[2]), (0, 0))
        sums[key[end], key[2]] = (old[0] + messages, old[1] + moved)
    return sums


def key_matches(ledger_key, trace_key):
    """A FIFO's key has its birth time behind what the ledger knows; a UNIX connection's has both inodes, and
    each process knows its own."""
    if ledger_key.startswith("unix:"):
        return ledger_key[len("unix:"):] in trace_key[len("unix:"):].split("-")
    return trace_key == ledger_key or trace_key.startswith(ledger_key + ":")


def compare(s, source, name, options, exact):
    ledger_path = s.path(f"ledger-{name}")
    result, trace = s.record([s.ipctrace, "reference", "--ledger", ledger_path, name, *options], source)
    assert result.status == 0, result
    trace.check_sound()
    ledger = read_ledger(ledger_path)
    traced = {}
    for (src, dst, key), value in trace.edges(name).items():
        known = [k for *ends, k in ledger if ends == [src, dst] and key_matches(k, key)]
        traced[src, dst, known[0] if known else key] = value
    if name == "process":  # the workload itself was started, and ends, too; its shells are not in its ledger
        traced = {edge: value for edge, value in traced.items() if edge[2] in {k for _, _, k in ledger}}
    if exact:
        assert traced == ledger, f"ledger {ledger}\ntrace {traced}"
    else:
        for end in (0, 1):
            assert totals(traced, end) == totals(ledger, end), (end, ledger, traced)
    inexact = trace.one("SELECT count(*) FROM edges WHERE mechanism = ? AND exact = 0", name)
    if name == "process" or "--readers" not in options and "3" not in options:
        assert not inexact, "edges with one writer and one reader are exact"


def add(source, name, options, exact, users):
    def workload(s):
        compare(s, source, name, options, exact)
    workload.__name__ = " ".join(["reference", name, *options, "by", source])
    test(workload, users)


for work in WORKLOADS:
    add("shim", *work, ("root", "nobody"))
    if IS_ROOT:
        add("bpf", *work, ("root",))
main()
