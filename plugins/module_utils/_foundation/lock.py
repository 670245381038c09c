# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process at a time: a lock that goes with its process, however that ends. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from .errors import CommandFailed

_POLL = 0.02  # s


class Busy(CommandFailed):
    """Another process holds the lock and did not give it back in time; nothing was changed."""


@contextlib.contextmanager
def exclusive(path: str, seconds: float, what: str) -> t.Iterator[None]:
    """Holds the lock file *path*, whose folder must exist; waits for it at most *seconds*. Raises Busy.

    *what* is the other's work, for the message: "Another change of the traffic".
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends = time.monotonic() + seconds
        while not _take(descriptor):
            if time.monotonic() >= ends:
                raise Busy(
                    f"{what} does not end.",
                    expected=f"the lock to be free within {seconds:g} s",
                    where=path,
                    next_step=f"see who holds it: fuser -v {path} (package psmisc)",
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def held(path: str) -> bool:
    """Whether somebody holds the lock file *path* at this moment. Leaves no trace."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _take(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _take(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
