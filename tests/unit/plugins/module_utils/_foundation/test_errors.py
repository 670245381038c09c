# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors: every part that is known is told, in one order, and nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    CommandFailed,
    NotFound,
    RolloutError,
    StateUnreadable,
)

PARTS = {"expected": "a slot", "found": "none", "where": "app1", "next_step": "deploy"}


def test_a_full_message_tells_all_parts_in_order() -> None:
    assert str(RolloutError("It failed.", **PARTS)).splitlines() == [
        "It failed.",
        "  expected: a slot",
        "  found: none",
        "  where: app1",
        "  next: deploy",
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "It failed."),
        ({"expected": "", "found": None}, "It failed."),
        ({"where": "app1"}, "It failed.\n  where: app1"),
        ({"found": "a\n    b"}, "It failed.\n  found: a\n    b"),
    ],
)
def test_unknown_parts_leave_no_line(parts: dict[str, str], message: str) -> None:
    assert str(RolloutError("It failed.", **parts)) == message


def test_the_parts_are_told_to_programs_too() -> None:
    assert RolloutError("It failed.", **PARTS).details() == {
        "what": "It failed.",
        "expected": "a slot",
        "found": "none",
        "where": "app1",
        "next": "deploy",
    }
    assert RolloutError("It failed.").details() == {
        "what": "It failed.",
        "expected": None,
        "found": None,
        "where": None,
        "next": None,
    }


@pytest.mark.parametrize("kind", [BadInput, CommandFailed, NotFound, StateUnreadable])
def test_one_handler_catches_every_kind(kind: type[RolloutError]) -> None:
    with pytest.raises(RolloutError, match=r"^It failed\.$"):
        raise kind("It failed.")
