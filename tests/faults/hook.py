# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds a process at an exact line of the journal. Runs on test hosts, inside every Python there; stands alone.

Installed beside a .pth file that imports it, so it is in programs and modules alike, and the product knows nothing of
it. Without the control file it does nothing. With it, the first process that is about to write the line of that step
and phase to a journal.ndjson waits, before or after the write, until the control file goes or its deadline passes.
The control file: {"step", "phase": begin|end, "when": before|after, "guard": whether its line is the guard's own,
"seconds": longest wait}.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

FOLDER = "/run/rollout-faults"
CONTROL = f"{FOLDER}/stop.json"
#: Made by the process that waits, with the line inside and its own number as "held".
STOPPED = f"{FOLDER}/stopped"
POLL_SECONDS = 0.02


def wanted(control: dict[str, object], data: bytes) -> bool:
    """Whether *data* is the line that *control* names: one of a run, or one of the guard itself. Pure."""
    try:
        line = json.loads(data)
    except ValueError:
        return False
    return (
        isinstance(line, dict)
        and (line.get("step"), line.get("phase")) == (control["step"], control["phase"])
        and (line.get("actor") == "guard") == bool(control.get("guard"))
    )


def wait(line: str, seconds: float) -> None:
    """Waits until the control file is gone; only the first process does."""
    try:
        descriptor = os.open(STOPPED, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return  # somebody else was first, or this process may not write here
    _write(descriptor, json.dumps({**json.loads(line), "held": os.getpid()}).encode("utf-8"))
    os.close(descriptor)
    ends = time.monotonic() + seconds
    while os.path.exists(CONTROL) and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)


def install() -> None:
    """Puts a watch on os.write."""
    with open(CONTROL, encoding="utf-8") as handle:
        control = json.load(handle)

    def watched(descriptor: int, data: bytes) -> int:
        hit = os.readlink(f"/proc/self/fd/{descriptor}").endswith("/journal.ndjson") and wanted(control, data)
        if hit and control["when"] == "before":
            wait(bytes(data).decode("utf-8", "replace"), control["seconds"])
        written = _write(descriptor, data)
        if hit and control["when"] == "after":
            os.fsync(descriptor)
            wait(bytes(data).decode("utf-8", "replace"), control["seconds"])
        return written

    os.write = watched  # type: ignore[assignment]


_write = os.write
if os.path.exists(CONTROL) and __name__ == "rollout_faults":
    with contextlib.suppress(OSError, ValueError):  # the control file has just gone
        install()
