# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology files become hosts with groups and fixed addresses."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.tests.lab import topology


def names(hosts: list[topology.Host]) -> list[str]:
    return [host.name for host in hosts]


def test_fleet_repeats_the_app_host_and_nothing_else() -> None:
    hosts = topology.expand(topology.read("fleet"), debian=12, apps=3)
    assert sorted(names(hosts)) == ["app1", "app2", "app3", "client1", "data1", "lb1", "registry1"]
    assert {host.name for host in hosts if "application" in host.groups} == {"app1", "app2", "app3"}


def test_single_has_every_group_of_the_application_on_one_host() -> None:
    hosts = topology.expand(topology.read("single"), debian=12, apps=5)
    assert names(hosts) == ["host1", "client1", "registry1"]
    assert hosts[0].groups == ("load_balancer", "application", "postgres", "redis")


def test_pair_is_the_fleet_behind_two_load_balancers() -> None:
    fleet = topology.expand(topology.read("fleet"), debian=13, apps=2)
    pair = topology.expand(topology.read("pair"), debian=13, apps=2)
    assert names([host for host in pair if "load_balancer" in host.groups]) == ["lb1", "lb2"]
    assert [host for host in pair if host.name != "lb2"] == fleet


@pytest.mark.parametrize("name", ["fleet", "pair", "single"])
def test_client_and_registry_stay_on_debian_13(name: str) -> None:
    found = {host.name: host.debian for host in topology.expand(topology.read(name), debian=12, apps=1)}
    assert (found.pop("client1"), found.pop("registry1")) == (13, 13)
    assert set(found.values()) == {12}


@pytest.mark.parametrize("apps", [0, 17])
def test_too_few_or_too_many_app_hosts_are_refused(apps: int) -> None:
    with pytest.raises(BadInput, match="1 to 16"):
        topology.expand(topology.read("fleet"), debian=13, apps=apps)


def test_an_unknown_topology_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="fleet or pair or single"):
        topology.read("../fleet")


@pytest.mark.parametrize(("name", "others"), [("fleet", 4), ("pair", 5)])
def test_adding_app_hosts_moves_no_address(name: str, others: int) -> None:
    content = topology.read(name)
    small = topology.addresses(topology.expand(content, debian=13, apps=1), "10.231.7.0/24")
    large = topology.addresses(topology.expand(content, debian=13, apps=16), "10.231.7.0/24")
    assert small.items() <= large.items()
    assert len(set(large.values())) == others + 16
    assert topology.gateway("10.231.7.0/24") not in large.values()


def test_a_lab_tries_its_own_subnet_first_and_then_all_others() -> None:
    assert topology.subnets("lab") == topology.subnets("lab")
    assert topology.subnets("lab")[0] != topology.subnets("other")[0]
    assert len(set(topology.subnets("lab"))) == 256
