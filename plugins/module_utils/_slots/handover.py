# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is not traffic moves from one slot of a host to the other. PRIVATE to the collection."""

from __future__ import annotations

import concurrent.futures
import typing as t

from .slot import Outcome, Slot

#: The kinds of processes that follow the traffic, once it has moved.
WORK = ("worker", "scheduler")
Step = tuple[str, str, bool]


def chains(kinds: t.Collection[str], *, moves: bool) -> list[list[Step]]:
    """Returns chains of steps: those inside a chain happen one after the other, the chains side by side. Pure.

    A step is ``old`` or ``new``, a kind, and whether it runs afterwards. Of WORK, *kinds* run in the new slot then and
    no others; with *moves*, nothing of it stays in the old one. A scheduler never runs twice: the old one stops first.
    """
    old: list[list[Step]] = [[("old", kind, False)] if moves else [] for kind in WORK]
    new: list[list[Step]] = [[("new", kind, kind in kinds)] for kind in WORK]
    scheduler = WORK.index("scheduler")
    return [chain for chain in (old.pop(scheduler) + new.pop(scheduler), *old, *new) if chain]


def hand_over(old: Slot | None, new: Slot, kinds: t.Collection[str], release_id: str | None) -> list[Outcome]:
    """Does the chains; without *old* only those of *new*.

    With *release_id* the new slot must hold that release; see Slot.switch_processes().
    """

    def do(chain: list[Step]) -> list[Outcome]:
        return [
            new.switch_processes([], kinds=[kind], on=on, release_id=release_id if on else None)
            if place == "new" or old is None
            else old.switch_processes([], kinds=[kind], on=on)
            for place, kind, on in chain
        ]

    planned = chains(kinds, moves=old is not None)
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(planned)) as pool:
        return [outcome for done in pool.map(do, planned) for outcome in done]
