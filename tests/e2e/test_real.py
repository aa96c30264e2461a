#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real programs that talk in many ways at once: what the trace tells equals what strace saw in the very same run, call by
call and process by process, and what a preloaded library counted of semaphores, which strace cannot see."""
import collections
import glob
import os
import pwd
import re

import truth
from harness import IS_ROOT, Skip, by_source, free_port, main, needs, program, run, shorten, test

PYTHON = "/usr/bin/python3"


def record(s, source, command, recorder=()):
    """Runs the command under strace and with the library that counts, all of it under ipctrace. Everything is compared.
    Returns what the command wrote and the trace."""
    needs("strace", command[0])
    log, counted = s.path("strace.log"), s.path("sems.log")
    for path in (log, counted):
        with open(path, "w", encoding="ascii"):
            os.chmod(path, 0o666)
    library = program("count_sems.c", "-shared", "-fPIC")
    result, trace = s.record([*truth.EVERYTHING, "-o", log, "env", f"LD_PRELOAD={library}", f"COUNT_SEMS={counted}",
                              *command], source, recorder=recorder)
    assert result.status == 0, shorten(result)
    lost = trace.rows("SELECT * FROM losses WHERE kind IN ('lost', 'not_covered')")
    assert not lost, lost
    trace.check_sound()
    trace.check_truth(truth.Strace(log))
    calls = truth.Calls(log)
    with open(log, encoding="latin-1") as lines:
        pids = {int(line.split()[0]) for line in lines}
    check_calls(trace, calls, pids)
    check_signals(trace, calls, pids)
    if source == "shim":  # eBPF with --uprobes only
        check_sems(trace, counted)
    return result.out.decode(), trace


def equal(what, ours, theirs):
    ours, theirs = ({key: n for key, n in side.items() if n} for side in (ours, theirs))
    differ = [f"{key}: {theirs.get(key)}, trace {ours.get(key)}" for key in sorted(set(ours) | set(theirs))
              if ours.get(key) != theirs.get(key)]
    assert not differ, f"{what} differ:\n" + "\n".join(differ[:20])


def check_calls(trace, calls, pids):
    """Each call that has an event whatever comes of it; and what was mapped. EINTR aside: strace tells it before the
    kernel has decided to restart the call. (32: it did not return.)"""
    names = ", ".join(f"'{name}'" for name in truth.COUNTED.values())
    ours = {row[:3]: row[3] for row in trace.rows(f"""SELECT pid, call, errno, count(*) FROM events WHERE call IN ({names})
            AND comm != 'strace' AND part = 0 AND errno != 4 AND flags & 32 = 0 GROUP BY 1, 2, 3""") if row[0] in pids}
    equal("calls", ours, calls.counts)
    mapped = {row[:2]: row[2] for row in trace.rows("""SELECT e.pid, c.name, count(*) FROM events e JOIN channels c
              ON c.id = e.channel_id WHERE call = 'mmap' AND errno = 0 GROUP BY 1, 2""") if row[0] in pids}
    equal("mappings", mapped, calls.mapped)


def check_signals(trace, calls, pids):
    """Those that processes send each other. Who had sent what a signalfd gave strace does not tell: no more than was sent."""
    ours = collections.Counter({row[:2]: row[2] for row in trace.rows(
        "SELECT src_pid, dst_pid, sum(messages) FROM edges WHERE mechanism = 'signal' AND src_pid > 0 GROUP BY 1, 2")
        if row[0] in pids and row[1] in pids})
    # strace stops its own child, before there is anything to tell; eBPF sees that.
    ours -= collections.Counter({row: 1 for row in trace.rows("""SELECT src_pid, dst_pid FROM messages m JOIN events e
                                 ON e.id = m.recv_event WHERE e.call = 'default' AND src_pid = dst_pid""")})
    sends = dict(trace.rows("""SELECT p.pid, sum(sends) FROM endpoints n JOIN processes p ON p.id = n.process_id
                 JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = 'signal' AND comm != 'strace' GROUP BY 1"""))
    sent = collections.Counter()
    for (sender, _), n in calls.sent.items():
        sent[sender] += n
    # What is sent to a group is told where it was received.
    grouped = {pid: sent[pid] - sends[pid] for pid in sends if 0 < sent[pid] - sends[pid] <= calls.grouped[pid]}
    equal("signals sent", {pid: n for pid, n in sends.items() if pid in pids}, sent - collections.Counter(grouped))
    received, read = collections.Counter(), ours - calls.signals
    for (_, receiver), n in read.items():
        received[receiver] += n
    equal("signals read", received, calls.read)
    assert not calls.signals - ours, f"delivered, not in the trace: {calls.signals - ours}"
    assert not ours - calls.sent, f"received, not sent: {ours - calls.sent}"


def check_sems(trace, counted):
    """Units that each process gave and took."""
    with open(counted, encoding="ascii") as lines:
        told = collections.Counter(tuple(line.split()) for line in lines)
    ours = {}
    for pid, posts, waits in trace.rows("""SELECT p.pid, sum(sends), sum(receives) FROM endpoints n JOIN processes p
            ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = 'posix_sem' GROUP BY 1"""):
        ours[str(pid), "post"], ours[str(pid), "wait"] = posts, waits
    equal("semaphores", ours, told)


# PostgreSQL

POSTGRES = """set -e
B={bin}; D={dir}/data
$B/initdb -D $D -A trust -N -E UTF8 --no-locale >{dir}/initdb.log 2>&1
cat >>$D/postgresql.conf <<END
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{dir}'
fsync = off
shared_buffers = 16MB
max_connections = 20
shared_memory_type = {memory}
END
$B/pg_ctl -D $D -l {dir}/log -w -t 60 start >/dev/null
trap '$B/pg_ctl -D $D -m fast -w stop >/dev/null' EXIT
$B/pgbench -h {dir} -p {port} -i -q postgres >/dev/null 2>&1
for at in {dir} 127.0.0.1; do $B/pgbench -n -h $at -p {port} -c 4 -j 2 -t 50 postgres; done
$B/psql -h {dir} -p {port} -qAtX postgres -c 'SET force_parallel_mode = on' \
    -c 'SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history'
"""


def postgres(s, source, memory):
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not folders:
        raise Skip("no postgresql here")
    user = []
    if s.user == "root":  # which it refuses to be
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            owner = pwd.getpwnam("nobody")
        os.chown(s.dir, owner.pw_uid, owner.pw_gid)
        user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    elif not s.prefix and IS_ROOT:
        raise Skip("root is not anybody")
    shell = POSTGRES.format(bin=folders[-1], dir=s.dir, port=free_port(), memory=memory)
    try:
        return record(s, source, [*user, "sh", "-c", shell])
    finally:  # a test that failed may have left it
        if os.path.exists(s.path("data/postmaster.pid")):
            run([*s.prefix, *user, folders[-1] + "/pg_ctl", "-D", s.path("data"), "-m", "immediate", "-w", "stop"])


@by_source
def postgresql_under_pgbench(s, source):
    memory = "mmap" if s.user == "root" else "sysv"
    out, trace = postgres(s, source, memory)
    assert re.findall(r"actually processed: (\S+)", out) == ["200/200"] * 2 and "400|t" in out, out
    if source == "bpf":  # what follows is of semaphores too
        return
    used = {name for name, in trace.rows("SELECT DISTINCT mechanism FROM edges")}
    wanted = {"pipe", "process", "unix_stream", "tcp", "sysv_shm", "posix_shm", "posix_sem", "signal"}
    assert wanted <= used, wanted - used
    shown = s.run([s.ipctrace, "regions", "-i", trace.path]).out.decode().splitlines()
    kind = "mmap anonymous" if memory == "mmap" else "sysv_shm key"
    buffers = [line for line in shown if line.startswith(kind) and "rw" in line
               and any(int(word) > 16 << 20 for word in line.split() if word.isdigit() and len(word) == 8)]
    backends = [line for line in buffers if "postgres:" in line and " posix_sem, signal " in line]
    assert len(backends) >= 8, shown
    assert shown[1] == buffers[0], shown[:3]
    summary = s.run([s.ipctrace, "summary", "-i", trace.path]).out.decode()
    assert re.search(r"^and \d+ regions that \d+ processes share: ipctrace regions ", summary, re.M), summary
    assert re.search(r"^and \d+ more \(.*\d+ signal\b.*\): ipctrace edges ", summary, re.M), summary


# Python

MULTIPROCESSING = """
import multiprocessing as m
from multiprocessing import shared_memory

def work(tasks, results, lock, slots, name):
    memory = shared_memory.SharedMemory(name)
    for n in iter(tasks.get, None):
        with slots, lock:
            memory.buf[0] = (memory.buf[0] + 1) % 256
        results.put(n * n)
    memory.close()

def square(n):
    return n * n

if __name__ == "__main__":
    tasks, results, lock, slots = m.Queue(), m.Queue(), m.Lock(), m.Semaphore(2)
    memory = shared_memory.SharedMemory(create=True, size=4096)
    workers = [m.Process(target=work, args=(tasks, results, lock, slots, memory.name)) for _ in range(3)]
    for w in workers:
        w.start()
    for n in range(200):
        tasks.put(n)
    assert sum(results.get() for _ in range(200)) == sum(n * n for n in range(200))
    for w in workers:
        tasks.put(None)
    for w in workers:
        w.join()
    assert memory.buf[0] == 200
    memory.close()
    memory.unlink()
    with m.Pool(3) as pool:
        assert pool.map(square, range(100), 7) == [n * n for n in range(100)]
        pool.close()
        pool.join()
    print(memory.name)
"""


@by_source
def python_multiprocessing(s, source):
    out, trace = record(s, source, [PYTHON, "-c", MULTIPROCESSING])
    region = "/dev/shm/" + out.strip()
    if source == "bpf":  # what follows is of semaphores too
        return
    assert trace.one("SELECT count(DISTINCT pid) FROM regions WHERE name = ?", region) == 4
    by = {row[0] for row in trace.rows("SELECT synchronised_by FROM regions WHERE name = ?", region)}
    assert all("pipe" in text and "posix_sem" in text for text in by), by
    shown = s.run([s.ipctrace, "regions", "-i", trace.path]).out.decode().splitlines()
    assert shown[1].startswith(f"posix_shm {region} "), shown[:3]
    summary = s.run([s.ipctrace, "summary", "-i", trace.path]).out.decode()
    assert "/dev/shm/sem." not in summary and "and 1 region that 4 processes share: " in summary, summary


SYSV_IPC = """
import os, sysv_ipc as ipc
queue = ipc.MessageQueue(None, ipc.IPC_CREX)
sem = ipc.Semaphore(None, ipc.IPC_CREX, initial_value=0)
memory = ipc.SharedMemory(None, ipc.IPC_CREX, size=8192)
child = os.fork()
if not child:
    for n in range(50):
        assert queue.receive(type=n % 3 + 1) == (b"message %d" % n, n % 3 + 1)
        memory.write(b"%03d" % n)
        sem.release()
    os._exit(0)
for n in range(50):
    queue.send(b"message %d" % n, type=n % 3 + 1)
for n in range(50):
    sem.acquire()
assert os.waitpid(child, 0)[1] == 0 and memory.read(3) == b"049"
try:
    sem.acquire(0)
except ipc.BusyError:
    pass
memory.detach()
for what in (queue, sem, memory):
    what.remove()
print(os.getpid(), child)
"""


@by_source
def python_sysv_ipc(s, source):
    if run([PYTHON, "-c", "import sysv_ipc"]).status:
        raise Skip("no python3-sysv-ipc here")
    out, trace = record(s, source, [PYTHON, "-c", SYSV_IPC])
    parent, child = map(int, out.split())
    edges = {row[:3]: row[3:] for row in trace.rows("""SELECT mechanism, src_pid, dst_pid, messages, bytes, exact FROM edges
             WHERE mechanism LIKE 'sysv%'""")}
    assert edges == {("sysv_msg", parent, child): (50, sum(len(f"message {n}") for n in range(50)), 1),
                     ("sysv_sem", child, parent): (50, 0, 1), ("sysv_shm", parent, child): (0, None, 1),
                     ("sysv_shm", child, parent): (0, None, 1)}, edges


# Small ones

@by_source
def ipcmk_ipcs_ipcrm(s, source):
    needs("ipcmk", "ipcs", "ipcrm")
    _, trace = record(s, source, ["sh", "-ec", "q=$(ipcmk -Q | tr -dc 0-9); s=$(ipcmk -S 3 | tr -dc 0-9);"
                          " ipcs -q -i $q >/dev/null; ipcs -s -i $s >/dev/null; ipcrm -q $q -s $s; ! ipcrm -q $q 2>/dev/null"])
    calls = trace.rows("SELECT comm, call, errno FROM events WHERE mechanism LIKE 'sysv%' AND part = 0 ORDER BY ts_ns")
    assert [call for call in calls if not call[2]] == [
        ("ipcmk", "msgget", 0), ("ipcmk", "semget", 0), ("ipcrm", "msgctl:rmid", 0), ("ipcrm", "semctl:rmid", 0)], calls


@by_source
def flock_waits_its_turn(s, source):
    needs("flock")
    turn = "flock turn sh -c 'echo x; sleep 0.02' & "
    out, trace = record(s, source, ["sh", "-c", turn * 4 + "wait; flock -n turn flock -n turn true || echo busy"])
    assert out == "x\n" * 4 + "busy\n", out
    rows = trace.rows("SELECT sum(messages), min(exact) FROM edges WHERE mechanism = 'file_lock'")
    assert rows == [(4, 1)], rows


@by_source
def rt_tests(s, source):
    if s.prefix:
        raise Skip("it asks for real-time scheduling")
    needs("pmqtest", "svsematest", "sigwaittest")
    _, trace = record(s, source, ["pmqtest", "-q", "-l", "100"])
    assert trace.rows("SELECT sum(messages), min(exact) FROM edges WHERE mechanism = 'posix_mq'") == [(200, 1)]
    record(s, source, ["svsematest", "-q", "-f", "-l", "50"])
    # Its first signal may come before the process that it is for has blocked it, and ends that.
    _, trace = record(s, source, ["env", "--block-signal=USR1,USR2", "sigwaittest", "-q", "-f", "-l", "50"])
    assert trace.one("SELECT sum(messages) FROM edges WHERE mechanism = 'signal' AND src_comm = 'sigwaittest'") == 100



# Whatever there is that starts programs and talks to them

STARTERS = {
    "perl": ["-e", """open(P, "-|", "echo a; echo b") or die; print while <P>; close P; pipe(R, W);
             if (fork) { close W; print <R>; wait; print $? >> 8, "\\n" } else { close R; print W "x\\n"; close W; exit 3 }
             $SIG{ALRM} = sub { die "alarm\\n" }; alarm 1; eval { sleep 99 }; print $@; print `echo c`; system("exit 4");
             print $? >> 8"""],
    "node": ["-e", """const {spawnSync, exec} = require('child_process');
             console.log(spawnSync('cat', {input: 'a'}).stdout.toString());
             exec('echo a | tr a b', (e, out) => { console.log(out); process.exit(4) })"""],
    "ruby": ["-e", """r, w = IO.pipe; pid = fork { r.close; w.puts 'x'; exit! 3 }; w.close; puts r.read; Process.wait pid
             p $?.exitstatus; puts `echo a | tr a b`
             puts IO.popen(['cat'], 'r+') { |io| io.write 'x'; io.close_write; io.read }"""],
    "php": ["-r", """echo shell_exec('echo a | tr a b'); $p = proc_open(['cat'], [['pipe', 'r'], ['pipe', 'w']], $f);
            fwrite($f[0], 'x'); fclose($f[0]); echo stream_get_contents($f[1]); echo proc_close($p);"""],
    "lua5.4": ["-e", """local p = io.popen('echo a | tr a b'); print(p:read('a'), p:close()); print(os.execute('exit 3'))
               local w = io.popen('cat', 'w'); w:write('x'); print(w:close())"""],
    "emacs": ["--batch", "-Q", "--eval", """(let ((p (start-process "x" nil "cat")) (seen nil))
              (princ (shell-command-to-string "echo a | tr a b")) (set-process-filter p (lambda (p s) (setq seen t) (princ s)))
              (set-process-sentinel p #'ignore) (process-send-string p "x\\n") (process-send-eof p)
              (while (not seen) (accept-process-output p 1))
              (while (eq (process-status p) 'run) (accept-process-output p 1)) (princ (process-exit-status p)))"""],
    "vim": ["-u", "NONE", "-es", "-c", "put =system('echo a | tr a b')", "-c", "%!sort -r", "-c", "%print", "-c", "q!"],
    "parallel": ["-j4", "-k", "echo {} | tr a-z A-Z", ":::", "a", "b", "c", "d"],
    "zsh": ["-fc", "print -l 3 1 2 | sort; coproc cat; print -p hello; read -p z; print $z; diff <(echo a) <(echo b)"],
    "expect": ["-c", """spawn -noecho sh -c {stty -echo; echo ready; read x; echo got $x; exit 3}; expect ready; send "hello\\r"
               expect {got hello}; expect eof; puts [lindex [wait] 3]"""],
    # Has a library of its own preloaded, which asks a server about each file.
    "fakeroot": ["sh", "-c", "id -u; touch f; chown 12:34 f; stat -c %u:%g f; echo a | cat; rm f"],
    "erl": ["-noshell", "-eval", """io:format("~s", [os:cmd("echo a | tr a b")]), P = open_port({spawn, "cat"}, [binary]),
            P ! {self(), {command, <<"x">>}}, receive {P, {data, D}} -> io:format("~p~n", [D]) end, halt(3)."""],
    "sqlite3": [":memory:", "-cmd", ".once |tr 1 2", "select 1", ".shell exit 3"],
    "gdb": ["-q", "-batch", "-nx", "-ex", "python import subprocess as s; print(s.run(['echo', 'x'], stdout=-1).stdout)"],
}


def starter(name, arguments):
    def the_same(s):
        needs(name)
        s.same([name, *arguments], env=dict(os.environ, HOME=s.dir, LC_ALL="C.UTF-8"))
    the_same.__name__ = f"{name}_starts_programs"
    test(the_same, ("nobody",))


for each in STARTERS.items():
    starter(*each)


@test
def git_clones_from_its_daemon(s):
    needs("git")
    port = free_port()
    trace = s.same(["sh", "-c", f"""rm -rf server copy; git -c init.defaultBranch=main init -q server; cd server
git config user.email a@b; git config user.name a; seq 1000 >f; git add f; git commit -qm one; git gc -q; cd ..
git daemon --reuseaddr --listen=127.0.0.1 --port={port} --base-path=$PWD --export-all --pid-file=$PWD/pid --detach
until git clone -q git://127.0.0.1:{port}/server copy 2>/dev/null; do sleep 0.1; done
kill $(cat pid); cmp server/f copy/f && git -C copy fsck --no-progress"""],
                   env=dict(os.environ, HOME=s.dir, GIT_CONFIG_GLOBAL="/dev/null"))
    assert trace.one("SELECT sum(bytes) FROM edges WHERE mechanism = 'tcp' AND src_comm LIKE 'git%'") > 2000


TMUX = """unset TMUX; rm -f sock fifo; mkfifo fifo
exec 3<>fifo  # of which a terminal's typist never sees the end
t() { tmux -f /dev/null -S "$PWD/sock" "$@"; }
wait_for() { until t capture-pane -p -t a | grep -q "$1"; do sleep 0.05; done; }
t new-session -d -s a -x 80 -y 24 'stty -echo; echo ready; read word; echo "got $word"; exec cat'
wait_for ready; t send-keys -t a hello Enter; wait_for got; t capture-pane -p -t a | head -2
t split-window -t a cat; t list-panes -t a | wc -l; t run-shell 'echo run | tr a-z A-Z'
script -qc "tmux -S '$PWD/sock' attach -t a" /dev/null <&3 >/dev/null &
until [ "$(t list-clients | wc -l)" = 1 ]; do sleep 0.05; done
t detach-client -s a; wait; t kill-server; echo $?
"""


@test
def tmux_sessions(s):
    needs("tmux", "script")
    # Without SHELL tmux takes the user's login shell, and nobody's runs nothing.
    trace = s.same(["sh", "-c", TMUX], env=dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8", SHELL="/bin/sh"))
    used = dict(trace.rows("SELECT mechanism, sum(bytes) FROM edges WHERE src_comm LIKE 'tmux%' GROUP BY 1"))
    assert used["unix_stream"] > 1000 and used["pty"] >= 6, used


main()
