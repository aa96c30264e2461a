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
import sqlite3
import subprocess
import sys
import tempfile
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "tests/e2e/programs")
IS_ROOT = os.geteuid() == 0
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
TRUTH_CALLS = ("read,write,readv,writev,pread64,pwrite64,preadv,pwritev,preadv2,pwritev2,splice,tee,vmsplice,"
               "sendfile")

Result = collections.namedtuple("Result", "status out err")
Moved = collections.namedtuple("Moved", "calls bytes")  # calls that moved bytes, and how many


class Skip(Exception):
    """Raised by a test that cannot run here."""


def run(command, timeout=120, stdin=b"", **options):
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
    for name in ("ipctrace", "libipctrace.so"):
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
        return run(self.prefix + command, cwd=self.dir, **options)

    def new_trace(self):
        self.traces += 1
        return self.path(f"trace-{self.traces}.db")

    def record(self, command, source="shim", recorder=(), **options):
        """Runs the command traced. Returns its Result and the Trace."""
        path = self.new_trace()
        chosen = [] if source == "shim" else [f"--source={source}"]
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

    def exact(self, command, same=True, sound=True, **options):
        """Behaves the same; and in one run under strace under ipctrace both saw the same. Returns the Trace."""
        if same:
            self.same(command, **options)
        log = self.path("strace.log")
        result, trace = self.record(["strace", "-f", "-y", "-s", "0", "-o", log, "-e", f"trace=clone,clone3,{TRUTH_CALLS}",
                                     *command], **options)
        if same:
            plain = self.run(command, **options)
            assert (result.status, result.out) == (plain.status, plain.out), f"under strace: {shorten(result)}"
        if sound:
            trace.check_sound()
        trace.check_truth(Strace(log))
        return trace


def shorten(result):
    return Result(result.status, result.out[-300:], result.err[-1000:])


class Strace:
    """What strace saw on pipes and FIFOs: moved[pid, channel, 'send' or 'recv'] -> Moved. A channel is
    `pipe:[inode]`, or the FIFO's path."""

    LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
    FD = re.compile(r"(?:^|[ (])(-?\d+)<([^>]*)>")
    RESULT = re.compile(r"\) += (-?\d+|\?)(.*)$")

    def __init__(self, path):
        self.moved = {}
        self.leader = {}
        pending = {}
        with open(path, encoding="latin-1") as lines:
            for line in lines:
                match = self.LINE.match(line)
                if not match:
                    continue
                pid, call, rest = int(match[1]), match[2], match[3]
                if rest.endswith("<unfinished ...>"):
                    pending[pid] = rest[:-len("<unfinished ...>")]
                    continue
                if "resumed>" in line.split("(", 1)[0]:
                    rest = pending.pop(pid, "") + rest
                result = self.RESULT.search(rest)
                if result and result[1] != "?":
                    self.take(pid, call, rest, int(result[1]))
        threads, self.moved = self.moved, {}
        for (tid, channel, way), moved in threads.items():
            key = self.leader.get(tid, tid), channel, way
            self.moved[key] = Moved(*map(sum, zip(moved, self.moved.get(key, (0, 0)))))

    def take(self, pid, call, rest, result):
        if call.startswith("clone") and "CLONE_THREAD" in rest:
            self.leader[result] = self.leader.get(pid, pid)
        ends = [name for _, name in self.FD.findall(rest)]
        for channel, way in zip(ends, self.ways(call)):
            if not channel.startswith("pipe:[") and not self.is_fifo(channel):
                continue
            if result > 0 and way != "peek":
                old = self.moved.get((pid, channel, way), Moved(0, 0))
                self.moved[pid, channel, way] = Moved(old.calls + 1, old.bytes + result)

    @staticmethod
    def ways(call):
        """What each descriptor of the call does, in the order of the arguments. tee leaves its source as it is."""
        if call == "sendfile":
            return "send", "recv"
        if call == "splice":
            return "recv", "send"
        if call == "tee":
            return "peek", "send"
        return ("send",) if "write" in call or call == "vmsplice" else ("recv",)

    @staticmethod
    def is_fifo(path):
        try:
            return (os.stat(path).st_mode & 0o170000) == 0o010000
        except OSError:
            return "fifo" in os.path.basename(path)


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

    def moved(self):
        """As Strace.moved, from the endpoints."""
        found = {}
        for pid, channel, sends, sent, receives, received in self.rows(
                """SELECT p.pid, CASE c.mechanism WHEN 'pipe' THEN c.key ELSE c.name END, sum(n.sends),
                sum(n.bytes_sent), sum(n.receives), sum(n.bytes_received) FROM endpoints n
                JOIN processes p ON p.id = n.process_id JOIN channels c ON c.id = n.channel_id
                WHERE c.mechanism IN ('pipe', 'fifo') GROUP BY 1, 2"""):
            if sends:
                found[pid, channel, "send"] = sends, sent
            if receives:
                found[pid, channel, "recv"] = receives, received
        return found

    def lost(self, reason):
        """{comm: count} of one reason."""
        return dict(self.rows("""SELECT coalesce(l.comm, p.comm), sum(count) FROM losses l
                              LEFT JOIN processes p ON p.id = l.process_id WHERE reason = ? GROUP BY 1""", reason))

    def check_truth(self, truth):
        """Every endpoint's calls and bytes are strace's, and the edges follow from them where they must."""
        ours = self.moved()
        theirs = {key: tuple(moved) for key, moved in truth.moved.items()}
        differ = [f"{key}: strace {theirs.get(key)}, trace {ours.get(key)}"
                  for key in sorted(set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)]
        assert not differ, "calls and bytes differ:\n" + "\n".join(differ[:20])
        edges = {}
        for src, dst, channel, messages, moved in self.rows(
                """SELECT e.src_pid, e.dst_pid, CASE c.mechanism WHEN 'pipe' THEN c.key ELSE c.name END,
                sum(e.messages), sum(e.bytes) FROM edges e JOIN channels c ON c.id = e.channel_id
                WHERE e.mechanism IN ('pipe', 'fifo') GROUP BY 1, 2, 3"""):
            edges.setdefault(channel, {})[src, dst] = messages, moved
        for channel in {key[1] for key in theirs}:
            self.check_edges(channel, edges.get(channel, {}), truth)

    @staticmethod
    def check_edges(channel, edges, truth):
        """Who sent how much to whom follows from the endpoints where there is one sender, or one receiver that took
        all; with one receiver every send is a message."""
        sent, received = ({pid: moved for (pid, at, way), moved in truth.moved.items() if (at, way) == (channel, end)}
                          for end in ("send", "recv"))
        drained = sum(moved.bytes for moved in sent.values()) == sum(moved.bytes for moved in received.values())
        if len(received) == 1 and drained:
            wanted = {(src, dst): tuple(moved) for dst in received for src, moved in sent.items()}
        elif len(sent) == 1:
            wanted = {(src, dst): moved.bytes for src in sent for dst, moved in received.items()}
            edges = {ends: moved for ends, (_, moved) in edges.items()}
        else:
            return
        assert edges == wanted, f"edges of {channel}: strace {wanted}, trace {edges}"

    def check_sound(self):
        """What holds in every trace in which nothing was lost, whatever ran."""
        lost = self.rows("SELECT * FROM losses WHERE kind = 'lost'")
        assert not lost, f"lost: {lost}"
        self.none("channels against endpoints", """SELECT c.id, c.bytes_sent, sum(n.bytes_sent), c.bytes_received,
            sum(n.bytes_received) FROM channels c JOIN endpoints n ON n.channel_id = c.id GROUP BY c.id
            HAVING c.bytes_sent != sum(n.bytes_sent) OR c.bytes_received != sum(n.bytes_received)""")
        self.none("endpoints against events", """SELECT * FROM (
            SELECT n.id, n.process_id, n.channel_id, n.sends, n.bytes_sent, n.receives, n.bytes_received,
            (SELECT count(*) FROM events e WHERE e.channel_id = n.channel_id AND e.process_id = n.process_id
                AND verb = 'send' AND bytes > 0) AS s,
            (SELECT coalesce(sum(bytes), 0) FROM events e WHERE e.channel_id = n.channel_id
                AND e.process_id = n.process_id AND verb = 'send') AS sb,
            (SELECT count(*) FROM events e WHERE e.channel_id = n.channel_id AND e.process_id = n.process_id
                AND verb = 'recv' AND bytes > 0) AS r
            FROM endpoints n JOIN channels c ON c.id = n.channel_id WHERE c.mechanism IN ('pipe', 'fifo')
            AND (SELECT count(*) FROM endpoints) < 200)
            WHERE s != sends OR sb != bytes_sent OR r != receives""")
        self.none("edges against messages", """SELECT * FROM (
            SELECT src_id, dst_id, channel_id, messages AS m, bytes AS b FROM edges
            UNION ALL SELECT src_id, dst_id, channel_id, -count(*), -sum(bytes) FROM messages GROUP BY 1, 2, 3)
            GROUP BY 1, 2, 3 HAVING sum(m) != 0 OR sum(b) != 0""")
        self.none("received before it was sent", """SELECT * FROM messages WHERE received_ns < sent_ns
            OR latency_ns != received_ns - sent_ns""")
        self.none("more taken from a channel than was put in", """SELECT c.* FROM channels c
            WHERE bytes_received > bytes_sent AND bytes_sent > 0 AND mechanism IN ('pipe', 'fifo')
            AND (SELECT count(*) FROM losses WHERE kind = 'not_covered') = 0""")
        self.none("processes that never ended", """SELECT * FROM processes WHERE end_ns IS NULL AND NOT EXISTS
            (SELECT 1 FROM losses WHERE reason = 'outlived')""")

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
