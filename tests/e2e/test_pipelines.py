# SPDX-License-Identifier: BSD-2-Clause
"""Shell pipelines of real programs: same behaviour, strace's calls and bytes, the right edges by name."""
from harness import IS_ROOT, Skip, main, run, test

TWO = "ls /usr | grep bin"


@test
def two_stages(s):
    trace = s.exact(["sh", "-c", TWO])
    out = run(["ls", "/usr"]).out
    messages, moved = trace.edge("ls", "grep")
    assert moved == len(out) and messages == 1, (messages, moved, len(out))
    assert trace.edge("grep", "ls") == (0, 0)


@test
def three_stages_with_a_filter_in_the_middle(s):
    trace = s.exact(["sh", "-c", "seq 1 20000 | tr 0-9 a-j | wc -c"])
    size = len(run(["seq", "1", "20000"]).out)
    assert trace.edge("seq", "tr")[1] == trace.edge("tr", "wc")[1] == size


@test
def five_stages_that_end_early(s):
    trace = s.exact(["sh", "-c", "seq 1 200000 | sort -rn | uniq | head -n 5 | cat"])
    assert trace.edge("seq", "sort")[1] == len(run(["seq", "1", "200000"]).out)
    assert trace.edge("head", "cat")[1] == 35


@test
def a_writer_that_gets_sigpipe(s):
    trace = s.exact(["bash", "-c", "yes | head -n 3; echo ${PIPESTATUS[0]}"])
    assert trace.edge("yes", "head")[1] >= 6
    status = trace.one("SELECT exit_status FROM processes WHERE comm = 'yes' ORDER BY id DESC LIMIT 1")
    assert status & 127 == 13, status
    assert trace.one("SELECT count(*) FROM channels WHERE bytes_sent > bytes_received") >= 1


@test
def several_writers_one_reader(s):
    trace = s.exact(["sh", "-c", "(seq 1 1000 & echo hello & seq 5000 5500; wait) | sort -n"])
    assert trace.edge("seq", "sort")[1] == len(run(["sh", "-c", "seq 1 1000; seq 5000 5500"]).out)
    assert trace.edge("sh", "sort")[1] == 6


@test
def one_writer_several_readers(s):
    trace = s.exact(["sh", "-c", "seq 1 100000 | { exec 3<&0; cat <&3 >/dev/null & cat >/dev/null; wait; echo done; }"])
    assert trace.edge("seq", "cat")[1] == len(run(["seq", "1", "100000"]).out)


@test
def several_writers_and_readers(s):
    trace = s.exact(["sh", "-c", "(seq 1 9999 & seq 1 9999; wait) | "
                     "{ exec 3<&0; cat <&3 >/dev/null & cat >/dev/null; wait; echo done; }"])
    assert trace.edge("seq", "cat")[1] == 2 * len(run(["seq", "1", "9999"]).out)


@test
def sum_of_subshells_and_substitutions(s):
    s.exact(["bash", "-c", "x=$(ls / | wc -l); y=$(echo $x | cat); diff <(seq 1 10) <(seq 1 11); echo $y"])


@test
def odd_block_sizes(s):
    trace = s.exact(["sh", "-c", "dd if=/dev/zero bs=1234 count=777 status=none | dd bs=4321 status=none | "
                     "dd bs=99999 status=none | wc -c"])
    assert trace.rows("SELECT bytes FROM edges WHERE mechanism = 'pipe' AND dst_comm IN ('dd', 'wc')"
                      " AND src_comm = 'dd'") == [(1234 * 777,)] * 3


@test
def exit_statuses(s):
    for script, status in (("exit 7", 7), ("kill -9 $$", -9), ("exec 2>/dev/null; no-such-program", 127)):
        trace = s.same(["sh", "-c", script])
        wait_form = trace.one("SELECT exit_status FROM processes WHERE comm = 'sh' ORDER BY id LIMIT 1")
        assert wait_form == (status << 8 if status >= 0 else -status), (script, wait_form)


@test
def nothing_of_ours_in_the_environment(s):
    variables = {"LD_PRELOAD": "/lib/x86_64-linux-gnu/libm.so.6", "EMPTY": "", "PATH": "/usr/bin:/bin"}
    for environment in ({"PATH": "/usr/bin:/bin", "A": "b"}, variables, {}):
        for command in (["/usr/bin/env"], ["/bin/sh", "-c", "/usr/bin/env; exec /bin/sh -c '/usr/bin/env | /bin/cat'"],
                        ["/usr/bin/python3", "-c", "import os; print(sorted(os.environ.items()))"]):
            if s.prefix:
                command = ["env", "-i"] + [f"{k}={v}" for k, v in environment.items()] + command
                s.same(command)
            else:
                s.same(command, env=environment)


@test
def exec_with_an_empty_environment(s):
    trace = s.exact(["sh", "-c", "echo hello | env -i /bin/sh -c '/bin/cat | env -i /usr/bin/tr a-z A-Z' | cat"])
    assert trace.edge("sh", "cat")[1] == 6 and trace.edge("cat", "tr")[1] == 6
    assert trace.edge("tr", "cat")[1] == 6


@test(users=("root",))
def both_sources_find_the_same(s):
    if not IS_ROOT:
        raise Skip("not root")
    sql = """SELECT src_comm, dst_comm, mechanism, sum(messages), sum(bytes), min(exact) FROM edges
        WHERE mechanism IN ('pipe', 'fifo', 'process') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    for script in (TWO, "seq 1 20000 | wc -c", "(echo a; echo b) | cat; exit 3",
                   "mkfifo f; cat f & echo hello > f; wait; rm f"):
        shim, bpf = (s.same(["sh", "-c", script], source=source).rows(sql) for source in ("shim", "bpf"))
        assert shim == bpf, f"{script}\nshim {shim}\nbpf  {bpf}"


main()
