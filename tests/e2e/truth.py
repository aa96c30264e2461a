# SPDX-License-Identifier: BSD-2-Clause
"""Truth about a traced run from another than ourselves: what strace saw in the very same run.

An `end` is what moved bytes, as text: `pipe:[inode]`, a FIFO's path, and of sockets the one in the process:
`unix:[inode]`, `tcp:own address-other address`. Connectionless sockets have no end of their own here, only their
mechanism: `unix_dgram`, `udp`.
"""
import collections
import errno
import os
import re

CALLS = ("read,write,readv,writev,pread64,pwrite64,preadv,pwritev,preadv2,pwritev2,splice,tee,vmsplice,sendfile,"
         "sendto,recvfrom,sendmsg,recvmsg,sendmmsg,recvmmsg")


def command(*more):
    """strace, of these calls too."""
    names = ",".join(("clone,clone3,socket,socketpair,accept,accept4", CALLS) + more)
    return ["strace", "-f", "-yy", "-s", "0", "-e", "abbrev=none", "-e", f"trace={names}"]


COMMAND = command()

# Calls of which the trace has an event each time, by the names that they have there: also of those that fail, but where it is
# because they name nothing.
COUNTED = {name: name for name in (
    "kill tkill tgkill rt_sigqueueinfo pidfd_send_signal rt_sigtimedwait shmget shmat shmdt msgget msgsnd msgrcv semget "
    "semop semtimedop mq_open mq_timedsend mq_timedreceive flock").split()}
COUNTED.update({f"{call}:{shown}": f"{call}:{name}" for call, shown, name in (
    ("shmctl", "IPC_RMID", "rmid"), ("msgctl", "IPC_RMID", "rmid"), ("semctl", "IPC_RMID", "rmid"),
    ("semctl", "SETVAL", "setval"), ("semctl", "SETALL", "setall"))})
EVERYTHING = command(*sorted({name.split(":")[0] for name in COUNTED}), "mmap", "futex")

Moved = collections.namedtuple("Moved", "calls bytes")  # calls that moved something, and how many bytes


def plain_address(text):
    """IPv4-mapped addresses as the IPv4 addresses that they are."""
    return re.sub(r"\[::ffff:([\d.]+)\]", r"\1", text)


LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
RESULT = re.compile(r"\) += (-?\d+|\?)(.*)$")


def finished(path):
    """(thread, call, arguments and result as text, result) of each call in strace's log that returned."""
    pending = {}
    with open(path, encoding="latin-1") as lines:
        for line in lines:
            match = LINE.match(line)
            if not match:
                continue
            pid, call, rest = int(match[1]), match[2], match[3]
            if rest.endswith("<unfinished ...>"):
                pending[pid] = rest[:-len("<unfinished ...>")]
                continue
            if "resumed>" in line.split("(", 1)[0]:
                rest = pending.pop(pid, "") + rest
            result = RESULT.search(rest)
            if result and result[1] != "?":
                yield pid, call, rest, int(result[1])


class Strace:
    """moved[pid, end, 'send' or 'recv'] -> Moved; peers: {inode: inode} of UNIX connections."""

    FD = re.compile(r"(?:^|[ (\[])(-?\d+)<([A-Za-z][-A-Za-z0-9]*:\[.*?\]|[^>]*)>")
    SOCKET = re.compile(r"^(UNIX(?:-STREAM)?|(?:MP)?TCP(?:v6)?|UDP(?:v6)?):\[(.*)\]$")
    INODES = re.compile(r"^(\d+)(?:->(\d+))?")
    DATAGRAMS = ("unix_dgram", "unix_seqpacket", "udp")

    def __init__(self, path):
        self.moved = {}
        self.peers = {}
        self.leader = {}
        self.kinds = {}  # of UNIX sockets by inode: which mechanism
        self.empty = collections.Counter()  # sends and receives of 0 bytes on seqpacket sockets
        for pid, call, rest, result in finished(path):
            if result >= 0:
                self.take(pid, call, rest, result)
        self.add_empty()
        threads, self.moved = self.moved, {}
        for (tid, end, way), moved in threads.items():
            key = self.leader.get(tid, tid), end, way
            self.moved[key] = Moved(*map(sum, zip(moved, self.moved.get(key, (0, 0)))))

    def take(self, pid, call, rest, result):
        names = [name for _, name in self.FD.findall(rest)]
        if call.startswith("clone"):
            if "CLONE_THREAD" in rest:
                self.leader[result] = self.leader.get(pid, pid)
        elif call in ("socket", "socketpair"):
            kind = next((kind for kind in ("DGRAM", "SEQPACKET") if "SOCK_" + kind in rest), "STREAM")
            for name in names:
                self.kinds[self.own_inode(name)] = "unix_" + kind.lower()
        elif call.startswith("accept"):
            self.kinds[self.own_inode(names[-1])] = self.kinds.get(self.own_inode(names[0]), "unix_stream")
        else:
            for name, way in zip(names, self.ways(call)):
                end, mechanism = self.end(name)
                for size in self.sizes(call, rest, result, mechanism) if end else ():
                    self.add((pid, end, way), size, mechanism)

    def add(self, key, size, mechanism):
        if mechanism == "unix_seqpacket" and not size:
            self.empty[key] += 1
        elif key[2] != "peek":
            old = self.moved.get(key, Moved(0, 0))
            self.moved[key] = Moved(old.calls + 1, old.bytes + size)

    def add_empty(self):
        """An empty packet looks like the end of the connection: as many of them were received as were sent."""
        for (pid, end, way), count in self.empty.items():
            if way == "recv":
                peer = f"unix:[{self.peers.get(int(end[6:-1]))}]"
                count = min(count, sum(n for (_, at, to), n in self.empty.items() if (at, to) == (peer, "send")))
            old = self.moved.get((pid, end, way), Moved(0, 0))
            if old.calls + count:
                self.moved[pid, end, way] = Moved(old.calls + count, old.bytes)

    def sizes(self, call, rest, result, mechanism):
        """Bytes of each message that the call moved."""
        if "MSG_PEEK" in rest or "MSG_ERRQUEUE" in rest:
            return []
        if call.endswith("mmsg"):
            sizes = list(map(int, re.findall(r"msg_len=(\d+)", rest)))[:result]
            return [size for size in sizes if size or mechanism in self.DATAGRAMS]
        if mechanism in self.DATAGRAMS and "MSG_TRUNC" in rest.rsplit(")", 1)[0] and "recv" in call:
            result = min(result, self.room(call, rest))
        return [result] if result or mechanism in self.DATAGRAMS else []

    @staticmethod
    def room(call, rest):
        """The size of a receiver's buffer."""
        if call == "recvfrom":
            return int(re.search(r'"(?:\.\.\.)?, (\d+), MSG_', rest)[1])
        return sum(map(int, re.findall(r"iov_len=(\d+)", rest)))

    def end(self, name):
        """(end, mechanism) of what strace prints behind a descriptor; (None, None): no channel."""
        if name.startswith("pipe:["):
            return name, "pipe"
        if self.is_fifo(name):
            return name, "fifo"
        socket = self.SOCKET.match(name)
        if not socket:
            return None, None
        if socket[1].startswith("UDP"):
            return "udp", "udp"
        if not socket[1].startswith("UNIX"):
            return "tcp:" + plain_address(socket[2]).replace("->", "-"), "tcp"
        inode = self.own_inode(name)
        kind = self.kinds.get(inode, "unix_stream" if "STREAM" in socket[1] else "unix_dgram")
        return "unix_dgram" if kind == "unix_dgram" else f"unix:[{inode}]", kind

    def own_inode(self, name):
        """The inode of a UNIX socket; keeps who its peer is."""
        socket = self.SOCKET.match(name)
        inodes = socket and self.INODES.match(socket[2]) if socket and socket[1].startswith("UNIX") else None
        if not inodes:
            return 0
        if inodes[2] and int(inodes[2]):
            self.peers[int(inodes[1])] = int(inodes[2])
        return int(inodes[1])

    @staticmethod
    def ways(call):
        """What each descriptor of the call does, in the order of the arguments. tee leaves its source as it is."""
        if call == "sendfile":
            return "send", "recv"
        if call == "splice":
            return "recv", "send"
        if call == "tee":
            return "peek", "send"
        return ("send",) if "write" in call or call.startswith("send") or call == "vmsplice" else ("recv",)

    @staticmethod
    def is_fifo(path):
        try:
            return (os.stat(path).st_mode & 0o170000) == 0o010000
        except OSError:
            return "fifo" in os.path.basename(path)


class Calls:
    """What strace saw of calls that move no bytes through a descriptor.

    counts: {(pid, call, errno): how often}; mapped: {(pid, file): how often, shared}. signals: {(sender, receiver): how many
    were delivered}, read: {pid: how many from a signalfd}, sent: {(sender, receiver or leader of a group): how many},
    grouped: {sender: how many to groups}. SIGPIPE is the kernel's, whatever it says.
    """
    DELIVERED = re.compile(r"^(\d+) +--- SIG(?!PIPE)\w+ \{si_signo=\w+, si_code=SI_(?:USER|TKILL|QUEUE), si_pid=(\d+)")
    OPERATION = re.compile(r", (?:IPC_64\|)?(IPC_RMID|SETVAL|SETALL)\b")
    MAPPED = re.compile(r"MAP_SHARED\w*(?:\|\w+)*, (?:\d+<(.*?)>|-1), ")
    SENT = re.compile(r"^(-?)(\d+), (?:\d+, )?SIG")

    def __init__(self, path):
        self.leader = {}
        self.counts, self.mapped, self.signals, self.read, self.sent, self.grouped = (
            collections.Counter() for _ in range(6))
        for tid, call, rest, result in finished(path):
            if call.startswith("clone") and result >= 0 and "CLONE_THREAD" in rest:
                self.leader[result] = self.leader.get(tid, tid)
            else:
                self.take(self.leader.get(tid, tid), call, rest, result)
        with open(path, encoding="latin-1") as lines:
            for match in filter(None, map(self.DELIVERED.match, lines)):
                receiver, sender = int(match[1]), int(match[2])
                self.signals[sender, self.leader.get(receiver, receiver)] += 1

    def take(self, pid, call, rest, result):
        operation = self.OPERATION.search(rest) if call.endswith("ctl") else None
        name = COUNTED.get(f"{call}:{operation[1]}" if operation else call)
        failed = re.search(r"\) += -1 (E\w+)", rest)
        error = getattr(errno, failed[1]) if failed else 0
        nothing = error and (operation or call.endswith(("get", "kill"))) or call.endswith("kill") and ", SIG" not in rest
        if name and not nothing and error != errno.EINTR:
            self.counts[pid, name, error] += 1
        mapped = self.MAPPED.search(rest) if call == "mmap" and not failed else None
        if mapped and not re.match(r"/dev/shm/ipctrace-\w{16}/", mapped[1] or ""):  # what we map
            self.mapped[pid, mapped[1] or "anonymous"] += 1
        taken = re.search(r"si_pid=(\d+)", rest) if call == "rt_sigtimedwait" and result > 0 else None
        if taken:
            self.signals[int(taken[1]), pid] += 1
        if call == "read" and "<anon_inode:[signalfd]>" in rest and result > 0:
            self.read[pid] += result // 128
        sent = self.SENT.match(rest) if call.endswith("kill") and not failed else None
        if sent:
            self.sent[pid, int(sent[2])] += 1
            self.grouped[pid] += bool(sent[1])
