# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of the slots of an application host: one at a time, by the newest run only, in the journal. PRIVATE.

An application host keeps no lease. It remembers the newest run that changed it, and refuses every older one. The lock
is the kernel's: it is free the moment its holder dies, so that who holds it is certainly at work.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.lock import exclusive, held
from .._state import journal, machine
from .._state import lease as leases
from .._state.run import Run

LOCK_FILE = ".change.lock"
LOCK_SECONDS = 300.0
_WHAT = "Another change of the slots of this host"


@contextlib.contextmanager
def alone(folder: str, seconds: float = LOCK_SECONDS) -> t.Iterator[None]:
    """One change at a time; waits at most *seconds* for the one before. Raises Busy."""
    durable.make_folder(folder)
    with exclusive(os.path.join(folder, LOCK_FILE), seconds, _WHAT):
        yield


@contextlib.contextmanager
def change(folder: str, run: Run, step: str, clock: Clock, *, detail: str | None = None) -> t.Iterator[None]:
    """Alone, with begin and end of *step* and its *detail* in the journal.

    Raises LeaseLost first when a newer run was here, or Busy.
    """
    with alone(folder):
        leases.fence(folder, run, clock)
        with journal.step(folder, run, step, clock, detail=detail):
            yield


def at_work(folder: str) -> journal.Entry | None:
    """Returns the begin of the step that changes the slots of this host at this moment, or None. Leaves no trace."""
    return unended(folder) if held(os.path.join(folder, LOCK_FILE)) else None


def unended(folder: str) -> journal.Entry | None:
    """Returns the begin of the newest step on the slots of this host that has no end, or None: it is being done, or
    died."""
    # A host may be load balancer, too: steps of that kind stand in the same journal.
    mine = [entry for entry in journal.read(folder) if entry.step in machine.APPLICATION_STEPS]
    return mine[-1] if mine and mine[-1].phase == "begin" else None
