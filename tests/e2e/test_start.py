# SPDX-License-Identifier: BSD-2-Clause
"""How the shim gets into a process: by a libc that the recorder prepared, or by patching in place where files in
/dev/shm may not be executed."""
import contextlib
import ctypes
import os
import re
import shutil
import struct

from harness import IS_ROOT, Skip, main, needs, program, run, test

NOEXEC = ["unshare", *([] if IS_ROOT else ["-r"]), "-m", "sh", "-c",
          'mount -o remount,bind,noexec /dev/shm || exit 99; exec "$@"', "sh"]
PREPARED = r"^\S+ r-xp .* /dev/shm/ipctrace-\w+/libc-[0-9a-f]+\.so$"
OWN = r"^\S+ r-xp .*/libc\.so\.6$"


def forbid(s):
    """From here on nothing in /dev/shm is executed in this session."""
    needs("unshare", "mount")
    if run(NOEXEC + ["true"]).status:
        raise Skip("no private mounts here")
    s.prefix = NOEXEC + s.prefix


def ways(s):
    """Yields what is mapped executable, first with the prepared libc, then without."""
    yield PREPARED
    forbid(s)
    yield OWN


@contextlib.contextmanager
def probed(path, symbol):
    """A breakpoint of the kernel's (a uprobe) on a function of this library, in whoever maps it."""
    library = ctypes.CDLL(path)
    address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
    with open("/proc/self/maps", encoding="ascii") as lines:
        parts = [line.split() for line in lines if line.rstrip().endswith(path)]
    ranges = [([int(word, 16) for word in part[0].split("-")], int(part[2], 16)) for part in parts]
    offset, = [address - first + behind for (first, last), behind in ranges if first <= address < last]
    with open("/sys/bus/event_source/devices/uprobe/type", encoding="ascii") as kind:
        name = ctypes.create_string_buffer(path.encode())
        attr = struct.pack("IIQQQQQIIQQ", int(kind.read()), 72, 0, 0, 0, 0, 0, 0, 0, ctypes.addressof(name), offset)
    fd = ctypes.CDLL(None, use_errno=True).syscall(298, attr, -1, 0, -1, 8)
    if fd < 0:
        raise Skip(f"no uprobes here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(fd)


def maps(s, *before):
    result, trace = s.record([*before, "cat", "/proc/self/maps"])
    assert result.status == 0 and not result.err, result
    trace.check_sound()
    assert not trace.rows("SELECT * FROM losses"), trace.rows("SELECT * FROM losses")
    return result.out.decode()


@test
def a_libc_prepared_by_the_recorder(s):
    text = maps(s)
    assert len(re.findall(PREPARED, text, re.M)) == 2, text  # the text and the stubs
    assert not re.findall(OWN, text, re.M) and not re.findall(r"^\S+ .wx", text, re.M), text


@test
def nothing_in_dev_shm_is_executed(s):
    forbid(s)
    text = maps(s)
    assert re.findall(OWN, text, re.M) and not re.findall(r"^\S+ r-x.*/dev/shm", text, re.M), text


@test(users=("root",))
def others_may_probe_libc(s):
    """Their breakpoints are not for the copy, where nobody knew what they mean."""
    own, = re.findall(r"r-xp .* (/\S+/libc\.so\.6)$", s.run(["cat", "/proc/self/maps"]).out.decode(), re.M)
    shutil.copy(own, s.path("libc.so.6"))
    with probed(s.path("libc.so.6"), "getppid"):
        result, trace = s.record(["sh", "-c", "echo $PPID | cat"], env={**os.environ, "LD_LIBRARY_PATH": s.dir})
    assert result.status == 0 and not result.err, result
    assert trace.edge("sh", "cat")[0] == 1, trace.rows("SELECT * FROM edges")


@test
def pipelines_either_way(s):
    for _ in ways(s):
        s.exact(["sh", "-c", "ls /usr | grep bin | wc -l"])


@test
def threads_cancelled_either_way(s):
    for _ in ways(s):
        s.same([program("cancel.cc")])
        s.same([program("cancel_async.cc", "-Wl,-z,now")])
        s.same([program("queue_cancel.cc")])


@test
def the_file_is_everybodys_to_read_and_nobodys_to_write(s):
    result, _ = s.record(["sh", "-c", "ls -l /dev/shm/ipctrace-*/libc-*; echo x >>/dev/shm/ipctrace-*/libc-*"])
    assert b"-r--r--r-- 1 " in result.out, result
    if s.user != "root":
        assert result.status != 0, result


@test(users=("root",))
def another_user_maps_it_too(s):
    setpriv, = needs("setpriv")
    text = maps(s, setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
    assert re.findall(PREPARED, text, re.M), text


@test
def a_program_that_forbids_new_code(s):
    """What is prepared need not be made executable."""
    nocode = program("nocode.c")
    if s.run([nocode, "true"]).status == 77:
        raise Skip("the kernel has no PR_SET_MDWE")
    for where in ways(s):
        trace = s.same(["sh", "-c", f"{nocode} sh -c 'echo hello | cat'; echo after | cat"])
        assert trace.lost("no-patch") == ({"sh": 1} if where == OWN else {}), trace.lost("no-patch")
        assert trace.edge("sh", "cat")[1] == (6 if where == OWN else 12), trace.edge("sh", "cat")


@test
def a_debugger_stops_in_libc(s):
    """Its breakpoints are there before we are."""
    gdb, = needs("gdb")
    for _ in ways(s):
        result, _ = s.record([gdb, "-q", "-nx", "-batch", "-ex", "set breakpoint pending on", "-ex", "break write",
                              "-ex", "run", "-ex", "backtrace", "-ex", "continue", program("hello.c")])
        assert re.search(rb"^#0 .*write.*\n(#\d.*\n)*#\d+ .*exit ", result.out, re.M), result
        assert b"hello\n" in result.out and b"exited normally" in result.out, result


@test
def a_debugger_comes_later(s):
    gdb, = needs("gdb")
    for where in ways(s):
        result, _ = s.record(["sh", "-c", f"sleep 60 & while ! grep -q sleep /proc/$!/comm; do sleep 0.1; done; sleep 0.2; "
                              f"{gdb} -q -nx -batch -p $! -ex backtrace; cat /proc/$!/maps; kill $!"])
        if b"Operation not permitted" in result.err:
            raise Skip("no debugger may attach here")
        assert re.search(rb"^#0 .*nanosleep.*\n(#\d.*\n)*#\d+ .*__libc_start", result.out, re.M), result
        assert re.search(where, result.out.decode(), re.M), result

@test
def others_uprobes_are_no_part_of_the_copy(s):
    """A breakpoint that the kernel put into libc for another's uprobe would kill who has it in a copy."""
    probed = program("probed.c")
    if run([probed, "true"]).status:
        raise Skip("no uprobes for this user")
    for _ in ways(s):
        path = s.new_trace()
        result = run([probed, *s.prefix, s.ipctrace, "-q", "-o", path, "--", probed], cwd=s.dir)
        assert (result.status, result.out) == (0, b"16773184\n"), result


main()
