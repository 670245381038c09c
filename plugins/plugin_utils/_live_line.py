# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line at the bottom of a terminal that says what a run is doing. PRIVATE."""

from __future__ import annotations

import os
import threading
import time
import typing as t

from ansible import constants
from ansible.utils.color import stringc
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _progress as words

ERASE_LINE = "\r\x1b[K"


class LiveLine:
    """The last line of a terminal: written again and again, and gone before anything else is written.

    Warnings, and lines that an action plugin displays from its worker, reach the terminal without any callback. So the
    line watches the two streams that all of it passes through, and makes room when somebody writes. Nothing in Display
    is replaced; its lock is held while anything is drawn, for Ansible takes the same lock when it forks a worker, and a
    thread that holds a stream at that moment would leave the worker hanging.
    The line is cut to the width of the terminal: one that wraps can no longer be erased by going back to its begin.
    """

    def __init__(self, stream: t.Any, lock: t.Any) -> None:
        self._stream, self._lock = stream, lock
        self._write = stream.write
        self._process = os.getpid()
        self._ended = threading.Event()
        self._title = self._work = ""
        self._since = 0.0
        self._verdicts: dict[str, tuple[str, ...]] = {}  # of gates, by host
        self._title_stands = self._shown = self._half_a_line = False

    def start(self, *streams: t.Any) -> None:
        """Watches *streams*, and lets the seconds run."""
        for stream in streams:
            # On the object, as Display itself does it with the buffers of both: whoever holds the stream is seen.
            stream.write = self._watched(stream.write)
        # A daemon: the end of the process never waits for it.
        threading.Thread(target=self._tick, name="progress", daemon=True).start()

    def begin(self, title: str) -> None:
        """Shows the phase *title* until it ends."""
        with self._lock:
            self._title, self._work, self._since, self._title_stands = title, "", time.monotonic(), False
            self._verdicts = {}
            self._draw()

    def work(self, text: str) -> None:
        """Shows what the phase is doing."""
        with self._lock:
            self._work = text
            self._draw()

    def end(self) -> None:
        """Leaves the place to the line that stays."""
        with self._lock:
            self._erase()
            self._title = ""

    def stop(self) -> None:
        """Never draws again."""
        self._ended.set()
        self.end()

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            try:
                with self._lock:
                    self._draw()
            except (OSError, ValueError):
                return  # the terminal has gone

    def _watched(self, write: t.Callable[[str], int]) -> t.Callable[[str], int]:
        def watched(text: str) -> int:
            with self._lock:
                # A worker inherits the streams for the moment until it has let go of them.
                if text and os.getpid() == self._process:
                    if self._title and self._updates(text):
                        return len(text)
                    self._make_room()
                    self._half_a_line = not text.endswith("\n")
                return write(text)

        return watched

    def _updates(self, text: str) -> bool:
        """Whether *text* is new numbers of gates whose verdicts are known: these are shown in place and do not stay."""
        found = words.gate_line(text)
        if found is None:
            return False
        host, verdicts = found
        known, self._verdicts[host] = self._verdicts.get(host), verdicts
        if known != verdicts:
            return False
        self._work = words.without_color(text).strip()
        self._draw()
        return True

    def _make_room(self) -> None:
        self._erase()
        if self._title and not self._title_stands:
            self._write(f"{self._title}\n")
            self._title_stands = True

    def _erase(self) -> None:
        if self._shown:
            self._write(ERASE_LINE)
            self._stream.flush()
            self._shown = False

    def _draw(self) -> None:
        # Half a line is a question: the answer is being typed.
        if not self._title or self._half_a_line or self._ended.is_set():
            return
        line = words.live_line(self._title, time.monotonic() - self._since, self._work, self._columns() - 1)
        self._write(f"{ERASE_LINE}{stringc(line, constants.COLOR_SKIP)}")
        self._stream.flush()
        self._shown = True

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80
