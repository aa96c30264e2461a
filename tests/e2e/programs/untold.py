# SPDX-License-Identifier: BSD-2-Clause
"""untold.py GO: says that it runs, and waits until the file GO exists. Then, while nobody empties the recorder's
buffer: children without end fill it, and one more, `late`, is forked, opens a FIFO and writes to it. When GO is gone
again both go on."""
import os
import sys
import time

go = sys.argv[1]
print(os.getpid(), flush=True)
while not os.path.exists(go):
    time.sleep(0.01)
for _ in range(600):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
os.mkfifo("fifo")
late = os.fork()
end = os.open("fifo", os.O_RDONLY if late else os.O_WRONLY)
if not late:
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write("late")
    os.write(end, b"1234")
    print(os.getpid(), flush=True)
while os.path.exists(go):
    time.sleep(0.01)
if late:
    while os.read(end, 100):
        pass
    os.wait()
else:
    os.write(end, b"56789")
