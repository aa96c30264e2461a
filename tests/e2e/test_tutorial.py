#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/TUTORIAL.md is true: its commands run, and what it shows of their output comes. Costs 2 s.

Figures differ from run to run, and with them the order of rows. So of each line the words are compared, and each line
that is shown must have come; `...` and "and 6 spawns, ..." stand for what may differ.

    test_tutorial.py --write    runs them and puts what came into the file
"""
import os
import pty
import re
import shutil
import subprocess
import sys

from harness import IS_ROOT, ROOT, Trace, main, needs, read_terminal, test, workshop

TUTORIAL = os.path.join(ROOT, "docs/TUTORIAL.md")
PROMPT = "    $ "


def commands():
    """Yields (command, the lines of output that are shown)."""
    with open(TUTORIAL, encoding="utf-8") as f:
        blocks = f.read().split(PROMPT)[1:]
    for block in blocks:
        lines = block.split("\n")
        shown = []
        for line in lines[1:]:
            if line and not line.startswith("    "):
                break
            shown.append(line[4:])
        yield lines[0], [line for line in shown if line.strip()]


def on_terminal(command, folder, path):
    """Runs it on a wide terminal. Returns (status, lines of output)."""
    environment = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}", NO_COLOR="1", PAGER="cat", TERM="dumb", LC_ALL="C.UTF-8")
    master, slave = pty.openpty()
    child = subprocess.Popen(["bash", "-c", "stty cols 200 rows 60 -opost; " + command], cwd=folder, env=environment,
                             stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    out = read_terminal(master)
    return child.wait(), [line.rstrip() for line in out.decode().split("\n") if line.strip()]


def words(line):
    """The words of a line without figures, their units, and what gets another name in each run."""
    line = re.sub(r"\b[0-9a-f]{8}([0-9a-f]{24})?\b|/(tmp/)?ipctrace-[\w/-]+", "", line)
    line = re.sub(r"[<~]?\b[0-9][0-9.:]*(m[0-9.]+s)?( (ns|us|ms|s|B|KiB|MiB)\b)?", "", line)
    return tuple(re.findall(r"[A-Za-z_./\[\]()-]+", line))


def differs(line):
    return line == "..." or re.match("and [0-9]", line)


@test(users=("root" if IS_ROOT else "nobody",))
def the_commands_of_the_tutorial_show_what_it_shows(s):
    needs("gcc", "stty")
    folder, n = shutil.copytree(os.path.join(ROOT, "docs/tutorial"), s.path("slow")), 0
    for command, shown in commands():
        status, lines = on_terminal(command, folder, workshop())
        assert status == 0, f"{command}: status {status}\n" + "\n".join(lines)
        came = [words(line) for line in lines]
        for line in shown:
            assert differs(line) or words(line) in came, f"{command}: '{line}' did not come:\n" + "\n".join(lines)
        n += 1
    assert n >= 8, f"only {n} commands were found"
    before, after = (Trace(os.path.join(folder, name)) for name in ("ipctrace.db", "mended.db"))
    assert (before.edge("enrich", "lookup", "unix_stream")[0], after.edge("enrich", "lookup", "unix_stream")[0]) == (300, 8)
    before.check_sound()


def write():
    """Puts the output of each command behind it."""
    with open(TUTORIAL, encoding="utf-8") as f:
        text = f.read()
    folder = shutil.copytree(os.path.join(ROOT, "docs/tutorial"), os.path.join(workshop(), "slow"))
    for command, shown in commands():
        lines = on_terminal(command, folder, workshop())[1]
        old = PROMPT + command + "\n" + "".join(f"    {line}\n" for line in shown)
        assert old in text, command
        text = text.replace(old, PROMPT + command + "\n" + "".join(f"    {line}\n" for line in lines))
    with open(TUTORIAL, "w", encoding="utf-8") as f:
        f.write(text)
    shutil.rmtree(workshop())


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        main()
