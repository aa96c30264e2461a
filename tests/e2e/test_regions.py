#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Shared memory (sysv_shm, posix_shm, memfd, mmap): the programs say who mapped what and who could write while another
had it mapped, and so must their traces."""
import collections

from harness import main, needs, program, shorten, test

NAMES = ("after", "readonly", "protected", "none", "grown", "replaced", "inherit", "late", "exec", "killed", "sysv",
         "again", "errors", "kinds", "many", "threads", "handlers", "sandboxed")
KINDS = "('sysv_shm', 'posix_shm', 'memfd', 'mmap')"


def of(lines, word):
    return [line[1:] for line in lines if line[0] == word]


def compare(name, source, trace, out):
    lines = [line.split() for line in out.decode().splitlines()]
    edges = collections.Counter((int(src), int(dst)) for src, dst in of(lines, "edge"))
    found = trace.rows(f"SELECT src_pid, dst_pid, messages, bytes, latency_p50_ns, exact FROM edges "
                       f"WHERE mechanism IN {KINDS}")
    assert {row[2:] for row in found} <= {(0, None, None, 1)}, (name, found)
    assert collections.Counter(row[:2] for row in found) == edges, (name, edges, found)
    told = collections.Counter((int(pid), int(size), int(start), how) for pid, size, start, how in of(lines, "mapping"))
    mappings = collections.Counter(trace.rows(
        "SELECT p.pid, m.bytes, m.offset, m.protection FROM mappings m JOIN processes p ON p.id = m.process_id"))
    extra = mappings - told
    if name == "grown":  # and as it was before it grew
        extra.subtract(key for key in list(extra) if key[1:3] == (4096, 0))
        extra = +extra
    assert not told - mappings and not extra, (name, "lacks", told - mappings, "has", extra)
    assert not trace.rows("SELECT * FROM mappings WHERE end_ns IS NULL OR end_ns < start_ns"), name
    channels = collections.Counter((line[0], " ".join(line[1:])) for line in of(lines, "channel"))
    used = trace.rows(f"SELECT key, coalesce(name, '') FROM channels WHERE mechanism IN {KINDS} AND id IN "
                      "(SELECT channel_id FROM mappings)")
    assert not collections.Counter(used) - channels, (name, used, channels)
    errors = trace.rows(f"SELECT errno FROM events WHERE mechanism IN {KINDS} AND errno > 0")
    assert sorted(row[0] for row in errors) == sorted(int(line[0]) for line in of(lines, "failed")), (name, errors)
    for by in of(lines, "by"):
        assert {by[0]} == {row[0] for row in trace.rows("SELECT synchronised_by FROM regions WHERE channel_id IN "
                                                        "(SELECT channel_id FROM edges)")}, (name, by)
    # The one that is killed may still be in the write that says that it is there.
    known = {"killed": "killed", "many": "many-maps"}.get(name, "") if source == "shim" else ""
    assert known != "many-maps" or trace.lost(known)
    losses = trace.rows("SELECT * FROM losses WHERE reason != ?", known)
    assert not losses, losses
    trace.check_sound()


def who_mapped_what(s, source):
    for name in NAMES:
        result, trace = s.record([program("regions.c"), name], source)
        assert result.status == 0, (name, shorten(result))
        compare(name, source, trace, result.out)


@test
def who_mapped_what_by_the_shim(s):
    who_mapped_what(s, "shim")


@test(users=("root",))
def who_mapped_what_by_ebpf(s):
    who_mapped_what(s, "bpf")


def pages(trace):
    """How often each process has each page of a file mapped at its end, with each protection."""
    found = collections.Counter()
    for pid, key, size, offset, protection in trace.rows("""SELECT p.pid, c.key, m.bytes, m.offset, m.protection
            FROM mappings m JOIN processes p ON p.id = m.process_id JOIN channels c ON c.id = m.channel_id
            WHERE m.end_ns = p.end_ns"""):
        what = "sysv_shm" if key.startswith("sysv_shm") else key.split(":", 1)[1]
        for at in range(offset, offset + size, 4096):
            found[str(pid), what, str(at), protection.replace("none", "")] += 1
    return found


def random_calls_agree_with_the_kernel(s, source, calls):
    """`calls`: which ones, by the number of threads."""
    for threads, which in calls.items():
        for seed in range(3):
            result, trace = s.record([program("remaps.c"), str(threads), str(100 * seed), str(which)], source)
            assert result.status == 0, shorten(result)
            told = collections.Counter(tuple((line + " ").split(" ")[:4]) for line in result.out.decode().splitlines())
            segments = {key.rsplit(":", 1)[1] for key, in trace.rows("SELECT key FROM channels WHERE mechanism = 'sysv_shm'")}
            told = sum((collections.Counter({(pid, "sysv_shm" if what.split(":")[2] in segments else what, at, how): n})
                        for (pid, what, at, how), n in told.items()), collections.Counter())
            found = pages(trace)
            assert found == told, (threads, seed, "lacks", told - found, "has", found - told)
            losses = trace.rows("SELECT * FROM losses WHERE reason != 'many-maps'")
            assert not losses, (threads, seed, losses)
            trace.check_sound()


@test(users=("nobody",))
def random_calls_by_the_shim(s):
    random_calls_agree_with_the_kernel(s, "shim", {1: 0xfff, 4: 0xfff})


@test(users=("root",))
def random_calls_by_ebpf(s):
    """While other threads change mappings the kernel does not say what a call that failed has left."""
    random_calls_agree_with_the_kernel(s, "bpf", {1: 0xfff, 4: 0xc0d})


PYTHON = """
import mmap, os, sys
from multiprocessing import Process, shared_memory

def child(name):
    memory = shared_memory.SharedMemory(name)
    assert bytes(memory.buf[:5]) == b"hello"
    memory.buf[:3] = b"bye"
    memory.close()

memory = shared_memory.SharedMemory(create=True, size=10000)
memory.buf[:5] = b"hello"
p = Process(target=child, args=(memory.name,))
p.start()
p.join()
assert p.exitcode == 0 and bytes(memory.buf[:3]) == b"bye"
print("/dev/shm/" + memory.name, os.getpid(), p.pid)
memory.close()
memory.unlink()
m = mmap.mmap(-1, 5000)
pid = os.fork()
if not pid:
    m[:2] = b"ok"
    os._exit(0)
os.waitpid(pid, 0)
assert m[:2] == b"ok"
print("anonymous", os.getpid(), pid)
"""


@test
def python_shares_memory(s):
    needs("python3")
    result, trace = s.record(["/usr/bin/python3", "-c", PYTHON])
    assert result.status == 0, shorten(result)
    for line in result.out.decode().splitlines():
        name, parent, child = line.split()
        rows = trace.rows("SELECT e.src_pid, e.dst_pid FROM edges e JOIN channels c ON c.id = e.channel_id "
                          "WHERE c.name = ?", name)
        assert sorted(rows) == sorted([(int(parent), int(child)), (int(child), int(parent))]), (name, rows)
        sizes = {row[0] for row in trace.rows("SELECT bytes FROM regions WHERE name = ?", name)}
        assert sizes == {12288 if name != "anonymous" else 8192}, (name, sizes)
    trace.check_sound()


@test
def ipcmk_and_ipcrm(s):
    ipcmk, ipcrm, ipcs = needs("ipcmk", "ipcrm", "ipcs")
    result, trace = s.record(["sh", "-c", f"id=$({ipcmk} -M 4096 | tr -dc 0-9) && {ipcs} -m -i $id >/dev/null && "
                                          f"{ipcrm} -m $id && echo $id"])
    assert result.status == 0, shorten(result)
    keys = trace.rows("SELECT key FROM channels WHERE mechanism = 'sysv_shm'")
    assert [key.rsplit(":", 1)[1] for key, in keys] == [result.out.decode().strip()], keys
    calls = trace.rows("SELECT comm, call FROM events WHERE mechanism = 'sysv_shm' ORDER BY ts_ns")
    assert calls == [("ipcmk", "shmget"), ("ipcrm", "shmctl:rmid")], calls


@test
def limits_hold(s):
    """All memory locked, little address space: the program maps what it would without us."""
    for limit in ("ulimit -v 200000", "true"):
        trace = s.same(["sh", "-c", f"{limit}; exec {program('regions_limits.c')}"])
        assert trace.one("SELECT count(*) FROM mappings"), limit


@test
def the_command_shows_them(s):
    result, trace = s.record([program("regions.c"), "readonly"])
    shown = s.run([s.ipctrace, "regions", "-i", trace.path])
    lines = shown.out.decode().splitlines()
    assert shown.status == 0 and len(lines) == 5 and lines[0].split()[:3] == ["region", "channel_id", "process"], lines
    assert all("memfd /memfd:truth" in line and "4096" in line for line in lines[1:]), lines
    summary = s.run([s.ipctrace, "summary", "-i", trace.path]).out.decode()
    row = [line for line in summary.splitlines() if "memfd" in line]
    assert len(row) == 1 and row[0].split()[-6:] == ["0", "-", "-", "-", "1", "0"], summary


main()
