# SPDX-License-Identifier: BSD-2-Clause
"""Real programs that talk through pipes and FIFOs in their own ways."""
import os

from harness import main, program, run, test

PYTHON = "/usr/bin/python3"


@test
def fifo_between_unrelated_programs(s):
    trace = s.exact(["sh", "-c", "rm -f the.fifo; mkfifo the.fifo; (cat the.fifo | wc -c >out) & "
                     "setsid seq 1 1000 >the.fifo; wait; cat out; rm the.fifo"])
    size = len(run(["seq", "1", "1000"]).out)
    assert trace.edge("seq", "cat", "fifo")[1] == size
    names = trace.rows("SELECT DISTINCT name FROM channels WHERE mechanism = 'fifo'")
    assert [os.path.basename(name) for name, in names] == ["the.fifo"], names


@test
def fifo_opened_again_and_again(s):
    s.exact(["sh", "-c", "rm -f the.fifo; mkfifo the.fifo; for i in 1 2 3 4 5; do seq 1 $i >the.fifo & "
             "cat the.fifo; wait; done; rm the.fifo; mkfifo the.fifo; echo x >the.fifo & cat the.fifo; wait; "
             "rm the.fifo"])


@test
def python_multiprocessing_pipe(s):
    trace = s.exact([PYTHON, "-c", """
from multiprocessing import Pipe, Process
def child(end):
    for _ in range(10):
        end.send("grüße, 世界")
    end.close()
r, w = Pipe(duplex=False)
p = Process(target=child, args=(w,))
p.start(); w.close()
print([r.recv() for _ in range(10)]); p.join()
"""])
    # Each goes as a length word of 4 bytes and its pickle, which is at least as long as the text.
    messages, moved = trace.edge("python3", "python3")
    assert messages >= 10 and moved % 10 == 0 and moved // 10 >= 4 + len("grüße, 世界".encode()), (messages, moved)


@test
def python_subprocess(s):
    trace = s.exact([PYTHON, "-c", """
import subprocess
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"hello\\n" * 30000, stdout=subprocess.PIPE).stdout.count(b"HELLO"))
"""])
    assert trace.edge("python3", "tr")[1] == trace.edge("tr", "python3")[1] == 180000


@test
def what_a_spawned_child_closes(s):
    trace = s.same([program("handed.c")])
    assert trace.edge("echo", "handed") == (1, 6)
    closes = """SELECT comm, count(*) FROM events WHERE call = 'close' AND channel_id IN
                (SELECT channel_id FROM events WHERE call LIKE 'pipe%') GROUP BY process_id ORDER BY 2, 1"""
    assert [tuple(row) for row in trace.rows(closes)] == [("echo", 1), ("handed", 2), ("handed", 2)], trace.rows(closes)


@test
def popen_and_system(s):
    trace = s.exact([program("popen.c")])
    assert trace.edge("popen", "tr")[1] == len("".join(f"line {i}\n" for i in range(1000)))
    assert trace.edge("ls", "popen")[1] == len(run(["ls", "/usr"]).out)
    assert trace.edge("sh", "popen")[1] == 5


@test
def posix_spawn(s):
    trace = s.exact([program("spawn.c")])
    assert trace.edge("seq", "spawn")[1] == 10 * len(run(["seq", "1", "1000"]).out)
    assert trace.edge("spawn", "spawn", "process")[0] >= 10  # each child is born as its parent's image


@test
def children_that_get_a_connection(s):
    """They are forked while other threads are about to tell of what they accepted, which the children have too."""
    trace = s.same([program("inetd.c")])
    assert trace.rows("SELECT sum(messages), sum(bytes), min(exact) FROM edges WHERE mechanism = 'unix_stream'"
                      " GROUP BY src_pid = (SELECT min(pid) FROM processes WHERE comm = 'inetd')") == [(150, 450, 1)] * 2


@test
def vfork(s):
    trace = s.exact([program("vfork.c")])
    assert trace.edge("vfork", "vfork")[1] == 1000
    assert trace.edge("echo", "vfork")[1] == 300


@test
def a_child_with_an_empty_thread_local_block(s):
    trace = s.same([program("empty_tls.c")])
    assert trace.one("SELECT sum(count) FROM losses WHERE reason = 'spawn-unseen'") == 1


@test
def every_call_that_moves_bytes(s):
    trace = s.exact([program("calls.c")])
    assert trace.one("SELECT count(*) FROM events WHERE errno = 32") == 1  # EPIPE
    assert trace.one("SELECT count(*) FROM events WHERE errno = 11") == 1  # EAGAIN


@test
def xargs_in_parallel(s):
    trace = s.exact(["sh", "-c", "seq 1 40 | xargs -P4 -n1 sh -c 'echo $0 | cat' | sort -n"])
    assert trace.edge("cat", "sort")[1] == len(run(["seq", "1", "40"]).out)


@test
def gcc_pipe(s):
    with open(s.path("x.c"), "w", encoding="ascii") as source:
        source.write("#include <stdio.h>\nint main(void) { return puts(\"x\") < 0; }\n")
    trace = s.exact(["gcc", "-pipe", "-O1", "-o", "x", "x.c"])
    messages, moved = trace.edge("cc1", "as")
    assert messages > 0 and moved > 100


@test
def tar_and_gzip(s):
    s.exact(["sh", "-c", "tar -C /usr/share/common-licenses -chf - . | gzip -9n | gzip -dc | tar -tf - | sort"])


@test
def perl_pipes(s):
    trace = s.exact(["perl", "-e", """
$| = 1; pipe(R, W); my $pid = fork();
if (!$pid) { close R; print W "line $_\\n" for 1..1000; exit 0 }
close W; my $n = 0; $n += length while <R>; waitpid $pid, 0;
open(P, "-|", "ls", "/usr"); print while <P>; close P; print "$n\\n";
"""])
    assert trace.edge("ls", "perl")[1] == len(run(["ls", "/usr"]).out)
    assert trace.edge("perl", "perl")[1] == sum(len(f"line {i}\n") for i in range(1, 1001))


@test
def make_with_a_job_server(s):
    with open(s.path("Makefile"), "w", encoding="ascii") as makefile:
        makefile.write("all: a b c d e f\n%:\n\t@sleep 0.01; echo $@ | cat >/dev/null\n")
    s.exact(["make", "-s", "-j3"])


@test
def coreutils_that_splice(s):
    s.exact(["sh", "-c", "head -c 300000 /dev/zero | tee copy | cat | tail -c 100000 | cksum; rm copy"])


@test
def a_stop_is_no_end(s):
    """Also where the parent waits without asking for a status."""
    result, trace = s.record([program("stopped.c")])
    assert result.status == 0, result
    trace.check_sound()
    exited, killed = map(int, result.out.split())
    assert trace.one("SELECT count(*) FROM events WHERE call = 'wait4'") == 2, "a stop was taken for an end"
    assert trace.rows("SELECT pid, exit_status FROM processes WHERE pid IN (?, ?) ORDER BY start_ns", exited, killed) \
        == [(exited, 0), (killed, None)]
    assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")


@test(users=("nobody",))
def five_thousand_short_processes(s):
    trace = s.same(["sh", "-c", "i=0; while [ $i -lt 5000 ]; do /bin/true; i=$((i+1)); done"], timeout=200)
    ran = trace.rows("SELECT count(*), count(DISTINCT pid), sum(exit_status) FROM processes WHERE comm = 'true'")
    assert ran == [(5000, 5000, 0)], ran
    assert trace.edge("true", "sh", "process") == (5000, 0)
    assert trace.one("SELECT sum(messages) FROM edges WHERE src_comm = 'sh' AND mechanism = 'process'") >= 5000
    assert trace.lost("spawn-unseen") == {}, trace.lost("spawn-unseen")


@test(users=("nobody",))
def five_hundred_pipelines(s):
    trace = s.same(["sh", "-c", "i=0; while [ $i -lt 500 ]; do echo $i | cat; i=$((i+1)); done"], timeout=200)
    assert trace.edge("sh", "cat") == (500, len("".join(f"{i}\n" for i in range(500))))
    assert trace.one("SELECT count(*) FROM channels WHERE mechanism = 'pipe' AND bytes_sent > 0"
                     " AND bytes_sent = bytes_received") >= 500


main()
