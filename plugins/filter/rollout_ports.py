# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_ports."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._ports import expected_ports

DOCUMENTATION = r"""
name: rollout_ports
short_description: List the ports that a host needs
version_added: "0.1.0"
description:
  - Tells from the variables and groups of a host which TCP ports it will listen on, and who may hold them already.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The variables of the host, such as C(hostvars[inventory_hostname]).
    type: dict
    required: true
  groups:
    description: The groups of the host. Taken from C(group_names) of the variables when not given.
    type: list
    elements: str
"""

EXAMPLES = r"""
---
- name: See which ports this host needs
  ansible.builtin.debug:
    msg: "{{ hostvars[inventory_hostname] | vitalops.rollout.rollout_ports }}"
"""

RETURN = r"""
_value:
  description:
    - For each port its purpose, and regular expressions for the names of processes, units and containers that may
      hold it. For the ports of instances also the slot, otherwise none.
  type: list
  elements: dict
  sample: [{"port": 80, "purpose": "load balancer, users", "owners": ["^haproxy"], "slot": null}]
"""

NAME = "vitalops.rollout.rollout_ports"


def rollout_ports(variables: t.Mapping[str, t.Any], groups: t.Sequence[str] | None = None) -> list[dict[str, t.Any]]:
    """Returns a list of port, purpose, owners and slot. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(variables, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected the variables of a host, found {type(variables).__name__}")
    if groups is None:
        groups = variables.get("group_names") or []
    if isinstance(groups, str) or not isinstance(groups, t.Sequence):
        raise AnsibleFilterError(f"{NAME}: expected a list of groups, found {type(groups).__name__}")
    try:
        return expected_ports(variables, list(groups))
    except (AttributeError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{NAME}: a port or process of the host has the wrong type: {error}") from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"rollout_ports": rollout_ports}
