# SPDX-License-Identifier: BSD-2-Clause
"""What programs do to themselves and to each other, and the places that a source cannot enter."""
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time

from harness import IS_ROOT, Skip, Trace, main, program, test, workshop


def check_killed(s, source):
    result, trace = s.record([program("killed.c")], source)
    assert result.status == 0, result
    pid, total = (int(word) for word in result.out.split())
    assert trace.rows("SELECT count(*), sum(bytes) FROM events WHERE pid = ? AND verb = 'send' AND bytes = 100", pid) \
        == [(10, 1000)]
    assert trace.rows("SELECT exit_status FROM processes WHERE pid = ? ORDER BY id DESC LIMIT 1", pid) == [(9,)]
    assert trace.one("SELECT coalesce(sum(bytes), 0) FROM edges WHERE src_pid = ? AND mechanism = 'pipe'", pid) == total
    assert trace.one("SELECT sum(bytes_received) FROM channels WHERE mechanism = 'pipe' AND bytes_received > 0") == total
    last = trace.rows("SELECT call, bytes, flags & 32 FROM events WHERE pid = ? AND verb = 'send' AND bytes != 100", pid)
    if source == "bpf":  # it sees what the kernel answers to the dead
        assert last == [("write", total - 1000, 0)], last
        return
    assert len(last) == 1 and last[0][0] == "write" and last[0][2], last
    assert sum(trace.lost("killed").values()) == 1, trace.rows("SELECT * FROM losses")


@test
def a_writer_killed_while_blocked(s):
    check_killed(s, "shim")


@test(users=("root",))
def a_writer_killed_while_blocked_bpf(s):
    check_killed(s, "bpf")


@test
def pointers_that_lead_nowhere(s):
    s.same([program("badpointers.c")])


@test
def memory_that_ends_at_a_page(s):
    """And what fails is no success, in a process of several threads too: there libc keeps results in two places."""
    trace = s.same([program("edges.c")])
    errors = trace.rows("SELECT call, errno, count(*) FROM events WHERE errno"
                        " AND call IN ('preadv2', 'recvmsg', 'sendmsg') GROUP BY 1, 2")
    assert errors == [("preadv2", 11, 2), ("recvmsg", 11, 2), ("recvmsg", 14, 4), ("sendmsg", 14, 8),
                      ("sendmsg", 90, 2)], errors


@test
def an_empty_list_of_preloads(s):
    s.same(["env", "-i", "LD_PRELOAD=", "A=1", program("environ.c")])


@test
def a_program_executed_by_descriptor(s):
    """A program that cannot be entered sees nothing of us in its environment."""
    name = program("environ.c", "-static")
    s.same(["/usr/bin/python3", "-c", f"import os; os.execve(os.open({name!r}, os.O_RDONLY), ['x'], {{'A': '1'}})"])


@test(users=("root",))
def a_root_of_its_own(s):
    with tempfile.TemporaryDirectory() as root:
        for file in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/env"):
            os.makedirs(root + os.path.dirname(file), exist_ok=True)
            shutil.copy(file, root + file)
        s.same(["/usr/sbin/chroot", root, "/usr/bin/env"])


@test
def a_seccomp_filter(s):
    """One that would kill us ends the recording of the program, any other does not."""
    for how in ("prctl", "seccomp"):
        trace = s.same([program("sandbox.c"), how, "kill"])
        assert sum(trace.lost("sandboxed").values()) == 1, trace.rows("SELECT * FROM losses")
        trace = s.same([program("sandbox.c"), how, "lock"])
        assert sum(trace.lost("sandboxed").values()) == 1, trace.rows("SELECT * FROM losses")
        trace = s.same([program("sandbox.c"), how, "refuse"])
        assert trace.edge("sandbox", "sandbox") == (3000, 3000)
        assert not trace.lost("sandboxed")


@test(users=("root",))
def a_user_who_cannot_reach_us(s):
    with tempfile.TemporaryDirectory() as private:  # mode 0700
        for name in ("ipctrace", "libipctrace.so"):
            shutil.copy(os.path.join(workshop(), name), private)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env"]
        result = s.run([os.path.join(private, "ipctrace"), "-q", "-o", os.path.join(private, "t.db"), "--", *command])
        assert (result.out, result.err) == (s.run(command).out, b""), result


@test
def locked_memory(s):
    trace = s.same([program("locked.c")])
    assert trace.edge("locked", "locked") == (40, 400)


@test
def a_small_address_space(s):
    for kilobytes in (8192, 16384, 65536):
        trace = s.same(["sh", "-c", f"ulimit -v {kilobytes}; seq 1 10000 | cat | wc -c"])
        if not trace.rows("SELECT 1 FROM losses WHERE kind = 'not_covered'"):
            assert trace.edge("seq", "cat")[1] == 48894


@test
def few_descriptors(s):
    s.exact(["sh", "-c", "ulimit -n 8; echo hello | cat; echo x | (cat | cat)"], same=False)
    s.same(["sh", "-c", "ulimit -n 4; echo hello | cat; true 5>/dev/null; echo x | (cat | cat)"])


HIGH = """
import os, resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (7000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
server, low = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
server.bind(("127.0.0.1", 0))
client = socket.socket(fileno=os.dup2(low.fileno(), 6000))
client.sendto(b"abc", server.getsockname())
server.sendto(server.recv(9)[1:], client.getsockname())
a, b = socket.socketpair()
os.dup2(a.fileno(), 6001)
os.write(6001, b"four")
print(client.recv(9), b.recv(9))
"""


@test
def descriptors_of_high_numbers(s):
    """They are not remembered: the kernel is asked each time."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 7000:
        raise Skip("few descriptors are allowed")
    trace = s.same(["/usr/bin/python3", "-c", HIGH])
    assert sorted(trace.rows("SELECT mechanism, messages, bytes FROM edges WHERE mechanism != 'process'")) == \
        [("udp", 1, 2), ("udp", 1, 3), ("unix_stream", 1, 4)]


@test
def every_descriptor_closed(s):
    trace = s.exact([program("closeall.c")])
    assert trace.edge("closeall", "closeall") == (400, 2000)


@test
def handlers_that_write(s):
    # With room for all: what a handler does while its thread waits for room is counted, and no event.
    result, trace = s.record([program("alarm.c")], recorder=["--buffer=256M"])
    trace.check_sound()
    assert result.status == 0 and result.out == b"busy 300000, jumps 20, reader 0\n", result
    handled = int(result.err)
    sent = trace.rows("SELECT sends, bytes_sent FROM endpoints WHERE bytes_sent > 100")
    assert sorted(sent) == sorted([(handled, 4 * handled), (300000, 300000)]), (sent, handled)


@test
def handlers_that_jump(s):
    """A call that was jumped out of is not taken for the next one; one that was interrupted is not lost."""
    trace = s.same([program("jumped.c")])
    assert trace.rows("SELECT bytes, flags & 32 FROM events WHERE mechanism = 'pipe' AND verb = 'recv' ORDER BY ts_ns") \
        == [(0, 32), (0, 32), (10, 0)], trace.rows("SELECT * FROM events")


@test
def a_program_that_watches_its_memory(s):
    """Its sanitizer insists on being the first library."""
    for sanitizer in ("address", "thread"):
        trace = s.same([program("threads.c", "-fsanitize=" + sanitizer)])
        assert trace.rows("SELECT messages, bytes FROM edges WHERE mechanism = 'pipe'") == [(5000, 100000)]


@test
def nothing_of_ours_takes_a_number(s):
    """Neither in a handler nor in a child that is forked while another thread is in the middle of a question."""
    plain = s.run([program("passing.c")])
    result, trace = s.record([program("passing.c")])  # a record that a handler jumps out of is lost, and counted
    losses = trace.rows("SELECT reason FROM losses WHERE kind = 'lost'")
    assert result == plain and set(losses) <= {("torn",)}, (plain, result, losses)


@test
def threads_that_come_and_go(s):
    trace = s.exact([program("threads.c")])
    assert trace.edge("threads", "threads") == (5000, 100000)
    assert trace.one("SELECT count(*) FROM (SELECT DISTINCT src_tid FROM messages WHERE mechanism = 'pipe')") > 1
    assert trace.one("SELECT count(*) FROM threads t JOIN processes p ON p.id = t.process_id"
                     " WHERE p.comm = 'threads'") >= 1002


@test
def cancelled_threads_run_their_destructors(s):
    for _ in range(3):
        s.same([program("cancel.cc")])


@test
def threads_cancelled_in_calls_on_queues(s):
    trace = s.same([program("queue_cancel.cc")])
    for mechanism, size in (("sysv_msg", 2), ("posix_mq", 3)):  # its signal handler's
        assert trace.rows("SELECT verb, count(*) FROM events WHERE mechanism = ? AND bytes = ? GROUP BY verb ORDER BY verb",
                          mechanism, size) == [("recv", 2), ("send", 2)]
        assert trace.one("SELECT count(*) FROM events WHERE mechanism = ? AND errno = 4", mechanism) == 1


@test
def an_eventfd_that_cannot_be_asked_for(s):
    """The program gets the last descriptor that it may have: there is none to ask the kernel with."""
    trace = s.same(["/usr/bin/python3", "-c", "import os, resource; last = os.eventfd(0) + 1; "
                    "resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, last + 1)); "
                    "fd = os.eventfd(5); print(fd == last, os.eventfd_read(fd))"])
    assert sum(trace.lost("no-identity").values()) == 1, trace.rows("SELECT * FROM losses")
    assert trace.one("SELECT count(*) FROM events WHERE call = 'eventfd2' AND mechanism = 'eventfd'") == 1


@test
def a_static_program_is_counted_by_name(s):
    hello = program("hello.c", "-static")
    trace = s.same(["sh", "-c", f"{hello} | cat"])
    name = os.path.basename(hello)
    assert any(comm and name.startswith(os.path.basename(comm)[:15]) for comm in trace.lost("static")), trace.lost("static")
    assert trace.one("SELECT sum(bytes_received) FROM channels WHERE mechanism = 'pipe'") >= 6


@test
def a_libc_that_the_recorder_does_not_know(s):
    libc = "/lib/x86_64-linux-gnu/libc.so.6"
    notes = subprocess.run(["readelf", "-n", libc], capture_output=True, text=True, check=True).stdout
    build_id = bytes.fromhex(re.search(r"Build ID: ([0-9a-f]+)", notes).group(1))
    with open(libc, "rb") as f:
        image = f.read()
    assert image.count(build_id) == 1
    with open(s.path("libc.so.6"), "wb") as f:
        f.write(image.replace(build_id, bytes(255 - byte for byte in build_id)))
    trace = s.same(["env", f"LD_LIBRARY_PATH={s.dir}", "sh", "-c", "echo hello | cat"])
    assert trace.edge("sh", "cat")[1] == 6


@test(users=("nobody",))
def a_set_uid_program_is_counted_by_name(s):
    if not IS_ROOT:
        raise Skip("only root can make one")
    hello = os.path.join(workshop(), "setuid-hello")
    shutil.copy(program("hello.c"), hello)
    os.chmod(hello, 0o4755)
    trace = s.same(["sh", "-c", f"{hello} | cat; echo after | cat"])
    assert [os.path.basename(comm) for comm in trace.lost("setuid")] == ["setuid-hello"], trace.lost("setuid")
    assert trace.edge("sh", "cat")[1] == 6


@test
def a_program_that_changes_its_user(s):
    if s.user != "root":
        raise Skip("only root can")
    trace = s.exact(["sh", "-c", "setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'ls /usr | cat' | cat"])
    assert trace.edge("ls", "cat")[1] > 0


@test
def chroot(s):
    if s.user != "root":
        raise Skip("only root can")
    trace = s.exact(["/usr/bin/perl", "-e", "pipe(R, W); chroot('/var/empty') || chroot('/tmp'); chdir('/');"
                     "if (!fork) { syswrite W, 'x' x 100; exit } close W; sysread R, $x, 200; print length $x; wait"])
    assert trace.edge("perl", "perl")[1] == 100


@test
def an_unwritable_output(s):
    done = s.run([s.ipctrace, "-o", "/proc/nowhere/trace.db", "--", "echo", "never"])
    assert done.status == 125 and done.out == b"" and len(done.err.splitlines()) == 1, done


@test(users=("root",))
def a_full_disk(s):
    small = s.path("small")
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=777", "none", small], check=False).returncode:
        raise Skip("cannot mount")
    try:
        path = os.path.join(small, "trace.db")
        command = ["sh", "-c", "dd if=/dev/zero bs=1 count=300000 status=none | wc -c; exit 7"]
        done = s.run([s.ipctrace, "-q", "-o", path, "--", *command])
        assert (done.status, done.out) == (7, b"300000\n"), done
        assert len(done.err.splitlines()) == 1 and b"No space left" in done.err and b"incomplete" in done.err, done
        assert not os.path.exists(path + "-recover"), os.listdir(small)
        assert s.run([s.ipctrace, "edges", "-i", path]).status == 0  # where it is, too
        kept = Trace(path)
        assert sum(kept.lost("unwritten").values()) > 1000, kept.rows("SELECT * FROM losses")
        assert kept.one("SELECT count(*) FROM events WHERE mechanism = 'pipe'") > 1000
        assert kept.one("PRAGMA integrity_check") == "ok"
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@test
def core_pattern_and_backtrace_stay(s):
    """A crash is the program's own: same signal, same message of the shell."""
    s.same(["bash", "-c", "(ulimit -c 0; exec perl -e 'kill SEGV, $$') 2>&1 | cat; echo ${PIPESTATUS[0]}"])


@test
def nothing_is_left_behind(s):
    def leftovers():
        return {name for name in os.listdir("/dev/shm") if "ipctrace" in name}
    before = leftovers()
    s.same(["sh", "-c", "echo x | cat; kill -9 $$"])
    for _ in range(150):  # other recorders may run on this machine, but not for ever
        if leftovers() <= before:
            return
        time.sleep(0.1)
    raise AssertionError(f"left in /dev/shm: {leftovers() - before}")


@test
def maps_and_descriptors_of_the_target(s):
    """The target holds no descriptor of ours, and nothing of ours is readable by strangers."""
    result, _ = s.record(["sh", "-c", "ls /proc/self/fd"])
    assert result.out.split() == s.run(["sh", "-c", "ls /proc/self/fd"]).out.split()
    result, _ = s.record(["cat", "/proc/self/maps"])
    arenas = set(re.findall(rb"(/\S*ipctrace\S*/\S+)", result.out)) - {os.fsencode(os.path.join(workshop(), "libipctrace.so"))}
    assert all(not os.path.exists(arena) for arena in arenas), arenas


main()
