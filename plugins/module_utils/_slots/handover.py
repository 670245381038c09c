# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that is not traffic moves from one slot of a host to the other. PRIVATE to the collection."""

from __future__ import annotations

import concurrent.futures
import typing as t

from .slot import Outcome, Slot

Step = tuple[str, str, bool]


def chains(kinds: t.Collection[str]) -> list[list[Step]]:
    """Returns chains of steps: those inside a chain happen one after the other, the chains side by side. Pure.

    A step is ``old`` or ``new``, a kind, and whether it runs afterwards. *kinds* run in the new slot afterwards;
    neither worker nor scheduler stays in the old one. A scheduler never runs twice: the old one stops first.
    """
    scheduler: list[Step] = [("old", "scheduler", False)]
    scheduler += [("new", kind, True) for kind in kinds if kind == "scheduler"]
    others: list[list[Step]] = [[("new", kind, True)] for kind in kinds if kind != "scheduler"]
    return [scheduler, [("old", "worker", False)], *others]


def hand_over(old: Slot, new: Slot, kinds: t.Collection[str], release_id: str | None) -> list[Outcome]:
    """Does the chains. With *release_id* the new slot must hold that release; see Slot.switch_processes()."""

    def do(chain: list[Step]) -> list[Outcome]:
        return [
            new.switch_processes([], kinds=[kind], on=True, release_id=release_id)
            if on
            else old.switch_processes([], kinds=[kind], on=False)
            for _place, kind, on in chain
        ]

    planned = chains(kinds)
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(planned)) as pool:
        return [outcome for done in pool.map(do, planned) for outcome in done]
