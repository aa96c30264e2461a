#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Calls of real programs: a language server (JSON-RPC), gRPC over HTTP/2, python's HTTP. Truth is the ledger that the client
writes."""
import collections
import json
import os

from harness import PROGRAMS, Skip, by_source, main, needs, run, shorten

PYTHON = "/usr/bin/python3"


def ledger(s):
    with open(s.path("ledger"), encoding="utf-8") as file:
        return [tuple(row) for row in json.load(file)]


def number_of(identity):
    """How the trace has an id: as it is, or a hash (FNV-1a) of its text in JSON."""
    if not isinstance(identity, str):
        return identity
    number = 0xcbf29ce484222325
    for byte in json.dumps(identity).encode():
        number = (number ^ byte) * 0x100000001b3 % 2**64
    return number - 2**64 if number >= 2**63 else number


def told(trace, of_python):
    """Each message of JSON-RPC that python sent, or else that the server did: (kind, number, name, status), in its order."""
    return trace.rows(f"""SELECT m.kind, m.number, m.name, m.status FROM protocol_messages m
                      JOIN processes p ON p.id = m.process_id WHERE m.protocol = 'jsonrpc' AND m.sent
                      AND p.comm {"=" if of_python else "!="} 'python3' ORDER BY m.offset""")


@by_source
def an_editor_and_its_language_server(s, source):
    needs("clangd")
    result, trace = s.record([PYTHON, os.path.join(PROGRAMS, "language_client.py")], source, timeout=120)
    assert result.status == 0, shorten(result)
    for is_sent in (True, False):
        truth = [(kind, number_of(identity), *((None, what and str(what)) if kind == "reply" else (what, None)))
                 for sent, kind, identity, what in ledger(s) if sent == is_sent]
        found = told(trace, is_sent)
        assert len(truth) > 20 and found == truth, f"trace: {found}\nledger: {truth}"
    assert trace.rows("SELECT DISTINCT status FROM protocol_messages WHERE failed") == [("-32601",)]


@by_source
def calls_over_http(s, source):
    result, trace = s.record([PYTHON, os.path.join(PROGRAMS, "http_calls.py")], source, timeout=120)
    assert result.status == 0, shorten(result)
    rows = trace.rows("""SELECT c.name, r.status, c.trace_id, c.path, c.interface FROM protocol_messages c
                      LEFT JOIN protocol_messages r ON r.call = c.id
                      WHERE c.protocol = 'http' AND c.kind = 'call' ORDER BY c.offset""")
    truth = ledger(s)
    assert len(truth) > 40 and [row[:3] for row in rows] == truth, (rows, truth)
    assert all((row[3:] == ("/rpc", "jsonrpc")) == (row[0] in ("echo", "missing")) for row in rows), rows
    assert not trace.lost("unparsed") and trace.one("SELECT min(exact) FROM protocol_messages") == 1


SERVED = """
mkfifo hold
"$0" "$1" serve unix:$PWD/socket <hold & server=$!
exec 3>hold
"$0" "$1" call unix:$PWD/socket; status=$?
exec 3>&-
wait $server
exit $status
"""


@by_source
def calls_of_grpc(s, source):
    if run([PYTHON, "-c", "import grpc"]).status:
        raise Skip("no python3-grpcio here")
    result, trace = s.record(["sh", "-c", SERVED, PYTHON, os.path.join(PROGRAMS, "grpc_calls.py")], source, timeout=120)
    assert result.status == 0, shorten(result)
    rows = trace.rows("""SELECT c.name, r.status, r.failed, c.process_id, r.process_id FROM protocol_messages c
                      LEFT JOIN protocol_messages r ON r.protocol = c.protocol AND r.kind = 'reply' AND r.sent
                      AND r.channel_id = c.channel_id AND r.number = c.number
                      WHERE c.protocol = 'http2' AND c.kind = 'call' AND c.sent""")
    truth = ledger(s)
    assert len(truth) > 40 and collections.Counter(row[:2] for row in rows) == collections.Counter(truth), (rows, truth)
    assert all(failed == (status != "OK") and client != server for _, status, failed, client, server in rows), rows


if __name__ == "__main__":
    main()
