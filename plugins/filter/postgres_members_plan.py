# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_members_plan."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members

DOCUMENTATION = r"""
name: postgres_members_plan
short_description: Who is the primary, and what every other member does
version_added: "0.1.0"
description:
  - The hosts decide. The inventory names the primary only of a cluster that nobody has begun.
  - Two members that both say that they are primary are refused, with their names.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars), in which the results of M(vitalops.rollout.postgres_info) are.
    type: dict
    required: true
  members:
    description: Addresses of the members, by name.
    type: dict
    required: true
  primary:
    description: Name of the primary as the inventory tells it.
    type: str
    required: true
  rejoin:
    description: Name of a member that becomes a standby, whatever it says of itself.
    type: str
    default: ""
  look:
    description: The variable that holds the result of M(vitalops.rollout.postgres_info).
    type: str
    default: __postgres_look
"""

EXAMPLES = r"""
---
- name: The primary is known
  ansible.builtin.assert:
    that: not plan.refused
    fail_msg: "{{ plan.refused }}"
  vars:
    plan: "{{ hostvars | vitalops.rollout.postgres_members_plan({'db1': '10.0.0.1', 'db2': '10.0.0.2'}, 'db1') }}"
"""

RETURN = r"""
_value:
  description:
    - C(refused), why nothing may be done, or empty; C(primary), its name; C(does), by name one of V(lead), V(follow),
      V(join), V(leave); C(told), sentences for the operator.
  type: dict
"""


def postgres_members_plan(
    hostvars: t.Mapping[str, t.Any],
    members: t.Mapping[str, str],
    primary: str,
    rejoin: str = "",
    look: str = "__postgres_look",
) -> dict[str, t.Any]:
    """Returns the plan, or why there is none."""
    found = _postgres_members.members(members, _postgres_members.looks(hostvars, members, look))
    try:
        plan = _postgres_members.plan(found, primary, rejoin)
    except _postgres_members.Refused as refused:
        return {"refused": str(refused), "primary": "", "does": {}, "told": []}
    return {"refused": "", **plan._asdict()}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_members_plan": postgres_members_plan}
