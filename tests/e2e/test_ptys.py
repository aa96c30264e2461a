#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Pseudo-terminals: the programs say who did what, and so must their traces."""
import re

from harness import Trace, by_source, main, needs, program, shorten, test

NAMES = ("raw", "named", "cooked", "echo", "later", "back", "flushed", "again", "spawned", "tty", "several", "killed", "packet",
         "threads", "failing")


def numbers(out, word):
    return sorted(tuple(map(int, line.split()[1:])) for line in out.decode().splitlines() if line.split()[0] == word)


def compare(name, trace, out, source):
    ends = trace.rows("SELECT pid, sum(sends), sum(receives), sum(n.bytes_sent), sum(n.bytes_received) FROM endpoints n "
                      "JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id "
                      "WHERE c.mechanism = 'pty' GROUP BY pid HAVING sum(sends) + sum(receives) > 0")
    assert sorted(map(tuple, ends)) == numbers(out, "end"), (name, ends, out)
    edges = sorted(map(tuple, trace.rows("SELECT src_pid, dst_pid, messages, bytes, exact FROM edges "
                                         "WHERE mechanism = 'pty'")))
    wanted = numbers(out, "edge")
    if (name, source) == ("killed", "bpf"):  # how far the writer came the kernel knows
        wanted = [(*row[:4], 1) for row in wanted]
    # Of what is edited the number of messages is no fact: the reader's and the writer's calls differ.
    told = sorted((s, d, m if (s, d, -1, b, x) not in wanted else -1, b, x) for s, d, m, b, x in edges)
    assert told == wanted, (name, edges, wanted)
    index = numbers(out, "index")[0][0]
    used = trace.rows("SELECT key, name FROM channels c WHERE mechanism = 'pty' AND bytes_sent + bytes_received > 0")
    count = (numbers(out, "channels") or [(1,)])[0][0]
    assert [tuple(row) for row in used] == [(f"pty:pts/{index}", f"/dev/pts/{index}")] * count, (name, used)
    lost = trace.rows("SELECT * FROM losses WHERE reason <> 'killed'")
    assert not lost, (name, lost)
    trace.check_sound()


@by_source
def who_talked_to_whom(s, source):
    for name in NAMES:
        result, trace = s.record([program("ptys.c", "-lutil"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, trace, result.out, source)


@test(users=("root",))
def both_sources_agree(s):
    for name in NAMES:
        path = s.new_trace()
        result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", program("ptys.c", "-lutil"), name])
        assert result.status == 0, (name, shorten(result))
        compare(name, Trace(path), result.out, "shim")
        compare(name, Trace(path.replace(".db", ".bpf.db")), result.out, "bpf")


BEGINS = re.compile(r"(\d+) +(read|write|readv|writev)\(\d+<[^<>]*<char (?:136:\d+|5:[02])>")
RESULT = re.compile(r"(?:\)|resumed>.*) += (\d+)$")


def by_strace(path):
    """{pid: [sends, receives, sent, received]}"""
    moved, unfinished = {}, {}
    with open(path, encoding="latin-1") as lines:
        for line in lines:
            pid, call = int(line.split()[0]), BEGINS.match(line)
            if "<unfinished ...>" in line:
                unfinished[pid] = call
            elif " resumed>" in line:
                call = unfinished.pop(pid)
            result = RESULT.search(line)
            if call and result and int(result[1]):
                row = moved.setdefault(pid, [0, 0, 0, 0])
                receives = call[2].startswith("r")
                row[receives] += 1
                row[2 + receives] += int(result[1])
    return moved


def by_trace(trace):
    return {pid: row for pid, *row in (map(int, r) for r in trace.rows(
        "SELECT pid, sum(sends), sum(receives), sum(n.bytes_sent), sum(n.bytes_received) FROM endpoints n "
        "JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = 'pty' "
        "AND p.pid IS NOT NULL GROUP BY pid HAVING sum(sends) + sum(receives) > 0"))}


def real_programs(s):
    shell = "echo begin; ls -l /usr; stty -echo; cat /etc/passwd | sort; stty raw; seq 2000; dd if=/dev/zero bs=3000 count=9"
    yield [*needs("script"), "-qc", shell, "/dev/null"]
    yield ["/usr/bin/python3", "-c", f"import pty; pty.spawn(['sh', '-c', {shell!r}])"]
    yield [program("ptys.c", "-lutil"), "cooked"]


@by_source
def strace_saw_the_same(s, source):
    strace, = needs("strace")
    for command in real_programs(s):
        log = s.path("strace.log")
        result, trace = s.record([strace, "-f", "-yy", "-s", "0", "-o", log, "-e", "trace=read,write,readv,writev", *command],
                                 source)
        assert result.status == 0, (command, shorten(result))
        truth, found = by_strace(log), by_trace(trace)
        assert len(truth) > 1 and found == truth, (command, truth, found)
        trace.check_sound()


@by_source
def a_program_on_a_terminal_talks_to_it(s, source):
    """ipctrace itself runs on the terminal: whoever is at the other end of that is outside."""
    script_, = needs("script")
    path = s.new_trace()
    result = s.run([script_, "-qc", f"{s.ipctrace} -q -o {path} --source={source} -- sh -c 'read x; echo got $x >&2; ls /'",
                    "/dev/null"], stdin=b"a line\n")
    assert result.status == 0 and b"got a line" in result.out, shorten(result)
    trace = Trace(path)
    trace.check_sound()
    rows = trace.rows("SELECT src_comm, dst_comm, messages, bytes, exact FROM edges WHERE mechanism = 'pty'")
    ends = trace.rows("SELECT sum(sends), sum(n.bytes_sent), sum(receives), sum(n.bytes_received), count(DISTINCT c.id) "
                      "FROM endpoints n JOIN channels c ON c.id = n.channel_id WHERE mechanism = 'pty'")[0]
    out = [row for row in rows if row[1] == "terminal"]
    back = [row for row in rows if row[0] == "terminal"]
    assert sum(row[2] for row in out) == ends[0] and sum(row[3] for row in out) == ends[1] > len("got a line"), rows
    assert len(back) == 1 and back[0][2:] == (ends[2], 7, 1), rows
    assert ends[4] == 1 and not trace.one("SELECT count(*) FROM losses"), trace.rows("SELECT * FROM losses")
    assert trace.rows("SELECT comm, coverage FROM processes WHERE coverage != 'full' AND comm != 'kernel'") == [("terminal", "untraced")]


DEVPTS = """
    mine() { mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx; }
    run() { script -qc ": > $1; until [ -e $2 ]; do sleep 0.01; done; tty; echo here > /dev/tty" /dev/null; }
    export -f mine run
    unshare -m bash -c 'mine && run one two' & unshare -m bash -c 'mine && run two one' & wait"""


@test(users=("root",))
def each_container_has_its_own(s):
    needs("script", "unshare", "bash")
    path = s.new_trace()
    result = s.run([s.ipctrace, "-q", "-o", path, "--source=both", "--verify", "--", "bash", "-c", DEVPTS])
    assert result.status == 0 and sorted(result.out.split()) == [b"/dev/pts/0"] * 2 + [b"here"] * 2, shorten(result)
    for trace in Trace(path), Trace(path.replace(".db", ".bpf.db")):
        rows = trace.rows("SELECT c.key, count(DISTINCT e.src_pid), count(DISTINCT e.dst_pid), sum(e.bytes) FROM edges e "
                          "JOIN channels c ON c.id = e.channel_id WHERE e.mechanism = 'pty' GROUP BY c.id")
        assert rows == [("pty:pts/0", 2, 1, 18)] * 2, rows
        trace.check_sound()


main()
