# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter leader."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: leader
short_description: The one host of a play that acts for all, also after a failure
version_added: "0.1.0"
description:
  - Gives the first host that no task of this run has found unreachable.
  - In a rescue under C(any_errors_fatal), C(ansible_play_hosts) may be empty, so it cannot tell.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  hosts:
    description: The hosts of the play, C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  results:
    description: Names of the registered results to look at.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: One host tells
  ansible.builtin.debug:
    msg: It is told once.
  when: inventory_hostname == hostvars | vitalops.rollout.leader(ansible_play_hosts_all, ['asked'])
"""

RETURN = r"""
_value:
  description: The name of the host; the first one when all are unreachable.
  type: str
"""

NAME = "vitalops.rollout.leader"


def leader(hostvars: t.Mapping[str, t.Any], hosts: t.Sequence[str], results: t.Sequence[str]) -> str:
    """Returns the name. Raises AnsibleFilterError without hosts."""
    if not hosts:
        raise AnsibleFilterError(f"{NAME}: expected at least one host, found none")
    reachable = (
        host for host in hosts if not any((hostvars[host].get(one) or {}).get("unreachable") for one in results)
    )
    return str(next(reachable, hosts[0]))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"leader": leader}
