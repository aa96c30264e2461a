# SPDX-License-Identifier: BSD-2-Clause
"""The reference programs' shapes, and what of a trace their ledgers tell."""
import json

SHAPES = {
    "one pair": ["--messages", "60"],
    "many to one": ["--messages", "40", "--producers", "3"],
    "one to many": ["--messages", "60", "--consumers", "3"],
    "many to many": ["--messages", "40", "--producers", "3", "--consumers", "2"],
    "non-blocking": ["--messages", "60", "--nonblocking"],
    "killed": ["--messages", "40", "--producers", "2", "--kill"],
    "killed pair": ["--messages", "41", "--kill"],
    "sizes": ["--messages", "40", "--size", "64-3000", "--seed", "7"],
    "large": ["--messages", "10", "--size", "100000", "--nonblocking"],
}
TOTALS = """SELECT p.pid, sum(n.sends), sum(n.receives), sum(n.bytes_sent), sum(n.bytes_received)
    FROM endpoints n JOIN channels c ON c.id = n.channel_id JOIN processes p ON p.id = n.process_id
    WHERE c.mechanism = ? AND n.sends + n.receives > 0 AND p.coverage NOT IN ('untraced', 'remote') GROUP BY 1"""
EDGES = """SELECT coalesce(src_pid, 0), coalesce(dst_pid, 0), sum(messages), sum(bytes), min(exact) FROM edges
    WHERE mechanism = ? GROUP BY 1, 2"""


def load(path):
    with open(path, encoding="ascii") as f:
        return json.load(f)
