# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter summary."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: summary
short_description: Say in three lines how a rollout ended
version_added: "0.1.0"
description:
  - Says what is live now, what is kept warm, and how to go back.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The plan of the rollout.
    type: dict
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  drain:
    description:
      - Result of the step V(drain) of M(vitalops.rollout.rollout_step) for the slot that lost the traffic, when there
        is one.
    type: dict
"""

EXAMPLES = r"""
---
- name: The rollout is done
  ansible.builtin.debug:
    msg: "{{ rollout_plan | vitalops.rollout.summary('shop') }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.summary"


def summary(plan: dict[str, t.Any], application: str, drain: dict[str, t.Any] | None = None) -> list[str]:
    """Returns the lines. Raises AnsibleFilterError when *plan* is not a plan."""
    if not isinstance(plan, dict) or "release" not in plan:
        raise AnsibleFilterError(f"{NAME}: expected a plan with a release, found {type(plan).__name__}")
    release, previous = plan["release"], plan.get("previous_release")
    lines = [f"{application}: release {release['id']} is live in slot {plan['slot']}."]
    if plan["converge"]:
        return [*lines, "It was live before this run; nothing moved."]
    if not previous and plan["operation"] == "roll_back":
        return [*lines, "A run before this one had been cut off; its traffic is taken back."]
    if not previous:
        return [*lines, "It is the first one: roll_back works from the next deploy on."]
    if drain and drain.get("drained") is False and "in_flight" in drain:
        lines.append(f"{drain['in_flight']} long requests still run in slot {plan['previous_slot']}; they may finish.")
    lines.append(f"{previous['id']} stays warm in slot {plan['previous_slot']}: roll_back goes back to it.")
    return lines


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"summary": summary}
