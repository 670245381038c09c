# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_promotion."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members

DOCUMENTATION = r"""
name: postgres_promotion
short_description: What must be done so that one standby is the only primary
version_added: "0.1.0"
description:
  - Refuses when the old primary cannot be stopped first, unless somebody gives it up by name.
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
  target:
    description: Name of the standby to promote.
    type: str
    required: true
  given_up:
    description:
      - Names of members that cannot be stopped, and of which somebody knows that nobody writes to them, with commas
        between them.
    type: str
    default: ""
  reason:
    description: How they know.
    type: str
    default: ""
  most_bytes:
    description: How many bytes it may be behind a primary that runs, and that would be stopped for it.
    type: int
    default: 16777216
  look:
    description: The variable that holds the result of M(vitalops.rollout.postgres_info).
    type: str
    default: __postgres_look
"""

EXAMPLES = r"""
---
- name: The promotion is safe
  ansible.builtin.assert:
    that: not promotion.refused
    fail_msg: "{{ promotion.refused }}"
  vars:
    promotion: "{{ hostvars | vitalops.rollout.postgres_promotion({'db1': '10.0.0.1', 'db2': '10.0.0.2'}, 'db2') }}"
"""

RETURN = r"""
_value:
  description:
    - C(refused), why nothing may be done, or empty; C(fence), names of members to stop first; C(until), the one
      of them that was the primary; C(lift), the target is fenced and comes back instead; C(done), it is the
      primary already; C(given_up); C(told), sentences for the operator.
  type: dict
"""


def postgres_promotion(
    hostvars: t.Mapping[str, t.Any],
    members: t.Mapping[str, str],
    target: str,
    given_up: str = "",
    reason: str = "",
    most_bytes: int = 16777216,
    look: str = "__postgres_look",
) -> dict[str, t.Any]:
    """Returns what a promotion takes, or why it is refused."""
    found = _postgres_members.members(members, _postgres_members.looks(hostvars, members, look))
    try:
        promotion = _postgres_members.promotion(found, target, given_up, reason, most_bytes)
    except _postgres_members.Refused as refused:
        nothing = _postgres_members.Promotion(target, [], "", False, False, "", [])
        return {"refused": str(refused), **nothing._asdict()}
    return {"refused": "", **promotion._asdict()}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_promotion": postgres_promotion}
