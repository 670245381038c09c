# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's decision: every combination has one reason."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.decision import (
    BOOT_PATIENCE,
    DISARM,
    FINISH,
    KEEP,
    MOST_ATTEMPTS,
    PATIENCE,
    REVERT,
    WAIT,
    decide,
)


@pytest.mark.parametrize(("moved", "confirmed", "previous", "target"), list(itertools.product((False, True), repeat=4)))
@pytest.mark.parametrize("patience", [0, PATIENCE, BOOT_PATIENCE])
def test_what_the_guard_does(moved: bool, confirmed: bool, previous: bool, target: bool, patience: int) -> None:
    for attempts in range(MOST_ATTEMPTS + 2):
        found = decide(
            moved=moved,
            confirmed=confirmed,
            previous_answers=previous,
            target_answers=target,
            attempts=attempts,
            patience=patience,
        )
        last = attempts >= MOST_ATTEMPTS or (target and attempts >= patience)
        reasons = ((not moved, DISARM), (confirmed, FINISH), (previous, REVERT), (last, KEEP), (True, WAIT))
        assert found == next(what for reason, what in reasons if reason), attempts
