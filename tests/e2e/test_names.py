# SPDX-License-Identifier: BSD-2-Clause
"""Calls seen by the names of libc's functions, no code changed: with --no-patch, and by itself where a program
forbids new code. What is seen is exact; that libc's own calls are not is told of each process. (The reference
programs take some 15 s.)"""
import functools
import os
import re
import subprocess

from harness import ROOT, TESTS, Skip, forbid_shm, main, program, test, workshop
import test_reference as reference

del TESTS[:]  # those of that module
GAP = "libc-internal"


def without_patches(s):
    s.record = functools.partial(s.record, recorder=("--no-patch",))


def exact(s, path):
    """What it prints is libc's own writing."""
    s.same([path])
    return s.exact(["sh", "-c", 'exec "$0" >/dev/null', path])


def partly_seen(trace):
    """The programs of which the gap is told."""
    return {comm for comm, in trace.rows("SELECT comm FROM processes WHERE coverage = 'partial'")} & set(trace.lost(GAP))


@test(users=("root",))
def every_name_is_exported(s):
    with open(os.path.join(ROOT, "preload/names/names.def"), encoding="ascii") as rows:
        names = set(re.findall(r"^(?:NAME|SPECIAL)\((\w+)[,)]", rows.read(), re.M))
    library = os.path.join(workshop(), "libipctrace-symbols.so")
    listed = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    exported = {line.split()[2].split("@")[0] for line in listed.splitlines()}
    assert len(names) > 150 and names <= exported, names - exported


@test
def programs_that_are_patched_have_none_of_the_names(s):
    result, _ = s.record(["cat", "/proc/self/maps"])
    assert b"libipctrace-symbols" not in result.out, result.out


@test
def no_code_is_changed(s):
    without_patches(s)
    result, trace = s.record(["cat", "/proc/self/maps"])
    code = re.findall(r"^\S+ ..x. .* (/\S+)", result.out.decode(), re.M)
    assert not [path for path in code if "/dev/shm" in path] and len([path for path in code if "libc.so" in path]) == 1, code
    assert partly_seen(trace) == {"cat"}, trace.rows("SELECT * FROM processes")


@test
def each_name_of_a_call(s):
    without_patches(s)
    trace = exact(s, program("names.c"))
    assert trace.totals("pipe") == (9, 103, 8, 102), trace.totals("pipe")
    assert trace.totals("eventfd")[::2] == (1, 1), trace.totals("eventfd")
    assert trace.one("SELECT count(*) FROM events WHERE call = 'handler'") == 3


@test
def every_call_that_moves_bytes(s):
    without_patches(s)
    for flags in ([], ["-O2", "-D_FORTIFY_SOURCE=2", "-D_FILE_OFFSET_BITS=64"]):
        trace = exact(s, program("calls.c", *flags))
        assert trace.one("SELECT count(*) FROM events WHERE errno = 32") == 1  # EPIPE


@test
def children_by_each_way(s):
    """fork, vfork, exec's kin and posix_spawn; whose standard output is libc's own business."""
    without_patches(s)
    trace = s.same([program("vfork.c")])
    assert trace.edge("vfork", "vfork")[1] == 1000
    trace = s.same([program("exec_ways.c"), "cat"])
    assert trace.edge("exec_ways", "cat") == (11, 11 * 6), trace.rows("SELECT * FROM edges")
    assert trace.edge("cat", "exec_ways", "process")[0] == 11, trace.rows("SELECT * FROM edges")
    assert partly_seen(trace) == {"exec_ways", "cat"}, trace.rows("SELECT * FROM losses")


@test
def threads_cancelled(s):
    """Every destructor on their stacks runs, whatever they are cancelled in."""
    without_patches(s)
    for name in ("cancel.cc", "queue_cancel.cc"):
        s.same([program(name)])
    at_any_instruction = [program("cancel_async.cc", "-Wl,-z,now")]
    plain = s.run(at_any_instruction)
    result, _ = s.record(at_any_instruction)  # records that a thread was cancelled in are torn
    assert result == plain, result


@test
def signals_at_any_time(s):
    without_patches(s)
    result, _ = s.record([program("alarm.c")])  # whose events may be more than are stored in the meantime
    assert (result.status, result.out) == s.run([program("alarm.c")])[:2], result
    s.same([program("jumped.c")])


@test
def shells_and_python(s):
    without_patches(s)
    s.same(["sh", "-c", "for i in 1 2 3; do echo $i | cat | cat; done; (exit 3); echo $?; kill -9 $$"])
    s.same(["/usr/bin/python3", "-c", """
import multiprocessing, os, subprocess, threading
q = multiprocessing.Queue(); p = multiprocessing.Process(target=q.put, args=(5,)); p.start(); print(q.get()); p.join()
print(subprocess.run(['cat'], input=b'x' * 100000, capture_output=True).stdout.count(b'x'))
r, w = os.pipe(); t = [threading.Thread(target=os.write, args=(w, b'x')) for _ in range(300)]
[x.start() for x in t]; [x.join() for x in t]; print(len(os.read(r, 1000)))
"""])


@test
def a_program_that_forbids_new_code(s):
    """And all that it starts: where the prepared libc may not be executed either, names are what is left."""
    nocode = program("nocode.c")
    if s.run([nocode, "true"]).status == 77:
        raise Skip("the kernel has no PR_SET_MDWE")
    forbid_shm(s)
    trace = s.same(["sh", "-c", f"{nocode} sh -c 'echo hello | cat'; echo after | cat"])
    assert trace.edge("sh", "cat") == (2, 12), trace.rows("SELECT * FROM edges")
    assert trace.lost(GAP) == {"sh": 3, "cat": 1} and not trace.lost("no-patch"), trace.rows("SELECT * FROM losses")


@test
def a_recorder_that_may_make_no_code(s):
    """Nor may what it records: known beforehand."""
    nocode = program("nocode.c")
    if s.run([nocode, "true"]).status == 77:
        raise Skip("the kernel has no PR_SET_MDWE")
    forbid_shm(s)
    s.prefix = s.prefix + [nocode]
    _, trace = s.record(["sh", "-c", "echo hello | cat"])
    assert trace.edge("sh", "cat") == (1, 6), trace.rows("SELECT * FROM edges")
    assert trace.lost(GAP) and not trace.lost("no-patch"), trace.rows("SELECT * FROM losses")


@test
def the_gap_is_told_in_words(s):
    result = s.run([s.ipctrace, "--no-patch", "--", "sh", "-c", "echo x | cat"])
    assert result.status == 0 and b"libc" in result.err, result


BATCH = reference.Batch("nobody", "shim", reference.dynamic, "--no-patch")
for name, source in reference.sources().items():
    if source in ("SHIM", "BOTH"):
        for shape in ("many to many", "killed"):
            reference.add(BATCH, name, shape)
        for variant in reference.variants(name):
            reference.add(BATCH, name, "one pair", "--variant", variant)
main()
