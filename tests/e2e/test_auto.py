#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--source=auto: the shim, and eBPF for the programs that the shim cannot enter. Each process is recorded by exactly
one of the two, and what passes between processes of the two is as exact as ever."""
import os
import re
import shutil
import signal
import subprocess
import time

from harness import AS_NOBODY, Skip, Trace, main, needs, program, run, shorten, test, workshop

RAW = ("-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector")


def relay():
    """A static program that copies its input to its output."""
    return program("relay.c", "-static")


def sources(trace):
    """{(program, source): number of images} of the processes that were recorded."""
    return {row[:2]: row[2] for row in trace.rows(
        "SELECT comm, source, count(*) FROM processes WHERE coverage = 'full' GROUP BY 1, 2")}


def check_lives(trace):
    """Every pid was spawned, started and ended once, and was waited for at most once."""
    wrong = trace.rows("""SELECT c.key, e.call, count(*) FROM events e JOIN channels c ON c.id = e.channel_id
        WHERE e.mechanism = 'process' AND e.verb IN ('spawn', 'exit') GROUP BY 1, 2 HAVING count(*) > 1""")
    assert not wrong, wrong
    wrong = trace.rows("""SELECT pid, count(*) FROM processes WHERE prev_id IS NULL AND coverage = 'full' GROUP BY 1
        HAVING count(*) > 1""")
    assert not wrong, wrong
    pids = {pid for pid, in trace.rows("SELECT pid FROM processes WHERE coverage = 'full'")}
    first = trace.one("SELECT pid FROM processes ORDER BY start_ns LIMIT 1")
    spawned = trace.rows("SELECT src_pid, dst_pid FROM messages WHERE mechanism = 'process' AND dst_pid != ?", first)
    born = [dst for src, dst in spawned if dst in pids and (src, dst) == trace.rows(
        "SELECT max(ppid), pid FROM processes WHERE pid = ? AND prev_id IS NULL", dst)[0]]
    assert sorted(born) == sorted(pids - {first}), (born, pids)


def check(trace, wanted):
    assert trace.one("SELECT value FROM meta WHERE key = 'source'") == "auto"
    assert sources(trace) == wanted, sources(trace)
    assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")
    trace.check_inside()
    check_lives(trace)


@test(users=("root",))
def a_pipeline_through_a_static_program(s):
    trace = s.exact(["sh", "-c", f"seq 20000 | {relay()} | wc -c"], "auto", sound=False)
    trace = s.same(["sh", "-c", f"seq 20000 | {relay()} | wc -c"], "auto")
    check(trace, {("sh", "shim"): 4, ("seq", "shim"): 1, ("relay-static", "bpf"): 1, ("wc", "shim"): 1})
    assert trace.edge("seq", "relay-static")[1] == trace.edge("relay-static", "wc")[1] == 108894


@test(users=("root",))
def the_command_itself_is_static(s):
    trace = s.same([relay(), "sh", "-c", "echo hello | cat"], "auto")
    assert {source for _, source in sources(trace)} == {"bpf"}, sources(trace)
    check(trace, {("relay-static", "bpf"): 2, ("sh", "bpf"): 3, ("cat", "bpf"): 1})
    assert trace.edge("sh", "cat") == (1, 6)


@test(users=("root",))
def what_a_static_program_starts_is_recorded_once(s):
    trace = s.same(["sh", "-c", f"{relay()} sh -c 'echo hello | cat' | cat"], "auto")
    check(trace, {("sh", "shim"): 3, ("cat", "shim"): 1, ("relay-static", "bpf"): 2, ("sh", "bpf"): 3, ("cat", "bpf"): 1})
    assert trace.rows("""SELECT p.source, sum(bytes) FROM edges e JOIN processes p ON p.id = e.src_id
                      WHERE mechanism = 'pipe' GROUP BY 1""") == [("bpf", 12)]


@test(users=("root",))
def many_of_them(s):
    """Spawned by vfork too; after the first they wait for next to nothing."""
    script = f"import subprocess\nfor i in range(100): assert subprocess.run(['{relay()}'], input=b'x' * i, stdout=-1).stdout == b'x' * i"
    started = time.monotonic()
    trace = s.same(["/usr/bin/python3", "-c", script], "auto")
    took = time.monotonic() - started
    counts = sources(trace)
    assert counts["relay-static", "bpf"] == 100, counts
    check_lives(trace)
    assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")
    assert trace.one("SELECT sum(bytes) FROM edges WHERE mechanism = 'pipe' AND dst_comm = 'relay-static'") == 4950
    assert trace.one("SELECT min(exact) FROM edges WHERE mechanism = 'pipe'") == 1
    assert took < 60, took


@test(users=("root",))
def a_program_without_libc(s):
    raw = program("raw.c", *RAW)
    for source in ("auto", "bpf"):
        trace = s.same(["sh", "-c", f"echo hello | {raw} /bin/cat | cat"], source)
        if source == "auto":
            name = os.path.basename(raw)[:15]
            check(trace, {("sh", "shim"): 4, ("cat", "shim"): 1, (name, "bpf"): 2, ("cat", "bpf"): 1})
        trace.check_inside()
        found = trace.rows("""SELECT c.mechanism, count(*), sum(e.messages), sum(e.bytes) FROM edges e JOIN channels c
            ON c.id = e.channel_id WHERE src_comm LIKE 'raw%' AND c.mechanism != 'process' GROUP BY 1""")
        assert found == [("pipe", 2, 100, 6400), ("unix_stream", 1, 50, 3200)], found
        assert trace.one("SELECT count(*) FROM threads t JOIN processes p ON p.id = t.process_id WHERE comm LIKE 'raw%'") == 3


@test(users=("root",))
def what_is_executed_in_a_sandbox(s):
    """The shim ends there, and the program that follows is recorded by eBPF."""
    confined = program("confined.c")
    trace = s.same(["sh", "-c", f"echo hello | {confined} sh -c 'cat; exit 3' | cat"], "auto")
    assert trace.lost("sandboxed") == {"confined": 1}, trace.rows("SELECT * FROM losses")
    assert sources(trace) == {("sh", "shim"): 4, ("sh", "bpf"): 2, ("cat", "bpf"): 1, ("cat", "shim"): 1}, sources(trace)
    check_lives(trace)
    assert trace.rows("SELECT p.source, p.comm, bytes FROM edges e JOIN processes p ON p.id = dst_id "
                      "WHERE e.mechanism = 'pipe' ORDER BY 1") == [("bpf", "cat", 6), ("shim", "cat", 6)]


@test(users=("root",))
def a_thread_that_is_not_the_first_executes_one(s):
    script = f"import os, threading, time\nthreading.Thread(target=os.execv, args=('{relay()}', ['relay'])).start()\ntime.sleep(9)"
    trace = s.same(["sh", "-c", f"echo hello | /usr/bin/python3 -c \"{script}\" | cat"], "auto")
    assert sources(trace)["relay-static", "bpf"] == 1, sources(trace)
    assert trace.edge("sh", "relay-static") == trace.edge("relay-static", "cat") == (1, 6)
    check_lives(trace)


@test(users=("root",))
def a_fifo_opened_before_the_exec(s):
    """Each source has a number of its own for it."""
    os.mkfifo(s.path("fifo"))
    trace = s.same(["sh", "-c", f"seq 1000 > fifo & {relay()} < fifo | wc -l; wait"], "auto")
    assert trace.names("fifo") == {s.path("fifo")}
    assert trace.one("SELECT count(*) FROM channels WHERE mechanism = 'fifo'") == 1
    assert trace.edge("seq", "relay-static", "fifo")[1] == 3893
    trace.check_inside()


@test(users=("root",))
def sockets_between_the_two(s):
    """socat here, busybox, which is static, there."""
    busybox, = needs("busybox")
    if b"statically" not in run(["file", "-L", busybox]).out:
        raise Skip("busybox is not static here")
    needs("socat")
    port = 7793
    trace = s.record(["sh", "-c", f"""socat -u tcp-listen:{port},reuseaddr - | wc -c & sleep 0.3
        seq 5000 | {busybox} nc 127.0.0.1 {port}; wait"""], "auto")[1]
    trace.check_inside()
    src, dst, moved = trace.rows("SELECT s.source, d.source, sum(bytes) FROM edges e JOIN processes s ON s.id = src_id "
                                 "JOIN processes d ON d.id = dst_id WHERE mechanism = 'tcp' AND bytes GROUP BY 1, 2")[0]
    assert (src, dst, moved) == ("bpf", "shim", 23893), (src, dst, moved)


@test(users=("root",))
def a_set_uid_program(s):
    """The shim does not come with it into what it becomes."""
    owned = s.path("becomes-root")
    shutil.copy("/bin/cat", owned)
    os.chmod(owned, 0o4755)
    trace = s.record([*AS_NOBODY, "sh", "-c", f"echo hello | {owned} | cat"], "auto")[1]
    assert sources(trace)["becomes-root", "bpf"] == 1, sources(trace)
    assert trace.edge("sh", "becomes-root") == trace.edge("becomes-root", "cat") == (1, 6)
    assert trace.rows("SELECT uid FROM processes WHERE comm = 'becomes-root'") == [(0,)]
    check_lives(trace)


@test(users=("root",))
def a_program_of_another_architecture(s):
    """Its calls are not seen by eBPF either, but its life is."""
    made = os.path.join(workshop(), "other_arch")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs/other_arch.S")
    if subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-o", made, source], stderr=subprocess.DEVNULL,
                      check=False).returncode or run([made]).status != 3:
        raise Skip("no programs of 32 bits here")
    result, trace = s.record(["sh", "-c", f"{made}; echo $?"], "auto")
    assert result.out == b"3\n", result
    assert trace.lost("other-arch") == {"other_arch": 1}, trace.rows("SELECT * FROM losses")
    assert trace.rows("SELECT source, exit_status FROM processes WHERE comm = 'other_arch'") == [("bpf", 3 << 8)]


@test(users=("root",))
def an_exec_that_fails_after_it_was_announced(s):
    """The shell tries a static program that it may not execute, and goes on: by the shim, and by it alone."""
    busy = s.path("busy")
    shutil.copy(relay(), busy)
    trace = s.same(["bash", "-c", f"exec 9>>{busy}; shopt -s execfail; (exec {busy}; echo $? | cat; exec cat /dev/null)"], "auto")
    assert {source for _, source in sources(trace)} == {"shim"}, sources(trace)
    check_lives(trace)
    assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")


@test(users=("root",))
def in_another_pid_namespace(s):
    """The shim knows its process by another number than the recorder does."""
    needs("unshare")
    trace = s.record(["unshare", "-pf", "--mount-proc", "sh", "-c", f"echo hello | {relay()} | cat"], "auto")[1]
    assert sources(trace)["relay-static", "bpf"] == 1, sources(trace)
    assert trace.edge("sh", "relay-static") == trace.edge("relay-static", "cat") == (1, 6), trace.rows("SELECT * FROM edges")
    result = s.run(["unshare", "-pf", "--mount-proc", s.ipctrace, "-q", "-o", s.path("inside.db"), "--", "sh", "-c",
                    f"echo hello | {relay()} | cat"])
    assert result.out == b"hello\n", result
    trace = Trace(s.path("inside.db"))
    check(trace, {("sh", "shim"): 4, ("relay-static", "bpf"): 1, ("cat", "shim"): 1})
    assert trace.edge("sh", "relay-static") == trace.edge("relay-static", "cat") == (1, 6), trace.rows("SELECT * FROM edges")


@test(users=("root",))
def a_recorder_that_is_killed_keeps_nobody_waiting(s):
    ready = s.path("ready")
    recorder = subprocess.Popen([s.ipctrace, "-q", "-o", s.new_trace(), "--", "sh", "-c",
                                 f"touch {ready}; while [ -e {ready} ]; do sleep 0.05; done; date +%s%N > before;"
                                 f" {relay()} < /dev/null; date +%s%N > after"], cwd=s.dir)
    while not os.path.exists(ready):
        time.sleep(0.05)
    recorder.kill()
    recorder.wait()
    os.unlink(ready)
    for _ in range(200):
        time.sleep(0.05)
        if os.path.exists(s.path("after")) and os.path.getsize(s.path("after")):
            break
    times = [int(open(s.path(name), encoding="ascii").read()) for name in ("before", "after")]
    assert times[1] - times[0] < 500e6, times


@test(users=("root",))
def a_recorder_that_is_stopped_keeps_one_waiting_for_a_bounded_time(s):
    ready = s.path("ready")
    recorder = subprocess.Popen([s.ipctrace, "-q", "-o", s.new_trace(), "--", "sh", "-c",
                                 f"touch {ready}; while [ -e {ready} ]; do sleep 0.05; done; date +%s > before;"
                                 f" for i in 1 2 3; do {relay()} < /dev/null; done; date +%s > after"], cwd=s.dir)
    while not os.path.exists(ready):
        time.sleep(0.05)
    recorder.send_signal(signal.SIGSTOP)
    os.unlink(ready)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (os.path.exists(s.path("after")) and os.path.getsize(s.path("after"))):
        time.sleep(0.1)
    recorder.send_signal(signal.SIGCONT)
    recorder.wait()
    times = [int(open(s.path(name), encoding="ascii").read()) for name in ("before", "after")]
    assert 9 <= times[1] - times[0] <= 14, times


@test(users=("nobody",))
def without_privilege_it_is_the_shim(s):
    trace = s.same(["sh", "-c", f"echo hello | {relay()} | cat"], "auto")
    assert {source for _, source in sources(trace)} == {"shim"}
    assert trace.lost("static") == {"relay-static": 1}, trace.rows("SELECT * FROM losses")
    result = s.run([s.ipctrace, "-o", s.new_trace(), "--", relay()])
    assert re.search(rb"relay-static \(pid \d+\): a static program, .*CAP_BPF", result.err), shorten(result)


@test(users=("root",))
def preload_is_another_word_for_the_shim(s):
    trace = s.record(["sh", "-c", f"echo hello | {relay()} | cat"], "preload")[1]
    assert trace.one("SELECT value FROM meta WHERE key = 'source'") == "shim"
    assert trace.lost("static") == {"relay-static": 1}


if __name__ == "__main__":
    main()
