# SPDX-License-Identifier: BSD-2-Clause
"""Packages of Debian that tests look into without installing them."""
import os
import subprocess

MIRROR = os.environ.get("MIRROR", "http://deb.debian.org/debian")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unable(Exception):
    """Why nothing can be tested here."""


def call(command, timeout=300):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    if done.returncode:
        raise Unable(f"{' '.join(command[:1] + command[-2:])}: {done.stdout.decode().strip()[-300:]}")
    return done.stdout.decode()


class Lists:
    """Package lists of our own, in this folder: the system's are left alone. kind: deb, or deb-src."""

    def __init__(self, folder, kind, suites):
        self.folder = folder
        os.makedirs(f"{folder}/lists/partial", exist_ok=True)
        with open(f"{folder}/sources.list", "w", encoding="ascii") as out:
            out.writelines(f"{kind} [signed-by={KEYS}] {MIRROR} {suite} main\n" for suite in suites)

    def apt(self, *words):
        if not os.path.isdir(f"{self.folder}/lists/auxfiles"):
            self.call("apt-get", "update", "-q")
        return self.call(*words)

    def call(self, *words):
        options = [f"Dir::Etc::sourcelist={self.folder}/sources.list", "Dir::Etc::sourceparts=/dev/null",
                   f"Dir::State::lists={self.folder}/lists", f"Dir::Cache={self.folder}"]
        return call([words[0], *(word for option in options for word in ("-o", option)), *words[1:]])
