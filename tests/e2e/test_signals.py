# SPDX-License-Identifier: BSD-2-Clause
"""Signals to and from the command, and the terminal: a command under the recorder gets each signal as often as
it would without, stops and continues with its job, and the recorder never gets in between."""
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time

from harness import main, program, test

# Writes a line per signal that it gets; ends on SIGUSR2.
CATCHER = """
import os, signal, sys
def tell(number, frame):
    os.write(1, b'%d\\n' % number)
    if number == signal.SIGUSR2:
        sys.exit(9)
for number in sys.argv[1:]:
    signal.signal(int(number), tell)
os.write(1, b'%d ready\\n' % os.getpid())
while True:
    signal.pause()
"""
PASSED_ON = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCONT,
             signal.SIGWINCH, signal.SIGALRM, signal.SIGPIPE, signal.SIGABRT, signal.SIGCHLD, signal.SIGRTMIN + 3]


def catcher(numbers):
    return ["/usr/bin/python3", "-c", CATCHER, *(str(int(n)) for n in numbers)]


def start(s, command, recorder=(), **options):
    """Its output is not read ahead: communicate() would miss what readline() had taken beyond the line."""
    return subprocess.Popen(s.prefix + [s.ipctrace, "-q", "-o", s.new_trace(), *recorder, "--", *command],
                            cwd=s.dir, stdout=subprocess.PIPE, bufsize=0, **options)


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@test
def signals_of_processes_are_passed_on(s):
    child = start(s, catcher(PASSED_ON + [signal.SIGUSR2]))
    assert b"ready" in child.stdout.readline()
    for number in PASSED_ON:
        child.send_signal(number)
        assert int(child.stdout.readline()) == number
    child.send_signal(signal.SIGUSR2)
    assert child.communicate(timeout=60)[0] == b"%d\n" % signal.SIGUSR2
    assert child.returncode == 9


@test
def a_queued_signal_keeps_its_value(s):
    child = start(s, ["perl", "-MPOSIX", "-e", """
        $| = 1; my $set = POSIX::SigSet->new(SIGUSR1); my $got;
        sigaction(SIGUSR1, POSIX::SigAction->new(sub { $got = "code $_[1]{code}" }, $set, SA_SIGINFO));
        print "ready\\n"; select undef, undef, undef, 0.01 until $got; print "$got\\n\""""])
    assert child.stdout.readline() == b"ready\n"
    subprocess.run(["/usr/bin/kill", "--queue", "77", "-s", "USR1", str(child.pid)], check=True)
    assert child.communicate(timeout=60)[0] == b"code -1\n"


@test
def a_signal_ends_command_and_recorder(s):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
        child = start(s, ["sh", "-c", "echo ready; exec sleep 60"])
        child.stdout.readline()
        child.send_signal(number)
        assert child.wait(60) == -number, child.returncode


@test
def a_timer_set_before_is_the_commands(s):
    child = subprocess.Popen(s.prefix + ["perl", "-e", "alarm 1; exec @ARGV", s.ipctrace, "-q", "-o", s.new_trace(),
                                         "--", "sleep", "60"], cwd=s.dir)
    assert child.wait(60) == -signal.SIGALRM


@test
def ignored_signals_stay_ignored(s):
    child = start(s, ["sh", "-c", "echo ready; sleep 1.5; echo lived"],
                  preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    assert child.communicate(timeout=60)[0] == b"lived\n"
    assert child.returncode == 0


@test
def a_killed_recorder_leaves_the_command_alone(s):
    child = start(s, ["sh", "-c", "echo ready; sleep 1; echo x | cat; echo lived"])
    child.stdout.readline()
    child.kill()
    assert child.stdout.read() == b"x\nlived\n"
    child.wait()


@test
def a_command_that_is_held_and_continued_alone(s):
    child = start(s, ["sh", "-c", "echo $$; for i in 1 2 3; do echo $i | cat; sleep 0.1; done"])
    command = int(child.stdout.readline())
    os.kill(command, signal.SIGSTOP)
    wait_for(lambda: state(command) == "T")
    time.sleep(0.2)
    os.kill(command, signal.SIGCONT)
    assert child.communicate(timeout=60)[0] == b"1\n2\n3\n"
    assert child.returncode == 0


class Shell:
    """A shell's job control, no more: the recorder runs in the foreground of a terminal of its own, in a process
    group of its own, and `wait` tells how it stopped or ended."""

    def __init__(self, s, command):
        ours, theirs = os.pipe()
        orders, give = os.pipe()
        argv = s.prefix + [s.ipctrace, "-q", "-o", s.new_trace(), "--", *command]
        self.leader, self.tty = pty.fork()
        if self.leader == 0:
            try:
                self.lead(argv, s.dir, theirs, orders)
            finally:
                os._exit(1)
        os.close(theirs)
        os.close(orders)
        self.reports, self.give = os.fdopen(ours), give
        self.job = int(self.reports.readline())
        self.seen = b""

    @staticmethod
    def lead(argv, folder, reports, orders):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        modes = termios.tcgetattr(0)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, modes)
        go, start_it = os.pipe()
        job = os.fork()
        if job == 0:
            os.close(start_it)
            os.read(go, 1)
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            os.chdir(folder)
            os.execvp(argv[0], argv)
        os.setpgid(job, job)
        os.tcsetpgrp(0, job)
        os.write(reports, b"%d\n" % job)
        os.write(start_it, b"x")
        while True:
            status = os.waitpid(job, os.WUNTRACED)[1]
            os.write(reports, b"%d\n" % status)
            if not os.WIFSTOPPED(status):
                os._exit(0)
            os.tcsetpgrp(0, os.getpgrp())
            os.read(orders, 1)
            os.tcsetpgrp(0, job)
            os.killpg(job, signal.SIGCONT)

    def read_until(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self.seen += os.read(self.tty, 4096)

    def type(self, keys):
        os.write(self.tty, keys)

    def wait(self):
        return int(self.reports.readline())

    def foreground(self):
        os.write(self.give, b"x")


def pid_of(shell):
    shell.read_until(b"ready\r\n")
    return int(shell.seen.split(b" ready")[0].split()[-1])


def count(shell, number):
    """Ends the catcher and counts."""
    time.sleep(0.3)
    os.kill(shell.job, signal.SIGUSR2)
    shell.read_until(b"%d\r\n" % signal.SIGUSR2)
    assert os.WEXITSTATUS(shell.wait()) == 9
    return shell.seen.split().count(b"%d" % number)


@test
def the_terminals_signals_come_once(s):
    for key, number in ((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)):
        shell = Shell(s, catcher([number, signal.SIGUSR2]))
        pid_of(shell)
        shell.type(key)
        shell.read_until(b"%d\r\n" % number)
        assert count(shell, number) == 1, shell.seen
    shell = Shell(s, catcher([signal.SIGWINCH, signal.SIGUSR2]))
    pid_of(shell)
    pty_size(shell.tty, 50)
    assert count(shell, signal.SIGWINCH) == 1, shell.seen


def pty_size(tty, rows):
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))


@test
def the_interrupt_key_ends_command_and_recorder(s):
    shell = Shell(s, ["sh", "-c", "echo $$ ready; exec sleep 60"])
    pid_of(shell)
    shell.type(b"\x03")
    status = shell.wait()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, status


@test
def stop_and_foreground(s):
    shell = Shell(s, catcher([signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2]))
    command = pid_of(shell)
    for _ in range(3):
        shell.type(b"\x1a")
        status = shell.wait()
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTSTP, status
        wait_for(lambda: state(command) == "T" and state(shell.job) == "T")
        shell.foreground()
        wait_for(lambda: state(command) == "S" and state(shell.job) == "S")
    os.kill(shell.job, signal.SIGUSR1)
    shell.read_until(b"%d\r\n" % signal.SIGUSR1)
    assert 3 <= count(shell, signal.SIGCONT) <= 6


@test
def a_command_that_stops_itself(s):
    shell = Shell(s, ["sh", "-c", "echo $$ ready; kill -STOP $$; echo again; exec sleep 60"])
    command = pid_of(shell)
    status = shell.wait()
    assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, status
    os.kill(shell.job, signal.SIGCONT)  # only the recorder: the command comes along
    shell.read_until(b"again\r\n")
    wait_for(lambda: state(command) == "S")
    os.kill(command, signal.SIGKILL)
    shell.foreground()
    assert os.WTERMSIG(shell.wait()) == signal.SIGKILL


@test
def reading_the_terminal_in_the_background(s):
    # In the background: a shell that is about to start a program (vfork) cannot stop.
    shell = Shell(s, ["sh", "-c", "sleep 0.5 & echo $$ ready; wait; read x; echo got $x"])
    pid_of(shell)
    shell.type(b"\x1a")
    assert os.WIFSTOPPED(shell.wait())
    os.killpg(shell.job, signal.SIGCONT)  # as bg does
    wait_for(lambda: state(shell.job) == "S")
    wait_for(lambda: state(shell.job) == "T")  # by the SIGTTIN of its read
    shell.foreground()
    shell.type(b"line\n")
    shell.read_until(b"got line\r\n")


@test
def threads_that_are_cancelled_while_they_wait_on_sockets(s):
    trace = s.same([program("socket_threads.cc")])
    calls = dict(trace.rows("SELECT call, count(*) FROM events WHERE verb IN ('send', 'recv', 'wait') GROUP BY 1"))
    assert calls["sendto"] >= 40000 and calls["recvfrom"] >= 40000 and calls["pselect6"] >= 2000, calls


main()
