# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter fleet_plan."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._fleet_plan import plan
from ansible_collections.vitalops.rollout.plugins.plugin_utils._plain import plain

DOCUMENTATION = r"""
name: fleet_plan
short_description: Decide what a rollout does, from what all load balancers know
version_added: "0.1.0"
description:
  - Load balancers that differ are no obstacle. The newest confirmation leads, and the others follow it first.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars), in which C(__rollout_begun) is the result of the step V(begin) of each load balancer.
    type: dict
    required: true
  hosts:
    description: Names of the load-balancer hosts.
    type: list
    elements: str
    required: true
  operation:
    description: What is done.
    type: str
    choices: [deploy, roll_back, retire]
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  environment:
    description: Environment of this rollout.
    type: str
    required: true
  release:
    description: For a deploy, the release with its id, version, digest and artefact.
    type: dict
"""

EXAMPLES = r"""
---
- name: The plan is made
  ansible.builtin.set_fact:
    planned: "{{ hostvars | vitalops.rollout.fleet_plan(ansible_play_hosts_all, 'roll_back', 'shop', 'production') }}"
"""

RETURN = r"""
_value:
  description:
    - C(plan) is the plan, C(run) the identity that every change carries, C(behind) the names of the hosts that must
      follow the others first, C(state) what they follow, C(resume) whether an earlier run is taken up,
      C(recovered) whether workers may be where no traffic is, and C(says) what
      was found, in sentences.
  type: dict
"""

NAME = "vitalops.rollout.fleet_plan"


def fleet_plan(
    hostvars: t.Mapping[str, t.Any],
    hosts: t.Sequence[str],
    operation: str,
    application: str,
    environment: str,
    release: dict[str, str] | None = None,
) -> dict[str, t.Any]:
    """Returns the plan. Raises AnsibleFilterError with what stands in its way."""
    begun = {str(host): plain(hostvars[host].get("__rollout_begun") or {}) for host in hosts}
    silent = [host for host, told in begun.items() if "view" not in told]
    if silent:
        raise AnsibleFilterError(f"{NAME}: expected the result of the step begin, found none of {', '.join(silent)}")
    try:
        return plan(begun, operation, application, environment, plain(release))
    except RolloutError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"fleet_plan": fleet_plan}
