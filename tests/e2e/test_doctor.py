#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""ipctrace doctor: what it says is so, and its status too."""
import json
import os
import re
import shutil

from harness import Skip, main, program, shorten, test

USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def doctor(s, prefix=(), status=0):
    """{(part, name): (state, text)}"""
    result = s.run([*prefix, s.ipctrace, "doctor"])
    found = {}
    for line in result.out.decode().splitlines():
        match = re.fullmatch(r"(ok|no|--)  (shim|eBPF)  (\S.{14}) (\S.*)", line)
        assert match, line
        found[match[2], match[3].rstrip()] = match[1], match[4]
    missing = 3 if "no" in {state for (part, _), (state, _) in found.items() if part == "shim"} else 1
    assert result.status == (missing if status is None else status) and not result.err, (status, shorten(result), found)
    return found


def loads(s, prefix=()):
    """Whether eBPF does record."""
    return s.run([*prefix, s.ipctrace, "-q", "--source=bpf", "-o", s.new_trace(), "--", "true"]).status == 0


@test(users=("root",))
def root_can_do_all(s):
    if not loads(s):
        raise Skip("eBPF cannot be used here")
    found = doctor(s)
    assert {state for state, _ in found.values()} <= {"ok", "--"}, found
    assert [name for part, name in found if part == "eBPF"][:5] == ["kernel", "BTF", "lockdown", "capabilities", "programs"]
    assert re.search(r"\d+ places", found["shim", "libc"][1]), found


@test(users=("root",))
def json_says_the_same(s):
    found = doctor(s)
    rows = json.loads(s.run([s.ipctrace, "doctor", "--json"]).out)
    told = {(row["part"], row["name"]): row["state"] for row in rows}
    assert told == {key: state for key, (state, _) in found.items()}, rows


@test(users=("nobody",))
def a_user_can_do_what_the_shim_can(s):
    found = doctor(s, status=1)
    assert {state for (part, _), (state, _) in found.items() if part == "shim"} <= {"ok", "--"}, found
    assert found["eBPF", "capabilities"] == ("no", "eBPF needs root or CAP_BPF and CAP_PERFMON: run with sudo"), found
    assert ("eBPF", "programs") not in found and not loads(s)


@test(users=("root",))
def two_capabilities_are_enough_and_one_is_not(s):
    if not loads(s):
        raise Skip("eBPF cannot be used here")
    both = USER + ["--inh-caps=+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon"]
    found = doctor(s, both)
    assert found["eBPF", "capabilities"] == ("ok", "CAP_BPF and CAP_PERFMON"), found
    assert loads(s, both)
    for one, other in (("bpf", "CAP_PERFMON)"), ("perfmon", "(CAP_BPF is missing)")):
        alone = USER + [f"--inh-caps=+{one}", f"--ambient-caps=+{one}"]
        found = doctor(s, alone, 1)
        assert found["eBPF", "capabilities"][0] == "no" and not loads(s, alone), found


@test(users=("root",))
def what_is_missing_is_told(s):
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o noexec none /dev/shm && mount -t tmpfs none /sys/kernel/btf '
              '&& exec "$@"', "sh"]
    if s.run([*hidden, "true"]).status:
        raise Skip("nothing can be mounted here")
    found = doctor(s, hidden, 1)
    assert found["eBPF", "BTF"][0] == "no" and "CONFIG_DEBUG_INFO_BTF" in found["eBPF", "BTF"][1], found
    assert found["shim", "prepared libc"][0] == "--", found
    assert ("eBPF", "programs") not in found
    full = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"', "sh"]
    found = doctor(s, full, 3)
    assert found["shim", "library"][0] == "no" and "remount" in found["shim", "library"][1], found


def mounted(*commands):
    """A prefix that runs a command with these mounts, which nobody else sees."""
    return ["unshare", "-m", "sh", "-ec", "; ".join(commands) + '; exec "$@"', "sh"]


@test(users=("root",))
def what_is_only_worse_is_told_too(s):
    """Each thing is taken away, and doctor tells of it alone; recording goes on without."""
    source = s.path("clocksource")
    with open(source, "w", encoding="ascii") as file:
        file.write("hpet\n")
    for name, said, prefix in (
            ("buffer", "remount,size=", mounted("mount -t tmpfs -o size=100m none /dev/shm")),
            ("clock", "clock_gettime", mounted(f"mount --bind {source} /sys/devices/system/clocksource/clocksource0/current_clocksource")),
            ("other processes", "hidepid", mounted("mount -t proc -o hidepid=2 none /proc")),
            ("descriptors", "100 (ulimit -n): ", ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"]),
            ("file size", "a trace may have 488 MiB", ["sh", "-c", 'ulimit -f 1000000; exec "$@"', "sh"]),
            ("trace file", "-o FILE", ["sh", "-c", 'cd /; exec "$@"', "sh"])):
        if s.run([*prefix, "true"]).status:
            continue  # no such mount here
        found = doctor(s, prefix + USER, 1)
        shim = {key: value for key, value in found.items() if key[0] == "shim" and value[0] != "ok"}
        assert list(shim) == [("shim", name)], (name, shim)
        assert shim["shim", name][0] == "--" and said in shim["shim", name][1], shim
        assert found["shim", "trial"][0] == "ok", found


@test
def where_new_code_is_forbidden(s):
    """A libc that the recorder prepared is not new code. Without it nothing is recorded, and so it is told."""
    forbid = (USER if s.user == "root" else []) + [program("nocode.c")]
    if s.run([*forbid, "true"]).status == 77:
        raise Skip("the kernel has no PR_SET_MDWE")
    found = doctor(s, forbid, 1)
    assert found["shim", "new code"][0] == "--" and found["shim", "trial"][0] == "ok", found
    noexec = mounted("mount -t tmpfs -o noexec none /dev/shm")
    if s.user == "root" and not s.run([*noexec, "true"]).status:
        found = doctor(s, noexec + forbid, None)
        state, said = found["shim", "trial"]
        assert (state, said.split()[-1]) in (("no", "no-patch"), ("--", "(libc-internal)")), found


@test
def without_the_shim_beside_it(s):
    alone = s.path("ipctrace")
    shutil.copy(s.ipctrace, alone)
    os.chmod(alone, 0o755)
    result = s.run([alone, "doctor"])
    assert result.status == 3 and result.out.startswith(b"no  shim  library         libipctrace.so is neither"), shorten(result)


@test
def nothing_is_left_behind(s):
    before = set(os.listdir("/dev/shm"))
    doctor(s, status=0 if s.user == "root" and loads(s) else 1)
    mine = [name for name in set(os.listdir("/dev/shm")) - before
            if name.startswith("ipctrace-") and not os.path.exists(f"/dev/shm/{name}")]
    assert not mine, mine


if __name__ == "__main__":
    main()
