#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who ended a wait: the program arranged it, the kernel told the eBPF source."""
import os
import threading
import time

from harness import main, program, shorten, test

ROWS = """SELECT mechanism, replace(call, 'semtimedop', 'semop'), w.pid, b.pid, seen FROM waits w LEFT JOIN processes b ON b.id = woken_by_id
    WHERE w.comm = 'woken' ORDER BY w.start_ns + dur_ns"""


def write_from_outside(fifo, said):
    """When the program waits for it."""
    while not (os.path.exists(said) and "now" in open(said, encoding="ascii").read()):
        time.sleep(0.01)
    time.sleep(0.1)
    with open(fifo, "wb", buffering=0) as end:
        end.write(b"x")


@test(users=("root",))
def the_kernel_tells_who_woke_whom(s):
    fifo, said = s.path("fifo"), s.path("said")
    os.mkfifo(fifo)
    writer = threading.Thread(target=write_from_outside, args=(fifo, said), daemon=True)
    writer.start()
    result, trace = s.record(["sh", "-c", f"{program('woken.c')} {fifo} > {said}"], "bpf")
    assert result.status == 0, shorten(result)
    writer.join(10)
    with open(said, encoding="ascii") as out:
        told = [line.split()[1:] for line in out if line.startswith("woken ")]
    parent = int(told[0][2])
    wanted = [(mechanism, call, int(pid), int(by) or None, seen) for mechanism, call, pid, by, seen in told]
    # Of the children that are reaped afterwards nothing is said: they may be gone by then.
    found = [row for row in trace.rows(ROWS) if row[2] == parent and (row[1] != "wait4" or row in wanted)]
    assert found == wanted, "\n".join(map(str, found + ["wanted"] + wanted))
    trace.check_sound()


@test(users=("root",))
def what_nobody_ended_is_no_row(s):
    result, trace = s.record(["sh", "-c", "sleep 0.3 | timeout 0.1 cat"], "bpf")
    assert result.status == 124, shorten(result)
    assert not trace.rows("SELECT * FROM waits WHERE comm = 'cat' AND mechanism = 'pipe'")


main()
