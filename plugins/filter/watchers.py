# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter watchers."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.filter.command_hosts import command_hosts
from ansible_collections.vitalops.rollout.plugins.filter.host_gates import host_gates

DOCUMENTATION = r"""
name: watchers
short_description: The hosts that watch a phase together
version_added: "0.1.0"
description:
  - Every load balancer, for each has a guard to keep, and the other hosts from which gates of the phase look.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(rollout_gates), lists of gates by phase.
    type: dict
    required: true
  phase:
    description: The phase.
    type: str
    required: true
  load_balancers:
    description: Names of the load balancers.
    type: list
    elements: str
    required: true
  application_hosts:
    description: Names of the application hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: See who watches the bake
  ansible.builtin.debug:
    msg: "{{ rollout_gates | vitalops.rollout.watchers('bake', ['lb1'], ['app1', 'app2']) }}"
"""

RETURN = r"""
_value:
  description: Names of the hosts, each one once.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.watchers"


def watchers(
    gates: t.Mapping[str, t.Any], phase: str, load_balancers: t.Sequence[str], application_hosts: t.Sequence[str]
) -> list[str]:
    """Returns the names. Raises AnsibleFilterError for input of another shape."""
    commands = command_hosts(gates, phase)
    looking = [host for host in application_hosts if host_gates(gates, phase, host, load_balancers, application_hosts)]
    return list(dict.fromkeys([*load_balancers, *looking, *commands]))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"watchers": watchers}
