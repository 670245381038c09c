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
  - Gives the first host. A release that is not staged anew may be missing on a host that was added since; then it is
    the first host that holds it.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description:
      - C(hostvars), in which C(__rollout_host) is the result of M(vitalops.rollout.host_info) and C(__rollout_awake)
        that of the step V(wake) of M(vitalops.rollout.rollout_step). A host that told neither counts as holding it.
    type: dict
    required: true
  hosts:
    description: Names of the application hosts.
    type: list
    elements: str
    required: true
  slot:
    description: The slot in which the scheduler shall run.
    type: str
    required: true
  release_id:
    description: The release that must be there; without it, any host does.
    type: str
"""

EXAMPLES = r"""
---
- name: One host tells
  ansible.builtin.debug:
    msg: The scheduler runs here.
  when: inventory_hostname == hostvars | vitalops.rollout.scheduler_host(groups['application'], 'blue', '1.0.0-aaa')
"""

RETURN = r"""
_value:
  description: The name of the host; the first one also when no host holds the release.
  type: str
"""


def scheduler_host(
    hostvars: t.Mapping[str, t.Any], hosts: t.Sequence[str], slot: str, release_id: str | None = None
) -> str:
    """Returns the name of the host."""
    holding = (host for host in hosts if release_id in (None, _held(hostvars[host], slot, release_id)))
    return str(next(holding, hosts[0]))


def _held(variables: t.Mapping[str, t.Any], slot: str, unknown: str | None) -> str | None:
    """Returns the release in *slot* as the host told last, *unknown* when it did not."""
    told = variables.get("__rollout_awake") or (variables.get("__rollout_host") or {}).get("rollout") or {}
    return (told.get("slots") or {slot: unknown}).get(slot)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"scheduler_host": scheduler_host}
