# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter refused_elsewhere."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.refused_elsewhere import refused_elsewhere

LOST = {"unreachable": True, "msg": "no route"}


def test_who_cannot_be_reached_is_named_with_what_to_type() -> None:
    hostvars = {"lb1": {"begun": {"changed": False}}, "lb2": {"begun": LOST}}
    told = refused_elsewhere(hostvars, ["lb1", "lb2"], "begun").splitlines()
    assert told[0] == "lb2 cannot be reached, so nothing was rolled out."
    assert told[2:] == [
        "  found: no route",
        "  next: try ssh lb2; to go on without lb2, take it out of DNS and the inventory, then type the same command",
    ]


@pytest.mark.parametrize("result", [{}, {"begun": None}, {"begun": {"failed": True, "msg": "another run"}}])
def test_who_was_reached_has_said_why(result: dict[str, t.Any]) -> None:
    assert refused_elsewhere({"lb1": {}, "lb2": result}, ["lb1", "lb2"], "begun").startswith("Another host refused")
