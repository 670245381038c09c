# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter watch_hosts."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: watch_hosts
short_description: The hosts of a play that watches a phase
version_added: "0.1.0"
description:
  - Gives a pattern for the fleet and for the hosts on which gates run commands; a pattern of nobody, so that the play
    costs nothing, where the phase has no gate.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(groups), the hosts by group.
    type: dict
    required: true
  hostvars:
    description: C(hostvars); C(rollout_gates) of the load balancers is looked at.
    type: dict
    required: true
  phase:
    description: The phase.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: See who takes part in a bake
  ansible.builtin.debug:
    msg: "{{ groups | vitalops.rollout.watch_hosts(hostvars, 'bake') }}"
"""

RETURN = r"""
_value:
  description: The pattern.
  type: str
  sample: load_balancer:application
"""

NAME = "vitalops.rollout.watch_hosts"
NOBODY = "all:!all"
COMMAND_GROUP = "rollout_gate_hosts"


def watch_hosts(groups: t.Mapping[str, t.Any], hostvars: t.Mapping[str, t.Any], phase: str) -> str:
    """Returns the pattern. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(groups, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected hosts by group, found {type(groups).__name__}")
    gated = any(
        ((hostvars.get(host) or {}).get("rollout_gates") or {}).get(phase) for host in groups.get("load_balancer", [])
    )
    if not gated:
        return NOBODY
    return f"load_balancer:application{f':{COMMAND_GROUP}' if COMMAND_GROUP in groups else ''}"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"watch_hosts": watch_hosts}
