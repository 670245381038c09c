# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter gate_targets."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: gate_targets
short_description: Turn web instances into targets of a health gate
version_added: "0.1.0"
description:
  - Gives every instance the URL that a gate asks.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: Instances with name, address and port, as P(vitalops.rollout.web_instances#filter) lists them.
    type: list
    elements: dict
    required: true
  path:
    description: The path to ask, such as C(/ready).
    type: str
    required: true
  address:
    description: Address to ask instead of those of the instances, which may be C(0.0.0.0).
    type: str
"""

EXAMPLES = r"""
---
- name: See what the gate asks
  ansible.builtin.debug:
    msg: "{{ instances | vitalops.rollout.gate_targets('/ready') }}"
"""

RETURN = r"""
_value:
  description: Targets for M(vitalops.rollout.health_gate).
  type: list
  elements: dict
  sample: [{"name": "app1-web-1", "url": "http://192.0.2.11:18000/ready"}]
"""

NAME = "vitalops.rollout.gate_targets"


def gate_targets(instances: list[dict[str, t.Any]], path: str, address: str | None = None) -> list[dict[str, str]]:
    """Returns a list of name and url. Raises AnsibleFilterError when the path does not start with a slash."""
    if not isinstance(instances, list):
        raise AnsibleFilterError(f"{NAME}: expected a list of instances, found {type(instances).__name__}")
    if not str(path).startswith("/"):
        raise AnsibleFilterError(f"{NAME}: expected a path that starts with a slash, found {path!r}")
    return [
        {"name": instance["name"], "url": f"http://{address or instance['address']}:{instance['port']}{path}"}
        for instance in instances
    ]


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"gate_targets": gate_targets}
