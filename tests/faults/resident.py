# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One looker that stays on each host: a look costs an answer, not the start of a Python on a busy machine."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
import typing as t
from pathlib import Path

from . import looker, looks
from .looks import Look

#: Longer than the slowest look, with a HAProxy that does not answer.
ANSWER_SECONDS = 30.0
_CHUNK = 1 << 20


class Looker:
    """The looker of one host, started by *command* when it is needed, and anew when it has gone with its host."""

    def __init__(self, command: t.Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._question = b""

    def ask(self, first: int, *, full: bool = False) -> None:
        """Asks for journal lines from number *first* on and the rest; answer() must follow."""
        self._question = f"{first}{' full' if full else ''}\n".encode()
        if not self._send():
            self.close()
            self._send()

    def answer(self) -> Look | None:
        """Returns what was asked for, or None when the host does not run."""
        line = self._receive()
        if line is None:
            # It may have rebooted since the look before: only then there is somebody to ask again.
            self.close()
            line = self._receive() if self._send() else None
        if line is None:
            self.close()
            return None
        return looks.parse(line.decode("utf-8"))

    def close(self) -> None:
        """Ends it."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()  # on the host it ends when nobody can ask any more
        process.kill()
        process.wait()
        process.stdout.close()

    def _send(self) -> bool:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the suite, which then tidies up
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(self._question)
        except OSError:
            return False
        return True

    def _receive(self) -> bytes | None:
        if self._process is None:
            return None
        assert self._process.stdout is not None
        descriptor, ends, line = self._process.stdout.fileno(), time.monotonic() + ANSWER_SECONDS, b""
        while not line.endswith(b"\n"):
            ready, _writable, _failed = select.select([descriptor], [], [], max(0.0, ends - time.monotonic()))
            chunk = os.read(descriptor, _CHUNK) if ready else b""
            if not chunk:
                return None
            line += chunk
        return line


def in_container(container: str) -> Looker:
    """Returns the looker of a test host; it goes by way of the engine, never through the network that is cut."""
    program = Path(looker.__file__).read_text(encoding="utf-8")
    # -S: without the hook, which is for the product's own processes.
    python = ("python3", "-I", "-S", "-c", program, looks.APPLICATION)
    return Looker(["docker", "exec", "--interactive", container, *python])


def ask_all(lookers: t.Mapping[str, Looker], first: t.Mapping[str, int], *, full: bool) -> dict[str, Look | None]:
    """Returns what every host shows, all asked at the same time; *first* as in ask, 0 where it does not say."""
    for name, one in lookers.items():
        one.ask(first.get(name, 0), full=full)
    return {name: one.answer() for name, one in lookers.items()}
