# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees: one line per step with its seconds, and a sign of life in every silence."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed

SILENCE_SECONDS = 8.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_screen = threading.Lock()


def say(text: str) -> None:
    """Writes one line for people. Results for programs go to standard output instead."""
    with _screen:
        print(text, file=sys.stderr, flush=True)


class Step:
    """One step that is shown when it ends, and while it lasts longer than SILENCE_SECONDS."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.note = ""
        self.last_line = ""
        self._started = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> Step:
        self._started = time.monotonic()
        threading.Thread(target=self._heartbeat, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._ended.set()
        note = f"  {self.note}" if self.note else ""
        verdict = "" if kind is None else "  FAILED"
        say(f"  {self.title:<52} {self.seconds():6.1f} s{note}{verdict}")

    def seconds(self) -> float:
        """Returns the seconds since the step began."""
        return time.monotonic() - self._started

    def _heartbeat(self) -> None:
        while not self._ended.wait(SILENCE_SECONDS):
            last = f" ({self.last_line[:90]})" if self.last_line else ""
            say(f"    ... {self.title}: {self.seconds():.0f} s{last}")


def watched(step: Step, arguments: t.Sequence[str], *, next_step: str | None = None, **options: t.Any) -> None:
    """Runs a long program; its last line is shown while it works, its last ten lines when it fails.

    *options* go to subprocess.Popen. Raises CommandFailed.
    """
    lines: list[str] = []
    options.setdefault("stdin", subprocess.DEVNULL)
    with subprocess.Popen(
        list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", **options
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = _COLOURS.sub("", line).strip()
            if text:
                step.last_line = text
                lines.append(text)
    if process.returncode != 0:
        raise CommandFailed(
            f"{arguments[0]} failed with exit code {process.returncode}.",
            found="\n    ".join(lines[-10:]) or "no output",
            where=" ".join(arguments),
            next_step=next_step,
        )
