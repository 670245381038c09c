# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work moves to the other slot: all at once, but a scheduler never runs twice."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import handover
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["worker", "scheduler"], [("new", "scheduler", True), ("new", "worker", True)]),
        (["worker"], [("new", "scheduler", False), ("new", "worker", True)]),
        ([], [("new", "scheduler", False), ("new", "worker", False)]),
    ],
)
def test_the_old_scheduler_stops_before_the_new_one_starts(kinds, expected):
    scheduler, worker = expected
    assert handover.chains(kinds, moves=True) == [
        [("old", "scheduler", False), scheduler],
        [("old", "worker", False)],
        [worker],
    ]
    assert handover.chains(kinds, moves=False) == [[scheduler], [worker]]


class FakeSlot:
    def __init__(self, name, log, gate=None):
        self.name, self.log, self.gate, self.partner = name, log, gate, None

    def switch_processes(self, names, *, on, kinds, release_id=None):
        if self.gate is not None and kinds == ["worker"]:
            assert self.gate.wait(5), "the workers of both slots move side by side"
        elif self.name == "new" and kinds == ["worker"] and self.partner is not None:
            self.partner.set()
        self.log.append((self.name, kinds[0], on, release_id))
        return Outcome(actions=[{"action": "x", "target": self.name, "reason": kinds[0]}])


def test_new_workers_start_while_old_ones_finish_and_everything_is_told():
    log: list = []
    started = threading.Event()
    old, new = FakeSlot("old", log, gate=started), FakeSlot("new", log)
    new.partner = started
    outcomes = handover.hand_over(old, new, ["worker", "scheduler"], "1.1.0-bbb")
    assert sorted(log) == [
        ("new", "scheduler", True, "1.1.0-bbb"),
        ("new", "worker", True, "1.1.0-bbb"),
        ("old", "scheduler", False, None),
        ("old", "worker", False, None),
    ]
    assert log.index(("old", "scheduler", False, None)) < log.index(("new", "scheduler", True, "1.1.0-bbb"))
    assert len(outcomes) == 4


def test_without_an_old_slot_only_what_was_asked_for_runs_in_the_new_one():
    log: list = []
    handover.hand_over(None, FakeSlot("new", log), ["worker"], "1.1.0-bbb")
    assert sorted(log) == [("new", "scheduler", False, None), ("new", "worker", True, "1.1.0-bbb")]


def test_what_goes_wrong_in_one_chain_is_raised():
    class Broken(FakeSlot):
        def switch_processes(self, names, *, on, kinds, release_id=None):
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        handover.hand_over(Broken("old", []), Broken("new", []), ["worker"], None)
