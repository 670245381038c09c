# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter asks_stores."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_phases import STORES, checked

DOCUMENTATION = r"""
name: asks_stores
short_description: Whether gates ask PostgreSQL or Redis
version_added: "0.1.0"
description:
  - Says whether a host that looks through these gates needs the Python libraries of PostgreSQL and Redis.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(rollout_gates), lists of gates by phase.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: See whether gates ask stores
  ansible.builtin.debug:
    msg: "{{ rollout_gates | vitalops.rollout.asks_stores }}"
"""

RETURN = r"""
_value:
  description: Whether one of the gates does.
  type: bool
"""

NAME = "vitalops.rollout.asks_stores"


def asks_stores(gates: t.Mapping[str, t.Any]) -> bool:
    """Returns whether one does. Raises AnsibleFilterError for input of another shape."""
    return any(gate.get("type") in STORES for phase in checked(gates, NAME).values() for gate in phase)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"asks_stores": asks_stores}
