# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request to the program on the host, taken apart, and the right to do what it asks. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import typing as t

from .._foundation.errors import BadInput, RolloutError
from .._state import journal, machine
from .._state import lease as leases
from .._state.run import Run
from .guard import Guard

LEASE_SECONDS = 120.0
RESUMED = "resume"
POLICIES = ("revert", RESUMED, "ask")

Result = dict[str, t.Any]


class TakenBack(RolloutError):
    """The release was refused while users had it, and this host has given them back the one before."""


class Call(t.NamedTuple):
    """One request, taken apart."""

    guard: Guard
    run: Run
    environment: str
    parameters: t.Mapping[str, t.Any]
    check: bool

    @property
    def lease_seconds(self) -> float:
        """How long the lease lasts from this step on: as the step says, else as long as the step before it said."""
        told = self.parameters.get("lease_seconds")
        if told:
            return float(told)
        lease = leases.read(self.guard.folder)
        return lease.seconds if lease is not None and lease.id == self.run.id else LEASE_SECONDS

    @property
    def guarded(self) -> bool:
        """Whether the switch needs an armed guard; only the parameter guarded: false says no."""
        return self.parameters.get("guarded", True) is not False

    @property
    def policy(self) -> str:
        """What is done about an unconfirmed switch of an earlier run: revert, resume or ask. Raises BadInput."""
        policy = str(self.parameters.get("recovery") or "revert")
        if policy not in POLICIES:
            raise BadInput(
                "It is not clear what to do about what an earlier run left.",
                expected=f"rollout_recovery: {', '.join(POLICIES)}",
                found=policy,
            )
        return policy

    def alive(self) -> None:
        """Renews the lease. Raises LeaseLost when it is another run's: then this one may not change anything more."""
        if self.check:
            return
        leases.renew(self.guard.folder, self.run, self.lease_seconds, self.guard.clock)

    def may(self, step: str) -> None:
        """Raises LeaseLost or ForbiddenStep when this run may not do *step* now."""
        if self.check:
            return
        self.alive()
        # A plan that gives up the guard by name needs no arm before its switch, only a run that has begun.
        needed = "drain" if step == "switch" and not self.guarded else step
        folder = self.guard.folder
        last = machine.standing(journal.read(folder, journal.NEWEST_RUN)) or machine.standing(journal.read(folder))
        machine.check_transition(last, self.run, needed)

    @contextlib.contextmanager
    def alone(self, step: str) -> t.Iterator[None]:
        """Does what may() does, and nobody else changes anything until the block ends.

        A run that lost its lease while it waited for the lock must not go on with what it asked before.
        """
        with self.guard.alone():
            self.may(step)
            yield
