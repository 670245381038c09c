# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a playbook as an operator starts it, and the real signals that end it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from ..lab.paths import ROOT

#: A closed terminal and Ctrl-C reach every process of the group, kill and a supervisor only the one that they know.
WHOLE_GROUP = ("INT", "HUP", "KILL")
#: What the verdicts read is what Ansible itself prints.
PLAIN = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
MARK = "ROLLOUT_FAULT_CASE"
_NAME = re.compile(r"\b((?:lb|app)\d): ")
_FOUND = re.compile(r"(lb\d): ((?:Found|Took over|Broke|The guard has acted|Only slot)\b.+?)(?=\s+lb\d: |\s+- |\n|$)")


class Times(t.NamedTuple):
    """How long the guard waits for a confirmation, and a lease keeps others out, in seconds."""

    guard: float = 12.0
    lease: float = 6.0


def command(verb: str, version: str | None, inventory: Path, times: Times) -> list[str]:
    """Returns the command line of *verb*. Pure."""
    return [
        # A controller is another machine; here it shares cores with the hosts, whose guards have deadlines to keep.
        *("nice", "-n", "10"),
        # Whoever started the suite may have told its children to ignore signals, as nohup does.
        *("env", "--default-signal=HUP,INT,TERM", "ansible-playbook", f"playbooks/{verb}.yml"),
        *("-i", "inventories/lab/groups.yml", "-i", str(inventory)),
        *(("-e", f"rollout_version={version}") if verb == "deploy" else ()),
        *("-e", f"rollout_guard_deadline={times.guard:g}", "-e", f"rollout_lease_seconds={times.lease:g}"),
        # The login that preflight tries is no step of a run, and 1 s of work on cores that are busy.
        *("-e", '{"rollout_allow": ["short_guard", "short_lease"], "rollout_check_login": false}'),
    ]


class Run:
    """One running playbook; its output goes to the file *output*."""

    def __init__(self, arguments: t.Sequence[str], output: Path, mark: str) -> None:
        self.output = output
        self.mark = mark
        self.started = time.time()
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **PLAIN, MARK: mark},
            )

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, name: str) -> None:
        """Sends a signal to the leader or, as a terminal does, to its whole group."""
        number = getattr(signal, f"SIG{name}")
        if name in WHOLE_GROUP:
            os.killpg(self._process.pid, number)
        else:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Returns the exit code, or None when it still runs after *seconds*."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Kills what is left of it: the leader, and workers that outlived their leader. Nothing of anybody else."""
        for pid in [self._process.pid, *self.left()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.wait(10)

    def left(self) -> list[int]:
        """Returns the processes of this run that still live, without the SSH connections that all runs share."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"{MARK}={self.mark}\0".encode() in (folder / "environ").read_bytes() + b"\0"
                if mine and b"[mux]" not in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def text(self) -> str:
        """Returns everything that was printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def found_in(output: str) -> list[str]:
    """Returns what a run says it found of an earlier one, one sentence a host. Pure."""
    flat = output.replace("\\n", "\n")
    return sorted({f"{host}: {' '.join(words.split())}" for host, words in _FOUND.findall(flat)})


def told_of(host: str, output: str) -> str:
    """Returns everything that a run prints behind the name of *host* (``lb1: ...``), in one line. Pure."""
    _before, *parts = _NAME.split(" ".join(output.replace("\\n", "\n").split()))
    return " ".join(words for name, words in zip(parts[::2], parts[1::2]) if name == host)


def short(sentence: str) -> str:
    """Returns such a sentence in a few words: host, how far the earlier run came, and what was done. Pure."""
    host = sentence.split(":", 1)[0]
    if "Found " not in sentence:
        lease = "broke" if "Broke " in sentence else "took over" if "Took over " in sentence else None
        return f"{host} {lease} the lease" if lease else f"{host} was left to its guard"
    came = re.search(r"cut off (in|after) step (\w+)", sentence)
    done = re.search(r"Now: ([^.]+)\.", sentence)
    place = f"{came[1]} {came[2]}" if came else "armed" if "the guard of" in sentence else "unfinished"
    return f"{host} {place}" + (f": {done[1]}" if done else "")
