# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter host_gates."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_phases import ALONE, checked, looking_hosts

DOCUMENTATION = r"""
name: host_gates
short_description: Which gates of a phase look from which host
version_added: "0.1.0"
description:
  - Traffic, and what is asked through a load balancer, is looked at on every load balancer; instances, other addresses
    and Prometheus from the first one; PostgreSQL and Redis from where the application reaches them, the first
    application host. A command runs on the host that its gate names, by default on the controller (C(localhost)).
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
  host:
    description: Name of the host.
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
  alone:
    description: Whether every load balancer decides by itself, and so looks through every gate.
    type: bool
    default: false
  without_a_run:
    description: Whether only gates are wanted that a load balancer looks through without a run (C(http), C(traffic),
      C(prometheus)).
    type: bool
    default: false
"""

EXAMPLES = r"""
---
- name: See what this host looks at during the bake
  ansible.builtin.debug:
    msg: "{{ rollout_gates | vitalops.rollout.host_gates('bake', inventory_hostname, ['lb1'], ['app1', 'app2']) }}"
"""

RETURN = r"""
_value:
  description: The gates of this host, as they were told.
  type: list
  elements: dict
"""

NAME = "vitalops.rollout.host_gates"


def host_gates(
    gates: t.Mapping[str, t.Any],
    phase: str,
    host: str,
    load_balancers: t.Sequence[str],
    application_hosts: t.Sequence[str],
    alone: bool = False,
    without_a_run: bool = False,
) -> list[t.Mapping[str, t.Any]]:
    """Returns the gates. Raises AnsibleFilterError for input of another shape."""
    told = checked(gates, NAME).get(phase) or []
    wanted = [gate for gate in told if not without_a_run or gate.get("type") in ALONE]
    return [gate for gate in wanted if host in looking_hosts(gate, load_balancers, application_hosts, alone)]


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"host_gates": host_gates}
