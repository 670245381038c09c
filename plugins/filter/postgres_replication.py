# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_replication."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members

DOCUMENTATION = r"""
name: postgres_replication
short_description: Show who is primary, who follows, and how far behind
version_added: "0.1.0"
description:
  - Gives a line for each member, and under it a line for each standby that receives from it and for each of its slots.
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
  look:
    description: The variable that holds the result of M(vitalops.rollout.postgres_info).
    type: str
    default: __postgres_look
"""

EXAMPLES = r"""
---
- name: Replication is shown
  ansible.builtin.debug:
    msg: "{{ hostvars | vitalops.rollout.postgres_replication({'db1': '10.0.0.1', 'db2': '10.0.0.2'}) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def postgres_replication(
    hostvars: t.Mapping[str, t.Any], members: t.Mapping[str, str], look: str = "__postgres_look"
) -> list[str]:
    """Returns the lines."""
    looks = _postgres_members.looks(hostvars, members, look)
    return _postgres_members.replication(_postgres_members.members(members, looks), looks)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_replication": postgres_replication}
