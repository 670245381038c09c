# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the lab of this scenario, reached the way Ansible reaches them."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
import testinfra
import yaml

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
LAB = os.environ["LAB_NAME"]
APPLICATION = "reference"


def inventory() -> dict[str, t.Any]:
    """Returns the generated inventory."""
    return t.cast("dict[str, t.Any]", yaml.safe_load((SCENARIO / "inventory" / "hosts.yml").read_text()))


def hosts_of(group: str) -> list[str]:
    """Returns the names of the hosts in *group*."""
    return sorted(inventory()["all"]["children"][group]["hosts"])


def connect(name: str) -> testinfra.host.Host:
    """Returns a connection to the host *name*."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(Path(".lab") / LAB / "ssh_config"), controlpersist=60)


@pytest.fixture(params=hosts_of("load_balancer"))
def load_balancer(request: pytest.FixtureRequest) -> testinfra.host.Host:
    return connect(request.param)


@pytest.fixture(params=hosts_of("application"))
def application_host(request: pytest.FixtureRequest) -> testinfra.host.Host:
    return connect(request.param)


@pytest.fixture
def data_host() -> testinfra.host.Host:
    return connect(hosts_of("postgres")[0])


@pytest.fixture
def client() -> testinfra.host.Host:
    return connect("client1")


@pytest.fixture
def systemd_runtime() -> bool:
    return (SCENARIO / "inventory" / "host_vars" / "host1.yml").exists()
