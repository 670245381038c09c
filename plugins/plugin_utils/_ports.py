# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host ports a host needs, told by its variables and groups. Pure. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

DEFAULT_PORTS = {"blue": 18000, "green": 18100}
SLOTS = ("blue", "green")


def load_balancer_driver(variables: t.Mapping[str, t.Any]) -> str:
    """Returns which program routes on a load balancer: haproxy or nginx."""
    return str(variables.get("load_balancer_driver") or "haproxy")


def web_instances(variables: t.Mapping[str, t.Any]) -> int:
    """Returns how many web instances one slot has on an application host."""
    return sum(
        int(process.get("instances", 1))
        for process in variables.get("rollout_processes") or []
        if process.get("kind") == "web"
    )


def first_ports(variables: t.Mapping[str, t.Any]) -> dict[str, int]:
    """Returns the first host port of each slot."""
    given = variables.get("rollout_ports") or DEFAULT_PORTS
    return {slot: int(given.get(slot, DEFAULT_PORTS[slot])) for slot in SLOTS}


def expected_ports(variables: t.Mapping[str, t.Any], groups: t.Collection[str]) -> list[dict[str, t.Any]]:
    """Returns {"port", "purpose", "owners", "slot"} for every port that the host needs, sorted by port.

    slot: whose instance listens there, None when it is no instance's port.
    owners: regular expressions, searched in the names of the process, the unit and the container that hold the port.
    """
    wanted: list[tuple[int, str, str, str | None]] = []
    if "load_balancer" in groups:
        owner = f"^{load_balancer_driver(variables)}"
        wanted.append((int(variables.get("rollout_public_port") or 80), "load balancer, users", owner, None))
        if variables.get("load_balancer_tls"):
            secured = int(variables.get("load_balancer_tls_port") or 443)
            wanted.append((secured, "load balancer, users by HTTPS", owner, None))
        if owner == "^nginx":
            status = int(variables.get("load_balancer_nginx_status_port") or 8406)
            wanted.append((status, "load balancer, its traffic pointer", owner, None))
    if "application" in groups:
        application = re.escape(str(variables.get("rollout_application") or ""))
        count = web_instances(variables)
        for slot, first in first_ports(variables).items():
            wanted += [
                (first + number - 1, f"slot {slot}, web instance {number}", f"^{application}-(blue|green)-", slot)
                for number in range(1, count + 1)
            ]
    if "postgres" in groups:
        database = variables.get("rollout_database") or {}
        wanted.append((int(database.get("port") or 5432), "PostgreSQL", "^postgres", None))
    if "redis" in groups:
        wanted.append((int(variables.get("redis_port") or 6379), "Redis", "^redis", None))
    wanted.sort(key=lambda one: one[:2])
    return [
        {"port": port, "purpose": purpose, "owners": [owner], "slot": slot} for port, purpose, owner, slot in wanted
    ]
