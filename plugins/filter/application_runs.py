# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter application_runs."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: application_runs
short_description: What the application hosts know of runs, for a run that begins on the load balancers
version_added: "0.1.0"
description:
  - Leases lie on load balancers. What a run does on an application host at this moment keeps its lease, however long it
    lasts; and epochs go on from there when every load balancer is a new machine.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars), in which C(__rollout_host) is the result of M(vitalops.rollout.host_info) of each host.
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
- name: What application hosts know of runs
  ansible.builtin.set_fact:
    known: "{{ hostvars | vitalops.rollout.application_runs(groups['application']) }}"
"""

RETURN = r"""
_value:
  description: C(floor) is the newest epoch that any host has seen; C(at_work) says by run id what is done where.
  type: dict
  sample: {"floor": 12, "at_work": {"3f9c21ab77d05e10": "at work on app1 (stage since 2026-01-31T22:10:05Z)"}}
"""


def application_runs(hostvars: t.Mapping[str, t.Any], hosts: t.Sequence[str]) -> dict[str, t.Any]:
    """Returns what the hosts know; one that said nothing adds nothing."""
    told = {str(host): (hostvars[host].get("__rollout_host") or {}).get("rollout") or {} for host in hosts}
    busy = {host: one["at_work"] for host, one in told.items() if one.get("at_work")}
    return {
        "floor": max([0, *(int(one.get("epoch") or 0) for one in told.values())]),
        "at_work": {
            str(entry["run"]): f"at work on {host} ({entry['step']} since {entry['at']})"
            for host, entry in busy.items()
        },
    }


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"application_runs": application_runs}
