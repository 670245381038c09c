# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter refused_elsewhere."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

DOCUMENTATION = r"""
name: refused_elsewhere
short_description: Why a host does nothing that has itself not failed
version_added: "0.1.0"
description:
  - Names the hosts that cannot be reached, and what to type; else another host has said why.
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
  result:
    description: Name of the registered result to look at.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Nothing was rolled out
  ansible.builtin.fail:
    msg: "{{ hostvars | vitalops.rollout.refused_elsewhere(ansible_play_hosts_all, 'asked') }}"
"""

RETURN = r"""
_value:
  description: The message.
  type: str
"""


def refused_elsewhere(hostvars: t.Mapping[str, t.Any], hosts: t.Sequence[str], result: str) -> str:
    """Returns the message."""
    lost = [str(host) for host in hosts if (hostvars[host].get(result) or {}).get("unreachable")]
    if not lost:
        return "Another host refused; its message says why."
    names = ", ".join(lost)
    return str(
        RolloutError(
            f"{names} cannot be reached, so nothing was rolled out.",
            expected="an answer of every load balancer, or they would send users to two releases",
            found=str(hostvars[lost[0]][result].get("msg") or "no answer"),
            next_step=f"try ssh {lost[0]}; to go on without {names}, take it out of DNS and the inventory, "
            "then type the same command",
        )
    )


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"refused_elsewhere": refused_elsewhere}
