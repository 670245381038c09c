# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts the playbooks take, as Ansible itself says: of every group there is, and of one there is not, nobody."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STORES = {"PostgreSQL": "postgres", "Redis": "redis", "Sentinel": "sentinel"}
PLAY = re.compile(r"play #\d+ \(.*?\): (.+?)\tTAGS.*?hosts \(\d+\):((?:\n      \S+)*)", re.DOTALL)


@pytest.mark.parametrize("groups", [(), ("postgres",), ("redis", "sentinel"), tuple(STORES.values())], ids=str)
def test_a_group_that_an_inventory_does_not_have_is_nobody_and_no_warning(
    groups: tuple[str, ...], tmp_path: Path
) -> None:
    hosts = {"load_balancer": "lb1", "application": "app1", **{group: f"{group}1" for group in groups}}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({group: {"hosts": {name: {}}} for group, name in hosts.items()}))
    # site imports provision, deploy and what they import.
    ended = subprocess.run(
        ["ansible-playbook", "playbooks/site.yml", "-i", str(inventory), "--list-hosts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    plays = [(name, set(found.split())) for name, found in PLAY.findall(ended.stdout)]
    taken = dict(plays)
    assert {name: taken[name] for name in STORES} == {
        name: {f"{group}1"} if group in groups else set() for name, group in STORES.items()
    }
    # A deploy tries the login on the hosts of PostgreSQL, too: with TLS they must know whom to trust.
    clients = {name for group, name in hosts.items() if group in ("application", "load_balancer", "postgres")}
    assert taken["Clients of PostgreSQL and Redis"] == clients
    looked_at = {name for group, name in hosts.items() if group != "sentinel"}
    # Each of site, provision and deploy begins with it.
    assert [found for name, found in plays if name == "Preflight"] == [looked_at] * 3
