# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter probation."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _probation

DOCUMENTATION = r"""
name: probation
short_description: What an application host does when users are taken back from a release
version_added: "0.1.0"
description:
  - Load balancers take users back without the run, and without a way to application hosts. These ask them, and bring
    work back by themselves; this is what they are told for it.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The plan of a rollout, as P(vitalops.rollout.fleet_plan#filter) makes it.
    type: dict
    required: true
  hostvars:
    description: C(hostvars).
    type: dict
    required: true
  load_balancers:
    description: Names of the load balancers.
    type: list
    elements: str
    required: true
  kinds:
    description: Kinds of work that run on the host.
    type: list
    elements: str
    required: true
  seconds:
    description: Seconds in which load balancers decide about the release.
    type: float
    required: true
  drain:
    description: Seconds that requests have to end.
    type: float
    required: true
"""

EXAMPLES = r"""
---
- name: What this host will do is known
  ansible.builtin.debug:
    msg: "{{ rollout_plan | vitalops.rollout.probation(hostvars, ['lb1'], ['worker'], 1260, 60) }}"
"""

RETURN = r"""
_value:
  description: The parameter C(probation) of the step C(workers); none where users come from nowhere.
  type: dict
"""

NAME = "vitalops.rollout.probation"


def probation(
    plan: t.Mapping[str, t.Any],
    hostvars: t.Mapping[str, t.Any],
    load_balancers: t.Sequence[str],
    kinds: t.Sequence[str],
    seconds: float | str,
    drain: float | str,
) -> dict[str, t.Any] | None:
    """Returns it. Raises AnsibleFilterError for input of another shape.

    Users have the release by then: where load balancers cannot be found, work stays, and the run goes on. Preflight of
    a deploy has asked.
    """
    try:
        places = _probation.pointer_places(hostvars, load_balancers)
    except (AnsibleError, AttributeError, KeyError, TypeError, ValueError):
        return None
    try:
        return _probation.probation(plan, places, kinds, seconds=float(seconds), drain=float(drain))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{NAME}: expected a plan, found {type(error).__name__}: {error}") from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"probation": probation}
