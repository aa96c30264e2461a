#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Locks on files: the programs say who took them over from whom, and so must their traces."""
import collections
import os
import re
import socket
import threading
import time

from harness import ROOT, Trace, by_source, main, program, shorten, test

NAMES = ("crowd-f", "crowd-p", "crowd-o", "records-p", "records-o", "readers-f", "readers-p", "readers-o",
         "conversions-f", "conversions-p", "conversions-o", "ranges-p", "ranges-o", "closes", "shared_by_fork", "left",
         "execs", "failures", "fifo", "threads-f", "threads-o", "killed-f", "killed-p")
ONLY_BPF = ("forked_before", "sent")  # the shim does not know who else has the descriptor


def said(out):
    """{word: {pids or errno: number}} of what the program printed."""
    found = collections.defaultdict(collections.Counter)
    for line in out.decode().splitlines():
        word, *numbers = line.split()
        if word == "failed":
            found[word][int(numbers[0])] += 1
        elif int(numbers[-1]):
            found[word][tuple(map(int, numbers[:-1]))] += int(numbers[-1])
    return found


def compare(name, trace, out):
    truth = said(out)
    edges = {tuple(row[:2]): tuple(row[2:]) for row in trace.rows(
        "SELECT src_pid, dst_pid, sum(messages), sum(bytes), min(exact), max(partial) FROM edges "
        "WHERE mechanism = 'file_lock' GROUP BY 1, 2")}
    assert edges == {key: (n, 0, 1, 0) for key, n in truth["edge"].items()}, (name, truth["edge"], edges)
    for word, column in (("locks", "receives"), ("unlocks", "sends")):
        rows = trace.rows(f"""SELECT p.pid, sum({column}) FROM endpoints n JOIN channels c ON c.id = n.channel_id
                          JOIN processes p ON p.id = n.process_id WHERE mechanism = 'file_lock' GROUP BY 1""")
        found = {(pid,): n for pid, n in rows if n}
        assert found == truth[word], (name, word, truth[word], found)
        verb = word[:-1]
        rows = trace.rows(f"SELECT pid, count(*) FROM events WHERE mechanism = 'file_lock' AND verb = '{verb}' "
                          "AND errno = 0 AND NOT flags & 32 GROUP BY 1")
        assert {(pid,): n for pid, n in rows} == truth[word], (name, word, truth[word], rows)
    failed = trace.rows("SELECT errno, count(*) FROM events WHERE mechanism = 'file_lock' AND errno > 0 GROUP BY 1")
    assert dict(failed) == truth["failed"], (name, truth["failed"], failed)
    rows = trace.rows("SELECT DISTINCT mechanism, name FROM channels WHERE name LIKE '%.lock'")
    assert ("file_lock", ) in [row[:1] for row in rows], (name, rows)
    assert not trace.one("SELECT count(*) FROM losses"), (name, trace.rows("SELECT * FROM losses"))
    trace.check_sound()


def traced(s, name, source):
    result, trace = s.record([program("locks.c"), name, s.dir], source, timeout=120)
    assert result.status == 0, (name, shorten(result))
    return result, trace


@by_source
def who_took_it_over_from_whom(s, source):
    for name in NAMES + (ONLY_BPF if source == "bpf" else ()):
        result, trace = traced(s, name, source)
        compare(name, trace, result.out)


@by_source
def waits_are_shown(s, source):
    _, trace = traced(s, "left", source)
    rows = trace.rows("SELECT w.pid, p.pid, dur_ns FROM waits w JOIN processes p ON p.id = woken_by_id "
                      "WHERE w.mechanism = 'file_lock'")
    assert len(rows) == 3 and all(pid != by and dur > 15_000_000 for pid, by, dur in rows), rows


@by_source
def how_long_they_are_held(s, source):
    """By the example in docs/schema.md: the holders sleep 20 ms and more."""
    _, trace = traced(s, "left", source)
    with open(os.path.join(ROOT, "docs/schema.md"), encoding="utf-8") as f:
        example = f.read().split("How long locks were held", 1)[1].split("```sql", 1)[1].split("```", 1)[0].strip("; \n")
    rows = trace.rows(example)
    assert [(row[0], row[2]) for row in rows] == [("locks", 6)] and 10e6 < rows[0][3] < rows[0][4] < 5e9, rows


@by_source
def a_fifo_has_its_bytes_and_its_lock(s, source):
    _, trace = traced(s, "fifo", source)
    rows = trace.rows("SELECT mechanism, sum(messages), sum(bytes) FROM edges "
                      "WHERE mechanism IN ('fifo', 'file_lock') GROUP BY 1 ORDER BY 1")
    assert rows == [("fifo", 1, 1), ("file_lock", 1, 0)], rows


SENDER = """import fcntl, os, socket, sys
file, sock = open("g.lock", "w"), socket.socket(socket.AF_UNIX)
fcntl.flock(file, fcntl.LOCK_EX)
sock.connect("outside")
socket.send_fds(sock, [b"x"], [file.fileno()])
file.close()
child = os.fork()
if not child:
    open("asked", "w").close()
    fcntl.flock(open("g.lock"), fcntl.LOCK_EX)
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@test(users=("root",))
def what_ends_outside_is_told(s):
    """Whoever has the descriptor last, outside of the trace, ends the lock of the process that took it."""
    def keep_for_a_while(listener):
        with listener.accept()[0] as sock:
            fd, = socket.recv_fds(sock, 1, 1)[1]
            while not os.path.exists(s.path("asked")):
                time.sleep(0.01)
            time.sleep(0.1)
            os.close(fd)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(s.path("outside"))
        listener.listen()
        outside = threading.Thread(target=keep_for_a_while, args=(listener,))
        outside.start()
        result, trace = s.record(["/usr/bin/python3", "-c", SENDER], "bpf")
        outside.join()
    assert result.status == 0, shorten(result)
    trace.check_sound()
    first, = trace.rows("SELECT src_pid, dst_pid, messages, exact FROM edges WHERE mechanism = 'file_lock'")
    assert first[0] != first[1] and first[2:] == (1, 1), first
    assert trace.one("SELECT max(recv_blocked_ns) FROM messages WHERE mechanism = 'file_lock'") > 5_000_000
    assert not trace.lost("unmatched"), trace.lost("unmatched")


def calls(log):
    """{(pid, what): number} of the locks and unlocks that strace saw go well."""
    found, begun = collections.Counter(), {}
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            pid, _, call = line.partition(" ")
            call = call.strip()
            if "<unfinished" in call:
                begun[pid] = call.split("<unfinished")[0]
                continue
            if call.startswith("<..."):
                call = begun.pop(pid, "") + call.split("resumed>")[-1]
            if re.match(r"(flock\(|fcntl\(\d+, F_(OFD_)?SETLKW?,)", call) and re.search(r"\)\s+= 0$", call):
                found[int(pid), "unlock" if "UN" in call.split(")")[0] else "lock"] += 1
    return found


def same_as_strace(s, shell, source):
    """What the shell did; the Trace, of the same run as strace's log."""
    log = s.path("strace.log")
    result, trace = s.record(["strace", "-f", "-e", "trace=flock,fcntl", "-o", log, "sh", "-c", shell], source)
    assert result.status == 0, shorten(result)
    ours = trace.rows("SELECT pid, verb, count(*) FROM events WHERE mechanism = 'file_lock' AND errno = 0 "
                      "AND call IN ('flock', 'fcntl:setlk', 'fcntl:setlkw', 'fcntl:ofd_setlk', 'fcntl:ofd_setlkw') "
                      "GROUP BY 1, 2")
    theirs = calls(log)
    assert theirs and {(pid, verb): n for pid, verb, n in ours} == theirs, (ours, theirs)
    trace.check_sound()
    return result, trace


def hand_overs(trace):
    return trace.rows("SELECT src_comm, dst_comm, sum(messages), min(exact), max(partial) FROM edges "
                      "WHERE mechanism = 'file_lock' AND src_id != dst_id GROUP BY 1, 2")


@by_source
def flock_of_two_shells(s, source):
    each = "for i in 1 2 3 4 5; do flock a.lock -c 'echo $$ >> out; sleep 0.01; echo $$ >> out'; done"
    result, trace = same_as_strace(s, f"sh -c \"{each}\" & sh -c \"{each}\"; wait; cat out", source)
    lines = result.out.split()
    assert len(lines) == 20 and lines[::2] == lines[1::2], lines
    assert [row[:2] + row[3:] for row in hand_overs(trace)] == [("flock", "flock", 1, 0)], hand_overs(trace)
    assert hand_overs(trace)[0][2] == 9, hand_overs(trace)  # ten had it, one after the other
    assert not trace.lost("unmatched"), trace.lost("unmatched")


@by_source
def flock_of_a_descriptor(s, source):
    """The lock outlives the program that took it: the subshell that has the descriptor releases it."""
    each = "(flock 9; echo $0 >> out; sleep 0.03; echo $0 >> out) 9> b.lock"
    result, trace = same_as_strace(s, f"for i in 1 2 3; do sh -c '{each}' $i & done; wait; cat out", source)
    lines = result.out.split()
    assert len(lines) == 6 and lines[::2] == lines[1::2], lines
    assert [row[:3] + row[4:] for row in hand_overs(trace)] == [("sh", "flock", 2, 0)], hand_overs(trace)


@by_source
def who_else_has_the_descriptor(s, source):
    """Who opened it, not who took the lock, ends it: by unlocking, by a close in the shell, by its end."""
    result, trace = same_as_strace(s, """
        upon() { while [ ! -e $1 ]; do sleep 0.01; done; }
        first() { exec 9> d.lock; flock 9; : > one; sleep 0.06; flock -u 9; upon three; }
        second() { exec 9> d.lock; upon one; flock 9; : > two; sleep 0.06; exec 9>&-; upon three; }
        third() { exec 9> d.lock; upon two; flock 9; : > three; }
        first & second & third & wait
        (upon four; flock e.lock true) &
        exec 9> e.lock
        (flock 9; : > four; sleep 0.1)
        sleep 0.1; exec 9>&-; wait""", source)
    rows = trace.rows("SELECT e.src_comm, e.dst_comm, messages, exact, e.partial, c.name LIKE '%/e.lock' FROM edges e "
                      "JOIN channels c ON c.id = e.channel_id WHERE e.mechanism = 'file_lock' ORDER BY e.first_ns")
    assert rows == [("flock", "flock", 1, 1, 0, 0), ("sh", "flock", 1, 1, 0, 0), ("sh", "flock", 1, 1, 0, 1)], rows
    assert trace.one("SELECT max(recv_blocked_ns) FROM messages WHERE mechanism = 'file_lock'") > 20_000_000
    assert not trace.lost("unmatched"), trace.lost("unmatched")


@by_source
def sqlite_of_two_processes(s, source):
    each = "for i in 1 2 3 4 5; do sqlite3 -cmd '.timeout 20000' c.db 'INSERT INTO t VALUES (1)'; done"
    result, trace = same_as_strace(s, "sqlite3 c.db 'CREATE TABLE t (a)'; "
                                   f"sh -c \"{each}\" & sh -c \"{each}\"; wait; sqlite3 c.db 'SELECT sum(a) FROM t'", source)
    assert result.out.split()[-1] == b"10", result
    assert hand_overs(trace) and all(row[0] == row[1] == "sqlite3" for row in hand_overs(trace)), hand_overs(trace)
    assert not trace.lost("unmatched"), trace.lost("unmatched")


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("locks.c"), name, s.dir])
        assert result.status == 0, (name, shorten(result))
        compare(name, Trace(path), result.out)
        compare(name, Trace(path.replace(".db", ".bpf.db")), result.out)


main()
