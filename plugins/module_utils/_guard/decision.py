# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard does when nobody confirmed in time. Pure. PRIVATE to the collection."""

from __future__ import annotations

DISARM, FINISH, REVERT, KEEP, WAIT = "disarm", "finish", "revert", "keep", "wait"

#: Looks, one a second, for a slot that answers, before a person is needed.
MOST_ATTEMPTS = 60
#: Looks for the previous slot while the unconfirmed one answers: one answer that comes late must not leave users there.
PATIENCE = 5
#: The same after a boot, when everything starts, and the slot that is first need not be the one that was good.
BOOT_PATIENCE = 60


def decide(
    *,
    moved: bool,
    previous_answers: bool,
    target_answers: bool,
    attempts: int,
    patience: int,
    confirmed: bool = False,
) -> str:
    """Returns what to do about a switch whose deadline has come.

    *moved*: traffic goes, in the map file or in HAProxy, to the target. *confirmed*: the state names it live, so its
    run died after the record. *attempts* are the looks before this one, *patience* how many of them the previous slot
    gets while the target answers (0 when there is none). DISARM: traffic never moved. FINISH: it was confirmed, and
    stays. REVERT: back to the previous slot, which answers. KEEP: only the unconfirmed slot answers, or nobody did for
    too long; the state is inconsistent and a person must look. WAIT: look again in a second.
    """
    if not moved:
        return DISARM
    if confirmed:
        return FINISH
    if previous_answers:
        return REVERT
    if attempts >= (patience if target_answers else MOST_ATTEMPTS):
        return KEEP
    return WAIT
