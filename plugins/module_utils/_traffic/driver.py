# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load balancer must be able to do, whichever it is. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .._foundation.errors import CommandFailed
from .pointer import Pointer


class NotRunning(CommandFailed):
    """Nobody listens where the load balancer answers: it is not installed, not provisioned or stopped."""


_WINDOW = 512  # answers
FEW_ANSWERS = 20


class Counted(t.NamedTuple):
    """What an instance has answered since the load balancer's last start or reload; 0 where nobody counts.

    *took*: an average of times in ms that fades, see mean_since().
    """

    responses: int = 0
    responses_5xx: int = 0
    connection_errors: int = 0
    took: int = 0


class Server(t.NamedTuple):
    """One instance as the load balancer sees it: *up* by its checks; *status* and *check* in words. See Counted."""

    slot: str
    name: str
    address: str
    status: str
    check: str
    responses: int = 0
    responses_5xx: int = 0
    connection_errors: int = 0
    took: int = 0

    @property
    def counted(self) -> Counted:
        """What it has answered."""
        return Counted(self.responses, self.responses_5xx, self.connection_errors, self.took)

    @property
    def up(self) -> bool:
        """Whether it would get requests."""
        return self.status.startswith("UP")


def mean_since(now: Counted, before: Counted) -> float:
    """Returns how many ms the answers since *before* took on average; 0 for FEW_ANSWERS or fewer. Pure.

    HAProxy keeps one sum for each server, of which each answer takes the 512th part away before it adds its own time
    (swrate_add, TIME_STATS_SAMPLES), and nothing begins it anew between two releases: what was there before has to be
    taken off, as much of it as is left. It tells whole ms, which a few answers blow up to times that nobody waited.
    """
    answers = now.responses - before.responses
    if answers <= FEW_ANSWERS:
        return 0.0
    left = (1 - 1 / _WINDOW) ** answers
    total, then = (one.took * min(one.responses, _WINDOW) for one in (now, before))
    return max(0.0, (total - then * left) / (_WINDOW * (1 - left)))


class Driver(t.Protocol):
    """One load balancer on this host. Everything raises CommandFailed when it does not answer, NotRunning is one."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def path(self) -> str:
        """Where it is asked."""

    def pointer(self, application: str, map_path: str) -> Pointer | None:
        """Returns the pointer that it routes by now. Raises NotFound when it does not know the application."""

    def keep(self, application: str, pointer: Pointer) -> bool:
        """Makes *pointer* what it routes by after its next start. Returns whether that changed."""

    def set_pointer(self, application: str, map_path: str, pointer: Pointer) -> None:
        """Makes it route by *pointer* now and after its next start."""

    def tell_old_workers(self, application: str, map_path: str, pointer: Pointer) -> None:
        """Makes the workers that a reload left route by *pointer*, too, as far as they listen."""

    def servers(self, application: str) -> list[Server]:
        """Returns the instances of both slots."""

    def in_flight(self, application: str, slot: str) -> int:
        """Returns how many requests to *slot*, which has lost its traffic, have not ended. Raises NotFound when nobody
        can say."""

    def in_flight_hint(self, application: str, slot: str) -> tuple[str, str]:
        """Returns where requests in flight were seen, and how a person sees them."""

    def counters(self, application: str) -> dict[str, dict[str, int]]:
        """Returns the counters of each slot by name; none where nobody counts."""

    def tallies(self, application: str) -> dict[str, dict[str, t.Any]]:
        """Returns for each slot what its instances have answered. Raises CommandFailed when nobody counts."""

    def process(self) -> str:
        """Returns what names the process that counts, from 0 on; empty when nobody knows."""
