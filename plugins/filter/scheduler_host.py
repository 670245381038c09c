# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter scheduler_host."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: scheduler_host
short_description: The one application host that runs the scheduler
version_added: "0.1.0"
description:
  - Gives the first host; in a roll back, the first one that holds the release.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars), in which C(__rollout_awake) is the result of the step V(wake) of a roll back.
    type: dict
    required: true
  hosts:
    description: Names of the application hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: One host tells
  ansible.builtin.debug:
    msg: The scheduler runs here.
  when: inventory_hostname == hostvars | vitalops.rollout.scheduler_host(groups['application'])
"""

RETURN = r"""
_value:
  description: The name of the host.
  type: str
"""


def scheduler_host(hostvars: t.Mapping[str, t.Any], hosts: t.Sequence[str]) -> str:
    """Returns the name; the first one also when no host holds the release."""
    holding = (host for host in hosts if (hostvars[host].get("__rollout_awake") or {}).get("held", True))
    return str(next(holding, hosts[0]))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"scheduler_host": scheduler_host}
