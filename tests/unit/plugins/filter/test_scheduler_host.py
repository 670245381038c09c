# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter scheduler_host: there is one scheduler in the fleet, and it needs the release."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.scheduler_host import scheduler_host

BLUE = {"blue": "1.0.0-aaa", "green": None}
OTHER = {"blue": "0.9.0-ccc", "green": "1.0.0-aaa"}


def awake(slots: dict[str, str | None]) -> dict[str, t.Any]:
    return {"__rollout_awake": {"held": True, "slots": slots}, **told(OTHER)}


def told(slots: dict[str, str | None]) -> dict[str, t.Any]:
    return {"__rollout_host": {"rollout": {"epoch": 3, "slots": slots}}}


@pytest.mark.parametrize(
    ("app1", "app2", "release", "expected"),
    [
        (told(OTHER), told(BLUE), None, "app1"),
        (told(BLUE), told(BLUE), "1.0.0-aaa", "app1"),
        (told(OTHER), told(BLUE), "1.0.0-aaa", "app2"),
        (awake(OTHER), awake(BLUE), "1.0.0-aaa", "app2"),
        (awake(BLUE), awake(BLUE), "1.0.0-aaa", "app1"),
        (told(OTHER), told(OTHER), "1.0.0-aaa", "app1"),
        ({}, told(BLUE), "1.0.0-aaa", "app1"),
        ({"__rollout_awake": {"failed": True}}, told(BLUE), "1.0.0-aaa", "app1"),
    ],
    ids=[
        "a release that is staged everywhere",
        "all hold it",
        "the first has another one in that slot",
        "a roll back has asked since",
        "a roll back has changed what was told before",
        "nobody holds it",
        "nothing is known",
        "what failed tells nothing",
    ],
)
def test_the_first_host_that_holds_the_release_runs_it(
    app1: dict[str, t.Any], app2: dict[str, t.Any], release: str | None, expected: str
) -> None:
    assert scheduler_host({"app1": app1, "app2": app2}, ["app1", "app2"], "blue", release) == expected
