# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samplers whose library may wait longer than it was told to, kept to their time all the same. PRIVATE."""

from __future__ import annotations

import socket
import threading
import typing as t

from .._foundation.errors import RolloutError
from .gate import GRACE
from .http_check import excerpt
from .look import Look, Sampler, broken
from .masking import Hide
from .verdict import ERROR


class Bounded:
    """Lets *sampler* look for at most *timeout* seconds, in a thread that is left behind when it does not come back.

    Nothing new begins while a look still hangs, so that no more than one of them ever does. *silence* is the verdict
    when nothing answered for the whole *timeout*; a shorter silence proves nothing and is an error. *sampler* may raise
    TimeoutError for silence, and RolloutError for what it can never ask.
    """

    def __init__(self, sampler: Sampler, timeout: float, silence: str = ERROR) -> None:
        self._sampler = sampler
        self._timeout = timeout
        self._silence = silence
        self._thread: threading.Thread | None = None

    def __call__(self, allowed: float) -> Look:
        """Takes one look in at most *allowed* seconds; comes back at the latest GRACE seconds after them."""
        seconds = max(0.0, min(allowed, self._timeout))
        if self._thread is not None and self._thread.is_alive():
            return Look(self._silence, ["connection: the look before still waits for an answer"])
        looks: list[Look] = []
        self._thread = threading.Thread(target=self._run, args=(seconds, looks), daemon=True)
        self._thread.start()
        self._thread.join(seconds + GRACE)
        return looks[0] if looks else self._silent(seconds)

    def _run(self, seconds: float, looks: list[Look]) -> None:
        try:
            looks.append(self._sampler(seconds))
        except (socket.timeout, TimeoutError):
            looks.append(self._silent(seconds))
        except RolloutError as error:
            looks.append(broken(one_line(error)))
        except Exception as error:  # its text is not told: of a kind that nobody expects it may hold a secret
            looks.append(broken(f"the sampler broke: {type(error).__name__}"))

    def _silent(self, seconds: float) -> Look:
        words = f"connection: no answer within {seconds:.3g} s"
        if seconds < self._timeout:
            return broken(f"{words}, which is less than its timeout of {self._timeout:.3g} s")
        return Look(self._silence, [words])


def one_line(told: t.Any, hide: Hide = str) -> str:
    """Returns at most 300 printable characters of *told*, on one line, without what *hide* takes out."""
    return excerpt(str(told).encode("utf-8", errors="replace"), hide)
