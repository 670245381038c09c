# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter command_hosts."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_phases import checked

DOCUMENTATION = r"""
name: command_hosts
short_description: On which hosts gates run commands
version_added: "0.1.0"
description:
  - Lists the hosts that gates of type V(command) name; C(localhost), the controller, for those that name none.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(rollout_gates), lists of gates by phase.
    type: dict
    required: true
  phase:
    description: Only gates of this phase.
    type: str
"""

EXAMPLES = r"""
---
- name: See which hosts run load tests
  ansible.builtin.debug:
    msg: "{{ rollout_gates | vitalops.rollout.command_hosts | join(', ') }}"
"""

RETURN = r"""
_value:
  description: Names of the hosts, sorted, each one once.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.command_hosts"


def command_hosts(gates: t.Mapping[str, t.Any], phase: str | None = None) -> list[str]:
    """Returns the names. Raises AnsibleFilterError for input of another shape."""
    listed = checked(gates, NAME)
    phases = listed.values() if phase is None else [listed.get(phase) or []]
    told = [gate for gates_of_phase in phases for gate in gates_of_phase if gate.get("type") == "command"]
    return sorted({str(gate.get("host") or "localhost") for gate in told})


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"command_hosts": command_hosts}
