# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests share: running commands untraced and traced, as root and as nobody, and the truth
to compare a trace with: strace in the very same run, and invariants that every trace must satisfy.

A test is a function that takes a Session and carries @test. main() runs each as every user and prints TAP.
"""
import collections
import functools
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import traceback

import truth

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "tests/e2e/programs")
IS_ROOT = os.geteuid() == 0
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
Result = collections.namedtuple("Result", "status out err")
DATAGRAMS = "('unix_dgram', 'unix_seqpacket', 'udp')"
COUNTED = "('posix_sem', 'mutex', 'rwlock', 'cond', 'barrier', 'spin')"  # whose messages have no rows
MOVERS = "('pipe', 'fifo', 'unix_stream', 'unix_dgram', 'unix_seqpacket', 'tcp', 'udp')"


class Skip(Exception):
    """Raised by a test that cannot run here."""


def run(command, timeout=300, stdin=b"", **options):
    """Runs to the end and returns a Result. What takes too long is killed with all its group."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True, **options)
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        raise AssertionError(f"{command}: still running after {timeout} s\n{out[-500:]}\n{err[-500:]}")
    return Result(child.returncode, out, err)


@functools.lru_cache(None)
def workshop():
    """A folder with a copy of the build that everybody may read, removed at the end."""
    folder = tempfile.mkdtemp(prefix="ipctrace-test-", dir="/tmp")
    os.chmod(folder, 0o755)
    build = os.path.join(ROOT, os.environ.get("BUILD", "build"))
    for name in ("ipctrace", "libipctrace.so", "libipctrace-symbols.so", "libipctrace-dbus.so", "libipctrace-rpc.so"):
        shutil.copy(os.path.join(build, name), folder)
        os.chmod(os.path.join(folder, name), 0o755)
    return folder


@functools.lru_cache(None)
def program(name, *flags):
    """Compiles tests/e2e/programs/NAME (.c or .cc) and returns the executable's path."""
    out = os.path.join(workshop(), os.path.splitext(name)[0] + "".join(flags).replace("/", "_"))
    compiler = ["g++"] if name.endswith(".cc") else ["gcc", "-std=gnu17"]
    subprocess.run(compiler + ["-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", out,
                               os.path.join(PROGRAMS, name), *flags], check=True)
    return out


class Session:
    """One user's place to run things in."""

    def __init__(self, user):
        self.user = user
        self.prefix = AS_NOBODY if user == "nobody" and IS_ROOT else []
        self.dir = tempfile.mkdtemp(prefix=f"{user}-", dir=workshop())
        os.chmod(self.dir, 0o777)
        self.ipctrace = os.path.join(workshop(), "ipctrace")
        self.traces = 0

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, command, **options):
        return run(self.prefix + command, **{"cwd": self.dir, **options})

    def new_trace(self):
        self.traces += 1
        return self.path(f"trace-{self.traces}.db")

    def record(self, command, source="shim", recorder=(), **options):
        """Runs the command traced. Returns its Result and the Trace. Without privilege the shim is the default."""
        path = self.new_trace()
        default = source == "auto" or (source == "shim" and self.user == "nobody")
        chosen = [] if default else [f"--source={source}"]
        result = self.run([self.ipctrace, "-q", "-o", path, *chosen, *recorder, "--", *command], **options)
        assert os.path.exists(path), f"no trace: {result}"
        return result, Trace(path)

    def same(self, command, source="shim", **options):
        """Untraced and traced, the command behaves the same to the byte. Returns the Trace."""
        plain = self.run(command, **options)
        result, trace = self.record(command, source, **options)
        assert result == plain, f"{command}\nuntraced {shorten(plain)}\ntraced   {shorten(result)}"
        trace.check_sound()
        return trace

    def exact(self, command, source="shim", same=True, sound=True, **options):
        """Behaves the same; and in one run under strace under ipctrace both saw the same. Returns the Trace."""
        if same:
            self.same(command, source, **options)
        log = self.path("strace.log")
        result, trace = self.record([*truth.COMMAND, "-o", log, *command], source, **options)
        if same:
            plain = self.run(command, **options)
            assert (result.status, result.out) == (plain.status, plain.out), f"under strace: {shorten(result)}"
        if sound:
            trace.check_sound()
        trace.check_truth(truth.Strace(log))
        return trace


def outside(process):
    """SQL: whether this process is only known from others, so that there is no event of it."""
    return f"{process} IN (SELECT id FROM processes WHERE coverage IN ('untraced', 'remote'))"


def shorten(result):
    return Result(result.status, result.out[-300:], result.err[-1000:])


class Trace:
    """A trace file."""

    def __init__(self, path):
        self.path = path
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def one(self, sql, *values):
        return self.rows(sql, *values)[0][0]

    def edge(self, src, dst, mechanism="pipe"):
        """(messages, bytes) between programs of these names; (0, 0): they did not talk."""
        return self.rows("""SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM edges
                         WHERE src_comm = ? AND dst_comm = ? AND mechanism = ?""", src, dst, mechanism)[0]

    def edges(self, mechanism):
        """{(src_pid, dst_pid, channel key): (messages, bytes)}, images of one pid put together."""
        return {row[:3]: row[3:] for row in self.rows(
            """SELECT e.src_pid, e.dst_pid, c.key, sum(e.messages), sum(e.bytes) FROM edges e
            JOIN channels c ON c.id = e.channel_id WHERE e.mechanism = ? GROUP BY 1, 2, 3""", mechanism)}

    def ends(self):
        """{end as truth.Strace calls it: name of its channel}"""
        found = {}
        for mechanism, key, name in self.rows(f"SELECT mechanism, key, name FROM channels WHERE mechanism IN {MOVERS}"):
            channel = self.channel(mechanism, key, name)
            if mechanism in ("unix_stream", "unix_seqpacket"):
                found.update((f"unix:{inode}", channel) for inode in re.findall(r"\[\d+\]", key))
            elif mechanism == "tcp" and "-" in channel:
                addresses = channel.split(":", 1)[1].split("-")
                found.update(("tcp:" + "-".join(pair), channel) for pair in (addresses, addresses[::-1]))
            else:
                found[channel] = channel
        return found

    @staticmethod
    def channel(mechanism, key, name):
        """What tells channels apart here: no network namespace, and of connectionless sockets only the mechanism."""
        if mechanism in ("udp", "unix_dgram"):
            return mechanism
        if mechanism == "tcp":
            return re.sub(r"^tcp:\d+:", "tcp:", key)
        return name if mechanism == "fifo" else key

    def moved(self):
        """{(pid, channel, 'send' or 'recv'): (calls, bytes)}, from the endpoints."""
        found = collections.Counter()
        for pid, mechanism, key, name, *sums in self.rows(
                f"""SELECT p.pid, c.mechanism, c.key, c.name, n.sends, n.bytes_sent, n.receives, n.bytes_received
                FROM endpoints n JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
                WHERE c.mechanism IN {MOVERS} AND NOT {outside("n.process_id")}"""):
            channel = self.channel(mechanism, key, name)
            for i, what in enumerate((("send", 0), ("send", 1), ("recv", 0), ("recv", 1))):
                found[(pid, channel, what[0]), what[1]] += sums[i]
        return {key: (found[key, 0], found[key, 1]) for key, _ in found if found[key, 0]}

    def flows(self):
        """{channel: {(src_pid, dst_pid): (messages, bytes)}}, from the edges."""
        found = {}
        for src, dst, mechanism, key, name, messages, moved in self.rows(
                f"""SELECT e.src_pid, e.dst_pid, e.mechanism, c.key, c.name, e.messages, e.bytes FROM edges e
                JOIN channels c ON c.id = e.channel_id WHERE e.mechanism IN {MOVERS}
                AND NOT {outside("e.src_id")} AND NOT {outside("e.dst_id")}"""):
            edges = found.setdefault(self.channel(mechanism, key, name), {})
            old = edges.get((src, dst), (0, 0))
            edges[src, dst] = old[0] + messages, old[1] + moved
        return found

    def talk(self, mechanism):
        """{(src, dst): (messages, bytes)}: 0 is the first python3 that was started, n the nth process that it forked."""
        first = self.one("SELECT pid FROM processes WHERE comm LIKE 'python3%' ORDER BY start_ns LIMIT 1")
        forked = self.rows("""SELECT dst_pid, min(sent_ns) FROM messages WHERE mechanism = 'process' AND dst_pid != ?
                           GROUP BY 1 HAVING src_pid = ? ORDER BY 2""", first, first)
        order = {pid: i for i, (pid, _) in enumerate([(first, 0)] + forked)}
        return {(order.get(src, src), order.get(dst, dst)): tuple(moved) for src, dst, *moved in self.rows(
            "SELECT src_pid, dst_pid, sum(messages), sum(bytes) FROM edges WHERE mechanism = ? GROUP BY 1, 2",
            mechanism)}

    def totals(self, mechanism):
        """(sends, bytes sent, receives, bytes received) of all."""
        return self.rows("""SELECT sum(n.sends), sum(n.bytes_sent), sum(n.receives), sum(n.bytes_received)
                         FROM endpoints n JOIN channels c ON c.id = n.channel_id WHERE c.mechanism = ?""", mechanism)[0]

    def names(self, mechanism):
        return {name for name, in self.rows("SELECT name FROM channels WHERE mechanism = ?", mechanism)} - {None}

    def roles(self, mechanism):
        """{role: number of its endpoints} of those that moved something."""
        return dict(self.rows("""SELECT role, count(*) FROM endpoints n JOIN channels c ON c.id = n.channel_id
                              WHERE mechanism = ? AND sends + receives > 0 GROUP BY 1""", mechanism))

    def outsiders(self):
        """(pid, comm, coverage) of those that took part over sockets and are outside of the recording, the kernel aside."""
        return self.rows(f"""SELECT pid, comm, coverage FROM processes p WHERE {outside("p.id")} AND EXISTS
                         (SELECT 1 FROM edges e WHERE (mechanism GLOB 'unix_*' OR mechanism IN ('tcp', 'udp', 'socket_other'))
                          AND p.id IN (e.src_id, e.dst_id))""")

    def check_inside(self, exact=True):
        """Nobody from outside took part, and all is certain."""
        assert not self.outsiders(), f"peers outside the trace: {self.outsiders()}"
        assert not exact or not self.one("SELECT count(*) FROM edges WHERE exact = 0"), "approximate edges"

    def lost(self, reason):
        """{comm: count} of one reason."""
        return dict(self.rows("""SELECT coalesce(l.comm, p.comm), sum(count) FROM losses l
                              LEFT JOIN processes p ON p.id = l.process_id WHERE reason = ? GROUP BY 1""", reason))

    def check_truth(self, strace):
        """Every endpoint's calls and bytes are strace's, and the edges follow from them where they must."""
        ends = self.ends()
        ours, theirs = self.moved(), {}
        for (pid, end, way), moved in strace.moved.items():
            key = pid, ends.get(end, end), way
            theirs[key] = tuple(map(sum, zip(moved, theirs.get(key, (0, 0)))))
        differ = [f"{key}: strace {theirs.get(key)}, trace {ours.get(key)}"
                  for key in sorted(set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)]
        assert not differ, "calls and bytes differ:\n" + "\n".join(differ[:20])
        for inode, peer in strace.peers.items():
            one, other = ends.get(f"unix:[{inode}]"), ends.get(f"unix:[{peer}]")
            assert one == other, f"strace says that {inode} and {peer} are peers, the trace says {one}, {other}"
        flows = self.flows()
        for channel in {key[1] for key in theirs} - {"unix_dgram", "udp"}:
            self.check_flows(channel, [end for end in ends if ends[end] == channel], flows.get(channel, {}), strace)

    @staticmethod
    def check_flows(channel, ends, edges, strace):
        """Who sent how much to whom follows from the ends where each stream has one sender, or one receiver that
        took all; with one receiver every send is a message. A pipe is one stream, a connection two."""
        wanted = collections.Counter()
        counted = True
        for end, other in zip(ends, ends[::-1]):
            sent, received = ({pid: moved for (pid, at, way), moved in strace.moved.items() if (at, way) == what}
                              for what in ((end, "send"), (other, "recv")))
            drained = sum(moved.bytes for moved in sent.values()) == sum(moved.bytes for moved in received.values())
            whole = len(received) == 1 and drained
            if not whole and len(sent) > 1:
                return
            counted = counted and (whole or not received)
            for src, put in sent.items():
                for dst, got in received.items():
                    wanted[(src, dst), 0] += put.calls if whole else got.calls
                    wanted[(src, dst), 1] += put.bytes if whole else got.bytes
        for what in (0, 1) if counted else (1,):
            theirs = {key[0]: value for key, value in wanted.items() if key[1] == what and value}
            ours = {pair: moved[what] for pair, moved in edges.items() if moved[what]}
            assert theirs == ours, f"{('messages', 'bytes')[what]} over {channel}: strace {theirs}, trace {ours}"

    def check_sound(self):
        """What holds in every trace in which nothing was lost, whatever ran."""
        lost = self.rows("SELECT * FROM losses WHERE kind = 'lost'")
        assert not lost, f"lost: {lost}"
        self.none("channels against endpoints", """SELECT c.id, c.bytes_sent, sum(n.bytes_sent), c.bytes_received,
            sum(n.bytes_received) FROM channels c JOIN endpoints n ON n.channel_id = c.id GROUP BY c.id
            HAVING c.bytes_sent != sum(n.bytes_sent) OR c.bytes_received != sum(n.bytes_received)""")
        # An empty datagram is a message; a peek and what the kernel was still at are none. Only its being one tells an
        # empty packet from the end of a connection.
        moved = f"""(bytes > 0 OR (e.mechanism IN {DATAGRAMS} AND errno = 0 AND flags & {16 | 32} = 0
                AND (flags & 2 = 0 OR e.id IN (SELECT recv_event FROM messages))))"""
        self.none("endpoints against events", f"""SELECT n.*, e.* FROM endpoints n JOIN channels c ON c.id = n.channel_id
            LEFT JOIN (SELECT e.channel_id, e.process_id, count(*) FILTER (WHERE verb = 'send' AND {moved}) AS s,
                coalesce(sum(bytes) FILTER (WHERE verb = 'send'), 0) AS sb,
                count(*) FILTER (WHERE verb = 'recv' AND {moved}) AS r,
                coalesce(sum(dur_ns) FILTER (WHERE verb = 'send' AND {moved}), 0) AS sd,
                coalesce(sum(dur_ns) FILTER (WHERE verb = 'recv' AND {moved}), 0) AS rd
                FROM events e WHERE e.mechanism IN {MOVERS} GROUP BY 1, 2) e
            ON e.channel_id = n.channel_id AND e.process_id = n.process_id
            WHERE c.mechanism IN {MOVERS} AND (sd != n.send_dur_ns OR rd != n.receive_dur_ns OR (NOT {outside("n.process_id")}
            AND (coalesce(s, 0) != n.sends OR coalesce(sb, 0) != n.bytes_sent OR coalesce(r, 0) != n.receives)))""")
        self.none("edges against messages", f"""SELECT * FROM (
            SELECT src_id, dst_id, channel_id, messages AS m, bytes AS b FROM edges
                WHERE mechanism != 'process_vm' AND (mechanism IN ('pipe', 'fifo', 'process', 'pidfd')
                OR NOT (mechanism IN {COUNTED} OR {outside("src_id")} OR {outside("dst_id")})
                OR (mechanism = 'signal' AND latency_min_ns IS NOT NULL)) -- an untraced process dies of one
            UNION ALL SELECT src_id, dst_id, channel_id, -count(*), -sum(bytes) FROM messages GROUP BY 1, 2, 3)
            GROUP BY 1, 2, 3 HAVING sum(m) != 0 OR sum(b) != 0""")
        self.none("received before it was sent", """SELECT * FROM messages WHERE received_ns < sent_ns
            OR latency_ns != received_ns - sent_ns""")
        # A multicast datagram is received several times.
        self.none("more taken from a channel than was put in", f"""SELECT c.* FROM channels c
            WHERE bytes_received > bytes_sent AND bytes_sent > 0 AND mechanism IN {MOVERS} AND mechanism != 'udp'
            AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.channel_id = c.id
                AND ({outside("e.src_id")} OR {outside("e.dst_id")}))
            AND (SELECT count(*) FROM losses WHERE kind = 'not_covered') = 0 AND NOT EXISTS (SELECT 1 FROM meta
                WHERE key = 'ended_by' OR (key = 'selection' AND value LIKE '%--no-follow%'))""")
        self.none("processes that never ended", """SELECT * FROM processes WHERE end_ns IS NULL AND NOT EXISTS
            (SELECT 1 FROM losses WHERE reason = 'outlived') AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'ended_by')
            AND (coverage NOT IN ('untraced', 'remote') OR parent_id IS NOT NULL OR prev_id IS NOT NULL)""")

    def none(self, what, sql):
        wrong = self.rows(sql)
        assert not wrong, f"{what}: {len(wrong)} rows, as {wrong[:5]}"


TESTS = []


def test(function=None, users=("root", "nobody")):
    """Registers a test, run once per user."""
    if function is None:
        return lambda f: test(f, users)
    TESTS.append((function, users))
    return function


def by_source(function):
    """Registers a test of (Session, source), run by either source."""
    for source in ("shim", "bpf"):
        def with_source(s, source=source):
            function(s, source)
        with_source.__name__ = f"{function.__name__} by {source}"
        test(with_source, ("root", "nobody") if source == "shim" else ("root",))
    return function


def needs(*programs):
    """Skips the test where one of the programs is missing; returns their paths."""
    paths = [shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for name in programs]
    if None in paths:
        raise Skip(f"no {programs[paths.index(None)]} here")
    return paths


NOEXEC = ["unshare", *([] if IS_ROOT else ["-r"]), "-m", "sh", "-c",
          'mount -o remount,bind,noexec /dev/shm || exit 99; exec "$@"', "sh"]


def forbid_shm(s):
    """From here on nothing in /dev/shm is executed in this session: no libc is prepared."""
    needs("unshare", "mount")
    if run(NOEXEC + ["true"]).status:
        raise Skip("no private mounts here")
    s.prefix = NOEXEC + s.prefix


def script(name):
    """The path of tests/e2e/programs/NAME that everybody may read."""
    path = os.path.join(workshop(), name)
    shutil.copy(os.path.join(PROGRAMS, name), path)
    os.chmod(path, 0o644)
    return path


def read_terminal(master):
    """All that is written to the terminal until the last process has closed its end; closes ours."""
    out = b""
    with open(master, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(65536)
            except OSError:  # nobody has the other end any more
                return out
            if not part:
                return out
            out += part


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody had a moment ago, neither of IPv4 nor of IPv6."""
    with socket.socket(socket.AF_INET6, kind) as sock:
        sock.bind(("::", 0))
        return sock.getsockname()[1]


def run_one(function, user):
    name = f"{function.__name__} as {user}"
    if user == "root" and not IS_ROOT:
        return f"ok - {name} # SKIP not root"
    try:
        function(Session(user))
        return f"ok - {name}"
    except Skip as why:
        return f"ok - {name} # SKIP {why}"
    except Exception:  # whatever went wrong is the test's result
        return f"not ok - {name}\n" + re.sub("^", "# ", traceback.format_exc().rstrip(), flags=re.M)


def main():
    """Runs the tests of the calling file whose names contain one of the arguments, or all."""
    # A shell's background job ignores these, one of nohup's SIGHUP, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    failed = False
    try:
        for function, users in TESTS:
            if sys.argv[1:] and not any(word in function.__name__ for word in sys.argv[1:]):
                continue
            for user in users:
                line = run_one(function, user)
                failed = failed or line.startswith("not ok")
                print(line, flush=True)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(workshop(), ignore_errors=True)
    sys.exit(1 if failed else 0)
