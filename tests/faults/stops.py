# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs the hook on test hosts, asks it to stop a process at a journal line, and lets that process go on."""

from __future__ import annotations

import json
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from ..lab import hosts
from ..lab.engine import docker
from ..lab.state import Lab
from . import hook

NAME = "rollout_faults"
LONGEST_STOP = 90.0
#: Units may write nowhere but where they must: those of guard and watch here, too, so that they can stand at a line.
DROP_INS = tuple(f"/etc/systemd/system/rollout-{unit}@.service.d/faults.conf" for unit in ("guard", "watch"))
_FIND = "import glob; print(*glob.glob('/usr/local/lib/python3.*/dist-packages'))"


def install(lab: Lab, names: t.Sequence[str]) -> None:
    """Puts the hook on the hosts *names*."""
    source = Path(hook.__file__).read_text(encoding="utf-8")
    for name in names:
        for folder in _folders(lab, name):
            hosts.put_files(
                lab.container(name),
                [
                    hosts.File(f"{folder}/{NAME}.py", source, 0o644),
                    hosts.File(f"{folder}/{NAME}.pth", f"import {NAME}\n", 0o644),
                    *(hosts.File(path, f"[Service]\nReadWritePaths=-{hook.FOLDER}\n", 0o644) for path in DROP_INS),
                ],
            )
        docker("exec", lab.container(name), "systemctl", "daemon-reload")


def remove(lab: Lab, names: t.Sequence[str]) -> None:
    """Takes the hook off the hosts *names* again."""
    for name in names:
        files = [f"{folder}/{NAME}{ending}" for folder in _folders(lab, name) for ending in (".pth", ".py")]
        files += [hook.FOLDER, *DROP_INS]
        docker("exec", lab.container(name), "rm", "--force", "--recursive", *files, accepted=range(256))
        docker("exec", lab.container(name), "systemctl", "daemon-reload", accepted=range(256))


def _folders(lab: Lab, name: str) -> list[str]:
    return docker("exec", lab.container(name), "python3", "-I", "-S", "-c", _FIND).output.split()


def control(step: str, point: str, *, guard: bool = False) -> dict[str, t.Any]:
    """Returns the content of the control file for *point* of *step*, of a run or of the guard itself. Pure."""
    return {
        "guard": guard,
        "step": step,
        "phase": "begin" if point == "before" else "end",
        "when": "after" if point == "after" else "before",
        "seconds": LONGEST_STOP,
    }


class Stop:
    """One stop on one host; everything goes by way of the engine, never through the network that is cut."""

    def __init__(self, lab: Lab, host: str, step: str, point: str, *, guard: bool = False) -> None:
        self.container = lab.container(host)
        self.line: dict[str, t.Any] = {}
        self._watch: subprocess.Popen[str] | None = None
        docker(
            *("exec", "--interactive", self.container, "sh", "-c"),
            f"mkdir -p {hook.FOLDER} && rm -f {hook.STOPPED} && cat > {hook.CONTROL}",
            standard_input=json.dumps(control(step, point, guard=guard)),
        )
        self._watch = subprocess.Popen(
            [
                *("docker", "exec", self.container, "sh", "-c"),
                f"until [ -s {hook.STOPPED} ]; do [ -e {hook.CONTROL} ] || exit 1; sleep 0.1; done; cat {hook.STOPPED}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def reached(self, still_runs: t.Callable[[], bool], seconds: float) -> bool:
        """Waits until a process stands at the line. False when the run ended before, or *seconds* passed."""
        assert self._watch is not None
        ends = time.monotonic() + seconds
        while self._watch.poll() is None:
            if not still_runs() or time.monotonic() > ends:
                self.release()
                return False
            time.sleep(0.05)
        output = self._watch.communicate()[0]
        if self._watch.returncode != 0:
            raise RolloutError("The watch over the stop broke off.", where=self.container)
        self.line = json.loads(output)
        return True

    def kill(self) -> None:
        """Kills the process that stands at the line, before it writes it."""
        docker("exec", self.container, "sh", "-c", f"kill -KILL {int(self.line['held'])}")

    def release(self) -> None:
        """Lets the process go on. A host that has rebooted has forgotten the stop already.

        A watch that does not end is ended: whoever releases is tidying up, and has more to tidy up after this.
        """
        docker("exec", self.container, "rm", "--force", hook.CONTROL, hook.STOPPED, accepted=range(256), deadline=20)
        if self._watch is not None and self._watch.poll() is None:
            try:
                self._watch.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._watch.kill()
                self._watch.wait()
