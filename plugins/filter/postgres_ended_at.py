# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_ended_at."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members

DOCUMENTATION = r"""
name: postgres_ended_at
short_description: Where the old primary ended, once all that must be stopped are stopped
version_added: "0.1.0"
description:
  - Gives the position for O(vitalops.rollout.postgres_promote#module:until), and fails while a promotion is refused, or
    a member that must be stopped first was not stopped in this run. Nobody is promoted past a task that was skipped.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars), in which the results of M(vitalops.rollout.postgres_fence) are.
    type: dict
    required: true
  promotion:
    description: What the filter P(vitalops.rollout.postgres_promotion#filter) gave.
    type: dict
    required: true
  fenced:
    description: The variable that holds the result of M(vitalops.rollout.postgres_fence).
    type: str
    default: __postgres_fenced
"""

EXAMPLES = r"""
---
- name: The standby is the primary
  vitalops.rollout.postgres_promote:
    member: db2
    until: "{{ hostvars | vitalops.rollout.postgres_ended_at(promotion) }}"
    by: kim
"""

RETURN = r"""
_value:
  description: The position; empty when nobody knows it.
  type: str
"""

NAME = "vitalops.rollout.postgres_ended_at"


def postgres_ended_at(
    hostvars: t.Mapping[str, t.Any], promotion: t.Mapping[str, t.Any], fenced: str = "__postgres_fenced"
) -> str:
    """Returns the position. Raises AnsibleFilterError when the promotion may not go on."""
    results = {name: hostvars[name].get(fenced) for name in promotion["fence"] if name in hostvars}
    try:
        return _postgres_members.ended_at(promotion, results)
    except _postgres_members.Refused as refused:
        raise AnsibleFilterError(f"{NAME}: {refused}") from refused


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_ended_at": postgres_ended_at}
