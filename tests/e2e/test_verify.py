#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--source=both --verify: both sources record one run, and what they do not have in common is shown."""
import json
import os
import re
import shlex

from harness import PROGRAMS, Trace, main, program, test


def verify(s, command, *options):
    """Runs the command by both sources. Returns its Result and both Traces."""
    path = s.new_trace()
    result = s.run([s.ipctrace, "-q", "--source=both", "--verify", "-o", path, *options, "--", "sh", "-c", command])
    return result, Trace(path), Trace(path.replace(".db", ".bpf.db"))


def agree_on(s, command):
    """That they agree. Returns what verify() does."""
    result, shim, bpf = verify(s, command)
    line = result.err.decode().splitlines()[-1]
    assert result.status == 0, result
    assert re.fullmatch(r"both sources agree: \d+ endpoints?, .* sent, .* received", line), result
    for trace, name in ((shim, "shim"), (bpf, "bpf")):
        assert trace.one("SELECT value FROM meta WHERE key = 'source'") == name
        assert trace.one("SELECT value FROM meta WHERE key = 'exit_status'") == "0"
        trace.check_sound()
    return result, shim, bpf


def agree(s, command):
    """Returns the Result, and how many ends of channels they agree on."""
    result, _, _ = agree_on(s, command)
    return result, int(re.search(r"both sources agree: (\d+) ", result.err.decode())[1])


@test(users=("root",))
def a_pipeline_is_the_same_by_both(s):
    result, ends = agree(s, "seq 100000 | sort | wc")
    assert result.out == s.run(["sh", "-c", "seq 100000 | sort | wc"]).out
    assert ends == 6, result  # wc's output is a pipe too, and the shell has a handler for its children's ends


@test(users=("root",))
def many_short_programs_are_the_same_by_both(s):
    agree(s, "for i in $(seq 100); do echo $i | cat | wc -c; done")


@test(users=("root",))
def sockets_are_the_same_by_both(s):
    script = os.path.join(PROGRAMS, "servers.py")
    for how, address in (("threads", s.path("socket")), ("fork", "@verify"), ("asyncio", "127.0.0.1:7791")):
        agree(s, f"/usr/bin/python3 {shlex.quote(script)} {how} {shlex.quote(address)} 5 50")


@test(users=("root",))
def what_passes_on_descriptors_is_the_same_by_both(s):
    for how in ("handle", "rights"):
        agree(s, f"/usr/bin/python3 {shlex.quote(os.path.join(PROGRAMS, 'multi.py'))} {how}")


@test(users=("root",))
def memory_is_the_same_by_both(s):
    """What was mapped, and the shim's own arena is not told as a difference."""
    regions = shlex.quote(program("regions.c"))
    for name in ("readonly", "protected", "grown", "replaced", "inherit", "late", "exec", "sysv", "errors", "kinds"):
        result, shim, bpf = agree_on(s, f"{regions} {name}")
        maps = [sorted(trace.rows("""SELECT p.pid, key, bytes, offset, protection FROM mappings m
                JOIN processes p ON p.id = process_id JOIN channels c ON c.id = channel_id
                WHERE c.name IS NULL OR c.name NOT GLOB '/dev/shm/ipctrace-*'""")) for trace in (shim, bpf)]
        assert maps[0] == maps[1] and maps[0], (name, maps, result)


@test(users=("root",))
def futexes_are_the_same_by_both(s):
    futexes = shlex.quote(program("futexes.c"))
    for name in ("pingpong", "several", "requeue", "wake_op", "failing", "threads", "private", "memory", "newer"):
        agree(s, f"{futexes} {name}")


@test(users=("root",))
def locks_are_futexes_to_ebpf_only(s):
    """The words inside locks that the shim records as such are no difference."""
    found = 0
    for name in ("mutex", "posix_sem", "cond", "rwlock", "barrier"):
        _, shim, bpf = agree_on(s, f"{shlex.quote(s.ipctrace)} reference {name} --messages 40 --producers 2 "
                                   ">/dev/null")
        assert not shim.one("SELECT count(*) FROM channels WHERE mechanism = 'futex'"), name
        found += bpf.one("SELECT count(*) FROM channels WHERE mechanism = 'futex'")
    assert found


@test(users=("root",))
def the_status_is_the_programs(s):
    assert verify(s, "echo | cat; exit 3")[0].status == 3


@test(users=("root",))
def a_call_that_only_one_saw_is_shown_and_counts(s):
    beside = program("beside.c")
    result, _, _ = verify(s, f"{shlex.quote(beside)} | cat")
    assert result.status == 1, result
    lines = result.err.decode().splitlines()
    assert re.match(r"beside:\d+ +pipe:\[\d+\] +send +1 +8 +2 +18 +-$", lines[1]), result
    assert lines[-1].startswith("the sources differ: "), result
    result, _, _ = verify(s, f"{shlex.quote(beside)} | cat", "--json")
    rows = json.loads(result.err)
    assert (rows[0]["verb"], rows[0]["shim_bytes"], rows[0]["bpf_bytes"], rows[0]["note"]) == ("send", 8, 18, None), rows


@test(users=("root",))
def what_the_shim_cannot_enter_is_shown_and_does_not_count(s):
    outside = program("beside.c", "-static")
    result, _, _ = verify(s, f"{shlex.quote(outside)} | cat; exit 4")
    assert result.status == 4, result
    lines = result.err.decode().splitlines()
    assert re.match(r"beside\S*:\d+ +pipe:\[\d+\] +send +- +- +2 +18 +not seen by the shim$", lines[1]), result
    assert lines[-1].startswith("both sources agree but for the rows above: "), result


@test
def one_option_needs_the_other(s):
    for options in (["--source=both"], ["--verify"], ["--source=bpf", "--verify"]):
        result = s.run([s.ipctrace, *options, "--", "touch", s.path("ran")])
        assert result.status == 2, result
        assert re.match(rb"ipctrace: --(source=both|verify) needs --(source=both|verify)\n", result.err), result
    assert not os.path.exists(s.path("ran"))


@test(users=("nobody",))
def without_privilege_nothing_runs(s):
    result = s.run([s.ipctrace, "--source=both", "--verify", "--", "touch", s.path("ran")])
    assert result.status == 125 and not os.path.exists(s.path("ran")), result
    assert not [name for name in os.listdir(s.dir) if name.endswith(".db")], os.listdir(s.dir)


@test(users=("root",))
def both_older_traces_are_kept(s):
    for _ in range(2):
        s.run([s.ipctrace, "-q", "--source=both", "--verify", "-o", "t.db", "--", "true"])
    names = sorted(name for name in os.listdir(s.dir) if name.startswith("t."))
    assert names == ["t.bpf.db", "t.bpf.db.old", "t.db", "t.db.old"], names


if __name__ == "__main__":
    main()
