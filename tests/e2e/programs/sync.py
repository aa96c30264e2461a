#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What multiprocessing makes of semaphores: a lock, a counter, a condition, a queue. Prints who took the lock how
often, as "lock PID N"."""
import multiprocessing
import os

CHILDREN, ROUNDS = 3, 100


def work(number, lock, total, semaphore, condition, turn, queue):
    for _ in range(ROUNDS):
        with lock:
            total.value += 1
    with semaphore:
        queue.put((number, os.getpid()))
    with condition:
        condition.wait_for(lambda: turn.value == number)
        turn.value += 1
        condition.notify_all()


def main():
    context = multiprocessing.get_context("fork")
    lock, semaphore, condition = context.Lock(), context.Semaphore(2), context.Condition()
    total, turn = context.Value("i", 0, lock=False), context.Value("i", 0, lock=False)
    queue = context.Queue()
    children = [context.Process(target=work, args=(i, lock, total, semaphore, condition, turn, queue))
                for i in range(CHILDREN)]
    for child in children:
        child.start()
    told = sorted(queue.get() for _ in children)
    for child in children:
        child.join()
    assert total.value == CHILDREN * ROUNDS and turn.value == CHILDREN, (total.value, turn.value)
    for number, pid in told:
        print("lock", pid, ROUNDS)


main()
