# SPDX-License-Identifier: BSD-2-Clause
"""The recorder beside its command: readers of the growing file, several recorders at once, long runs."""
import os
import subprocess
import time

from harness import Trace, main, run, test


@test
def the_growing_file_is_readable(s):
    path = s.new_trace()
    child = subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--", "sh", "-c",
                             "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo $i; sleep 0.1; done | cat"],
                             cwd=s.dir, stdout=subprocess.DEVNULL)
    seen = []
    while child.poll() is None:
        time.sleep(0.2)
        if os.path.exists(path):
            done = run(s.prefix + ["sqlite3", "-readonly", path,
                                   "SELECT coalesce(sum(bytes), 0) FROM edges WHERE mechanism = 'pipe'"])
            if done.status == 0 and done.out.strip():
                seen.append(int(done.out))
            else:  # the very first moment: the schema is not there yet
                assert not seen, done
    assert child.returncode == 0
    assert seen == sorted(seen) and len(set(seen)) >= 4, seen
    trace = Trace(path)
    trace.check_sound()
    assert trace.edge("sh", "cat")[1] == 36
    assert not os.path.exists(path + "-wal")
    done = s.run(["sqlite3", path, "PRAGMA integrity_check"])
    assert done.out == b"ok\n", done


@test
def four_recorders_at_once(s):
    command = ["sh", "-c", "seq 1 50000 | cat | wc -c"]
    paths = [s.new_trace() for _ in range(4)]
    children = [subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", path, "--", *command], cwd=s.dir,
                                 stdout=subprocess.PIPE) for path in paths]
    for child, path in zip(children, paths):
        assert child.communicate(timeout=60)[0] == b"288894\n" and child.returncode == 0
        trace = Trace(path)
        trace.check_sound()
        assert trace.edge("seq", "cat")[1] == trace.edge("cat", "wc")[1] == 288894


@test
def a_recorder_inside_a_recorder(s):
    """The inner one records its command, which neither sees a difference; the outer one what is around that, and says
    whom it left to the other."""
    command = ["sh", "-c", "echo hello | cat; exec 2>&1; echo to all; exit 3"]
    plain = s.run(command)
    inner, inmost = s.new_trace(), s.new_trace()
    result, outer = s.record([s.ipctrace, "-q", "-o", inner, "--", *command])
    assert result == plain, result
    assert Trace(inner).edge("sh", "cat")[1] == 6
    Trace(inner).check_sound()
    outer.check_sound()
    assert list(outer.lost("other-recorder")) == ["sh"], outer.rows("SELECT * FROM losses")
    assert outer.edge("sh", "cat") == (0, 0)
    result, outer = s.record([s.ipctrace, "-q", "-o", inner, "--", s.ipctrace, "-q", "-o", inmost, "--", *command])
    assert result == plain, result
    assert Trace(inmost).edge("sh", "cat")[1] == 6


@test
def a_recorder_that_is_killed_inside_a_recorder(s):
    """Neither the outer one nor the command waits for it."""
    inner = s.new_trace()
    os.mkfifo(s.path("go"))
    os.chmod(s.path("go"), 0o666)
    script = f"{{ exec {s.ipctrace} -q -o {inner} -- sh -c 'echo ready; read line <go; echo $line | cat'; }} & echo $! >pid; wait"
    result, outer = s.record(["sh", "-c", f"{{ {script}; }} 2>/dev/null | "
                              "{ read line; read pid <pid; kill -9 $pid; echo gone >go; cat; }"])
    assert (result.status, result.out) == (0, b"gone\n"), result
    assert not outer.rows("SELECT * FROM losses WHERE kind = 'lost'")
    assert s.run([s.ipctrace, "recover", "-q", inner]).status == 0
    assert Trace(inner).edge("sh", "cat")[1] == 5


@test
def what_outlives_the_command(s):
    script = "(sleep 0.7; echo late | cat >late) & echo early | cat"
    _, trace = s.record(["sh", "-c", script])
    assert sum(trace.lost("outlived").values()) >= 1
    _, trace = s.record(["sh", "-c", script], recorder=["--follow"])
    assert trace.lost("outlived") == {}
    assert trace.edge("sh", "cat")[1] == 11
    time.sleep(1)


@test(users=("nobody",))
def a_million_messages_lose_nothing(s):
    trace = s.same(["sh", "-c", "dd if=/dev/zero bs=1 count=1000000 status=none | dd bs=1 status=none | wc -c"],
                   timeout=250)
    rows = trace.rows("SELECT messages, bytes, exact FROM edges WHERE mechanism = 'pipe' AND dst_comm = 'dd'"
                      " AND src_comm = 'dd'")
    assert rows == [(1000000, 1000000, 1)], rows


main()
