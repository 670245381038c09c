# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology files: which hosts a lab has, expanded to a plain list. Pure, but for reading the file."""

from __future__ import annotations

import ipaddress
import typing as t
import zlib
from pathlib import Path

import yaml
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput

FOLDER = Path(__file__).resolve().parent / "topologies"
MOST_APPS = 16
# Ten addresses are left for the gateway and for people who look around.
FIRST_ADDRESS = 11


class Host(t.NamedTuple):
    """One host of a lab: short name, inventory groups, Debian version, image kind (base or registry)."""

    name: str
    groups: tuple[str, ...]
    debian: int
    image: str


def read(name: str) -> dict[str, t.Any]:
    """Returns the content of the topology file *name*."""
    known = sorted(path.stem for path in FOLDER.glob("*.yml"))
    if name not in known:
        raise BadInput(f"There is no topology {name}.", expected=" or ".join(known), found=name, where=str(FOLDER))
    content = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def expand(content: dict[str, t.Any], *, debian: int, apps: int) -> list[Host]:
    """Returns the hosts of a topology, with `count: apps` repeated *apps* times (1 to 16)."""
    if not 1 <= apps <= MOST_APPS:
        raise BadInput("The number of app hosts is out of range.", expected=f"1 to {MOST_APPS}", found=str(apps))
    hosts = []
    for entry in content["hosts"]:
        names = [entry["name"]]
        if entry.get("count") == "apps":
            names = [f"{entry['name']}{number}" for number in range(1, apps + 1)]
        for name in names:
            hosts.append(
                Host(name, tuple(entry["groups"]), int(entry.get("debian", debian)), str(entry.get("image", "base")))
            )
    return hosts


def subnets(lab: str) -> list[str]:
    """Returns the subnets that the lab *lab* may use, in the order to try: the same name gets the same addresses."""
    start = zlib.crc32(lab.encode()) % 256
    return [f"10.231.{(start + step) % 256}.0/24" for step in range(256)]


def addresses(hosts: t.Sequence[Host], subnet: str) -> dict[str, str]:
    """Returns the fixed address of every host in *subnet*."""
    network = ipaddress.ip_network(subnet)
    return {host.name: str(network[FIRST_ADDRESS + place]) for place, host in enumerate(hosts)}


def gateway(subnet: str) -> str:
    """Returns the address under which the hosts see the machine itself."""
    return str(ipaddress.ip_network(subnet)[1])
