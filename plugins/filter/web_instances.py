# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter web_instances."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: web_instances
short_description: List the web instances of both slots with their addresses
version_added: "0.1.0"
description:
  - Expands the web processes of an application over its hosts.
  - Instance number n listens on the slot's first port + n - 1; a second web process continues where the first ended.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The processes (C(rollout_processes)).
    type: list
    elements: dict
    required: true
  ports:
    description: First host port of each slot (C(rollout_ports)).
    type: dict
    required: true
  hosts:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  addresses:
    description: The address of every host, by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: See where the instances listen
  ansible.builtin.debug:
    msg: "{{ rollout_processes | vitalops.rollout.web_instances(rollout_ports, ['app1'], {'app1': '192.0.2.11'}) }}"
"""

RETURN = r"""
_value:
  description: For each slot, the list of instances.
  type: dict
  sample: {"blue": [{"name": "app1-web-1", "host": "app1", "process": "web", "address": "192.0.2.11", "port": 18000,
    "url": "http://192.0.2.11:18000"}]}
"""

NAME = "vitalops.rollout.web_instances"


def web_instances(
    processes: list[dict[str, t.Any]], ports: dict[str, int], hosts: list[str], addresses: dict[str, str]
) -> dict[str, list[dict[str, t.Any]]]:
    """Returns, for blue and green, a list of dicts with name, host, process, address and port.

    Raises AnsibleFilterError when a slot has no first port or a host no address.
    """
    if not isinstance(processes, list):
        raise AnsibleFilterError(f"{NAME}: expected a list of processes, found {type(processes).__name__}")
    found: dict[str, list[dict[str, t.Any]]] = {"blue": [], "green": []}
    for slot, instances in found.items():
        if slot not in ports:
            raise AnsibleFilterError(f"{NAME}: expected a first port for slot {slot}, found only {sorted(ports)}")
        for host in hosts:
            if host not in addresses:
                raise AnsibleFilterError(f"{NAME}: expected an address of host {host} (rollout_address), found none")
            port, address = int(ports[slot]), str(addresses[host])
            for process in processes:
                if process.get("kind", "web") != "web":
                    continue
                for number in range(1, int(process.get("instances", 1)) + 1):
                    instances.append(
                        {
                            "name": f"{host}-{process['name']}-{number}",
                            "host": host,
                            "process": process["name"],
                            "address": address,
                            "port": port,
                            "url": f"http://{f'[{address}]' if ':' in address else address}:{port}",
                        }
                    )
                    port += 1
    return found


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"web_instances": web_instances}
