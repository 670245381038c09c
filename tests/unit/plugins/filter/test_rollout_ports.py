# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_ports: what a host listens on follows from its groups."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.rollout_ports import rollout_ports

SHOP: dict[str, t.Any] = {
    "rollout_application": "shop",
    "rollout_processes": [
        {"name": "web", "kind": "web", "instances": 2},
        {"name": "api", "kind": "web"},
        {"name": "worker", "kind": "worker", "instances": 5},
    ],
}


@pytest.mark.parametrize(
    ("variables", "groups", "ports"),
    [
        ({}, ["load_balancer"], [80]),
        ({"rollout_public_port": 8080}, ["load_balancer"], [8080]),
        ({"load_balancer_tls": True}, ["load_balancer"], [80, 443]),
        ({"load_balancer_tls": True, "load_balancer_tls_port": 8443}, ["load_balancer"], [80, 8443]),
        ({"load_balancer_driver": "nginx"}, ["load_balancer"], [80, 8406]),
        ({}, ["postgres", "redis"], [5432, 6379]),
        ({"rollout_database": {"port": 5433}}, ["postgres"], [5433]),
        (SHOP, ["application"], [18000, 18001, 18002, 18100, 18101, 18102]),
        (
            {**SHOP, "rollout_ports": {"blue": 9000, "green": 8000}},
            ["application"],
            [8000, 8001, 8002, 9000, 9001, 9002],
        ),
        (SHOP, ["load_balancer", "application", "redis"], [80, 6379, 18000, 18001, 18002, 18100, 18101, 18102]),
        ({"redis_port": 6380}, ["redis"], [6380]),
        (SHOP, [], []),
        ({**SHOP, "group_names": ["redis"]}, None, [6379]),
    ],
)
def test_a_host_needs_the_ports_of_its_groups(
    variables: dict[str, t.Any], groups: list[str] | None, ports: list[int]
) -> None:
    assert [one["port"] for one in rollout_ports(variables, groups)] == ports


def test_ports_of_instances_tell_their_slot() -> None:
    slots = {one["port"]: one["slot"] for one in rollout_ports(SHOP, ["application", "load_balancer"])}
    assert (slots[80], slots[18000], slots[18100]) == (None, "blue", "green")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("shop-blue-web-1", True),
        ("shop-green-web@1.service", True),
        ("shop-teal-web-1", False),
        ("workshop-blue-web-1", False),
        ("nginx.service", False),
    ],
)
def test_a_slot_port_belongs_to_instances_of_this_application_only(name: str, ours: bool) -> None:
    owners = rollout_ports(SHOP, ["application"])[0]["owners"]
    assert any(re.search(owner, name) for owner in owners) == ours


@pytest.mark.parametrize(
    ("variables", "groups"),
    [
        ("hostvars", []),
        ({}, "redis"),
        ({"rollout_public_port": "http"}, ["load_balancer"]),
        ({"rollout_processes": ["web"]}, ["application"]),
    ],
)
def test_input_of_another_shape_is_refused_by_name(variables: t.Any, groups: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^vitalops\.rollout\.rollout_ports: "):
        rollout_ports(variables, groups)
