# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter keep_warm_seconds."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: keep_warm_seconds
short_description: How long the slot that lost the traffic stays up
version_added: "0.1.0"
description:
  - Gives the time that was asked for; but where a load balancer has not seen the last request of that slot, what may be
    in flight has its time, however short the slot shall be kept.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description:
      - C(hostvars), in which C(__rollout_drain) is the result of the step V(drain) of
        M(vitalops.rollout.rollout_step). A roll back does not ask for it.
    type: dict
    required: true
  load_balancers:
    description: Names of the load balancers.
    type: list
    elements: str
    required: true
  keep_warm:
    description: Seconds that were asked for.
    type: float
    required: true
  drain_deadline:
    description: Seconds that requests have to end.
    type: float
    required: true
"""

EXAMPLES = r"""
---
- name: The plan is told
  ansible.builtin.debug:
    msg: "{{ hostvars | vitalops.rollout.keep_warm_seconds(groups['load_balancer'], 0, 20) }} s"
"""

RETURN = r"""
_value:
  description: Seconds from now; V(0) stops the slot at once.
  type: float
"""


def keep_warm_seconds(
    hostvars: t.Mapping[str, t.Any],
    load_balancers: t.Sequence[str],
    keep_warm: float | str,
    drain_deadline: float | str,
) -> float:
    """Returns the seconds."""
    drains = [hostvars[host].get("__rollout_drain") or {} for host in load_balancers]
    drained = all(drain.get("drained") for drain in drains)
    return float(keep_warm) if drained else max(float(keep_warm), float(drain_deadline))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"keep_warm_seconds": keep_warm_seconds}
