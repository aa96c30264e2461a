# SPDX-License-Identifier: BSD-2-Clause
"""The self-tests of real programs: the list of results (name of a test -> what came of it) is the same traced as untraced.

Some are unstable by themselves. So what comes out differently is run again alone, side by side, some times: a test
whose results are ever the same, or that does not come out the same untraced, proves nothing, and is told as unstable.
"""
import concurrent.futures
import os

from harness import Skip, run, script

PYTHON = "/usr/bin/python3"
AGAIN = 4  # times that what came out differently is run again


def side_by_side(*functions):
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [result.result() for result in [pool.submit(function) for function in functions]]


def differing(one, other):
    return sorted(name for name in set(one) | set(other) if one.get(name) != other.get(name))


def compare(run_untraced, run_traced, untraced_runs=1):
    """Each takes the names of tests (None: all) and returns {name: result}. Prints what was compared."""
    *plain, traced = side_by_side(*[lambda: run_untraced(None)] * untraced_runs, lambda: run_traced(None))
    assert plain[0], "no test ran"
    unstable = {name for other in plain[1:] for name in differing(plain[0], other)}
    wrong = []
    for name in differing(plain[0], traced):
        if name in unstable:
            continue
        seen = plain[0].get(name), traced.get(name)
        if is_unstable(name, run_untraced, run_traced):
            unstable.add(name)
        else:
            wrong.append(f"{name}: untraced {seen[0]}, traced {seen[1]}")
    print(f"# {len(plain[0])} results, {len(plain[0]) - len(unstable) - len(wrong)} compared the same")
    if unstable:
        print("# unstable, left out: " + ", ".join(sorted(unstable)))
    assert not wrong, "results differ:\n" + "\n".join(wrong)


def is_unstable(name, run_untraced, run_traced):
    untraced = set()
    for _ in range(AGAIN):
        plain, traced = side_by_side(lambda: run_untraced([name]), lambda: run_traced([name]))
        untraced.add(plain.get(name))
        if plain.get(name) == traced.get(name):
            return True
    return len(untraced) > 1


def python(s, names, untraced_runs=1, timeout=600):
    """The tests of these names, of the package libpython3.11-testsuite, as python3 -m unittest takes them."""
    if run([PYTHON, "-c", "import test.test_subprocess, test.support"]).status:
        raise Skip("no libpython3.11-testsuite here")
    suite, runs = script("suite.py"), []

    def execute(traced, wanted):
        folder = s.path(f"python-{len(runs)}")
        runs.append(folder)
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        command = [PYTHON, suite, "results", *([name.split(" ")[0] for name in wanted] if wanted else names)]
        options = {"cwd": folder, "timeout": timeout, "env": dict(os.environ, TMPDIR=folder, HOME=folder)}
        if traced:
            s.record(command, **options)
        else:
            s.run(command, **options)
        with open(f"{folder}/results", encoding="utf-8") as lines:
            return dict(line.rstrip("\n").split("\t", 1) for line in lines)

    compare(lambda wanted: execute(False, wanted), lambda wanted: execute(True, wanted), untraced_runs)
