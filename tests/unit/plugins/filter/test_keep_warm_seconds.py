# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter keep_warm_seconds: no slot stops under a request that nobody has seen end."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.keep_warm_seconds import keep_warm_seconds

DRAINED = {"__rollout_drain": {"drained": True}}


@pytest.mark.parametrize(
    ("lb1", "lb2", "keep_warm", "expected"),
    [
        (DRAINED, DRAINED, "0", 0.0),
        (DRAINED, {"__rollout_drain": {"drained": False}}, 0, 20.0),
        (DRAINED, {"__rollout_drain": {"failed": True}}, 0, 20.0),
        (DRAINED, {}, 0, 20.0),
        (DRAINED, {"__rollout_drain": None}, 5, 20.0),
        ({}, {}, 1800, 1800.0),
    ],
    ids=[
        "all drained",
        "one did not",
        "one failed",
        "one was not asked",
        "shorter than a drain",
        "longer than a drain",
    ],
)
def test_the_time_asked_for_counts_once_every_request_was_seen_to_end(
    lb1: dict[str, t.Any], lb2: dict[str, t.Any], keep_warm: t.Any, expected: float
) -> None:
    assert keep_warm_seconds({"lb1": lb1, "lb2": lb2}, ["lb1", "lb2"], keep_warm, "20") == expected
