# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated inventory says only which hosts there are, how to reach them, and the secrets made for the lab."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml
from ansible_collections.vitalops.rollout.tests.lab import inventory
from ansible_collections.vitalops.rollout.tests.lab.topology import Host

HOSTS = [Host("host1", ("load_balancer", "postgres"), 12, "base"), Host("client1", ("client",), 13, "base")]
ADDRESSES = {"host1": "10.231.1.11", "client1": "10.231.1.12"}
FOLDER = Path("/a folder/lab")


def built() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    everything = inventory.build(HOSTS, ADDRESSES, FOLDER, Path("/tmp/short"), {"lab_admin_token": "s3cret"})
    loaded = yaml.safe_load(inventory.render(everything))
    assert isinstance(loaded, dict)
    return loaded


def test_a_host_is_in_each_of_its_groups() -> None:
    assert built()["all"]["children"] == {
        "load_balancer": {"hosts": {"host1": {}}},
        "postgres": {"hosts": {"host1": {}}},
        "client": {"hosts": {"client1": {}}},
    }


def test_host_keys_are_checked_against_our_file_even_when_its_path_has_a_space() -> None:
    host = built()["all"]["hosts"]["host1"]
    assert host["ansible_host"] == host["rollout_address"] == "10.231.1.11"
    arguments = shlex.split(host["ansible_ssh_common_args"])
    assert 'UserKnownHostsFile="/a folder/lab/known_hosts"' in arguments
    assert "StrictHostKeyChecking=yes" in arguments


def test_secrets_are_variables_of_all() -> None:
    assert built()["all"]["vars"] == {"lab_admin_token": "s3cret"}


def test_ssh_config_knows_every_host_by_its_short_name() -> None:
    text = inventory.ssh_config(ADDRESSES, FOLDER)
    assert "Host host1\n  HostName 10.231.1.11\n" in text
    assert 'IdentityFile "/a folder/lab/id_ed25519"' in text
    assert "StrictHostKeyChecking yes" in text
