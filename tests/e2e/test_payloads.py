#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The first bytes of messages, as --capture keeps them: the same that strace saw in the very same run."""
import re

from harness import by_source, main, needs, program, shorten, test
import truth

CALLS = f"strace -f -xx -s 4096 -e trace=clone,clone3,{truth.CALLS}".split()
SIZE = 33  # less than a message has, and behind its first part
OURS = re.compile(rb"[0-6]:\d+\0|before")  # how a message of the program begins
TEXT = r'"((?:\\x[0-9a-f]{2})*)"'


def text(hexadecimal):
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def messages(call, rest, result):
    """The bytes of each message that a call moved."""
    if result <= 0 or "MSG_PEEK" in rest or "MSG_TRUNC" in rest:
        return
    for part in rest.split("{msg_hdr=")[1:] if call.endswith("mmsg") else [rest]:
        texts = re.findall(("iov_base=" if "iov_base" in part else "") + TEXT, part)
        size = re.search(r"msg_len=(\d+)", part) if call.endswith("mmsg") else None
        found = b"".join(map(text, texts)) if "iov_base" in part else text(texts[0]) if texts else b""
        yield found[:int(size[1]) if size else result]


def seen_by_strace(path):
    """{thread: [(call, first bytes)]}"""
    found = {}
    for tid, call, rest, result in truth.finished(path):
        if call.startswith("clone"):
            continue
        for moved in messages(call, rest, result):
            if OURS.match(moved):
                found.setdefault(tid, []).append((call, moved[:SIZE]))
    return found


def kept(trace):
    found = {}
    for tid, call, data in trace.rows("SELECT e.tid, e.call, p.data FROM payloads p JOIN events e ON e.id = p.event_id "
                                      "WHERE e.comm = 'payloads' ORDER BY e.ts_ns, e.id"):
        found.setdefault(tid, []).append((call, data))
    return found


def same_bytes(s, source, mode, *recorder):
    needs("strace")
    log = s.path("strace.log")
    result, trace = s.record([*CALLS, "-o", log, program("payloads.c"), mode], source,
                             recorder=(f"--capture={SIZE}", *recorder))
    assert (result.status, result.out) == (0, b""), shorten(result)
    wanted, found = seen_by_strace(log), kept(trace)
    assert sum(map(len, wanted.values())) > 200 and wanted.keys() == found.keys(), (wanted.keys(), found.keys())
    for tid, moved in wanted.items():
        assert len(moved) == len(found[tid]), (tid, len(moved), len(found[tid]))
        for i, pair in enumerate(zip(moved, found[tid])):
            assert pair[0] == pair[1], (tid, i, pair)


@by_source
def bytes_of_every_call_and_channel(s, source):
    same_bytes(s, source, "plain")


@by_source
def bytes_of_several_threads(s, source):
    same_bytes(s, source, "threads")


@by_source
def bytes_that_a_child_receives(s, source):
    same_bytes(s, source, "fork")


@test
def bytes_where_no_code_is_changed(s):
    same_bytes(s, "shim", "threads", "--no-patch")


@test
def memory_that_goes_away_at_once_harms_nobody(s):
    for recorder in (("--capture=4096",), ("--capture=4096", "--no-patch")):
        result, trace = s.record([program("unmaps.c")], recorder=recorder)
        assert (result.status, result.err) == (0, b""), shorten(result)
        assert trace.one("SELECT count(*) FROM payloads") > 0


@test
def a_file_that_is_shortened_harms_nobody(s):
    for recorder in ((), ("--no-patch",)):
        result, trace = s.record([program("shortened.c")], recorder=recorder)
        assert (result.status, result.err) == (0, b""), shorten(result)
        assert trace.one("SELECT sum(count) FROM losses WHERE reason = 'unread'") == 1


if __name__ == "__main__":
    main()
