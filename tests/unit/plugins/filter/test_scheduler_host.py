# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter scheduler_host: there is one scheduler in the fleet, and it needs the release."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.scheduler_host import scheduler_host

HELD, LACKING = {"__rollout_awake": {"held": True}}, {"__rollout_awake": {"held": False}}


@pytest.mark.parametrize(
    ("app1", "app2", "expected"),
    [({}, {}, "app1"), (HELD, HELD, "app1"), (LACKING, HELD, "app2"), (LACKING, LACKING, "app1")],
    ids=["a deploy", "all hold it", "the first does not hold it", "nobody holds it"],
)
def test_the_first_host_that_holds_the_release_runs_it(app1: object, app2: object, expected: str) -> None:
    assert scheduler_host({"app1": app1, "app2": app2}, ["app1", "app2"]) == expected  # type: ignore[dict-item]
