# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter leader: after a failure somebody must act for all, and it is nobody who cannot be reached."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.leader import leader

LOST = {"unreachable": True, "msg": "no route"}


def test_the_first_host_leads() -> None:
    assert leader({"app1": {}, "app2": {}}, ["app1", "app2"], ["__asked"]) == "app1"


def test_a_host_that_any_task_found_unreachable_does_not() -> None:
    hostvars = {"app1": {"__asked": {"changed": False}, "__moved": LOST}, "app2": {"__asked": None}}
    assert leader(hostvars, ["app1", "app2"], ["__asked", "__moved"]) == "app2"


def test_without_anybody_the_first_is_named() -> None:
    assert leader({"app1": {"__asked": LOST}}, ["app1"], ["__asked"]) == "app1"


def test_no_hosts_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="at least one host"):
        leader({}, [], [])
