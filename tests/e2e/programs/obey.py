# SPDX-License-Identifier: BSD-2-Clause
"""Evaluates each line that it reads, and writes what came of it."""
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time


def name_self(name):
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME


things = {}
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
