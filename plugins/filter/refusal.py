# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter refusal."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: refusal
short_description: Say why a release was refused, and what users have now
version_added: "0.1.0"
description:
  - Turns a failed result into what a tired operator needs; what happened, the cause, what users have, what to do next.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The failed result (C(ansible_failed_result)).
    type: dict
    required: true
  plan:
    description: The plan of the rollout.
    type: dict
    required: true
  last_words:
    description: Result of M(vitalops.rollout.slot_info) with log lines, when there is one.
    type: dict
"""

EXAMPLES = r"""
---
- name: The release was refused
  ansible.builtin.fail:
    msg: "{{ ansible_failed_result | vitalops.rollout.refusal(rollout_plan) }}"
"""

RETURN = r"""
_value:
  description: The message.
  type: str
"""

NAME = "vitalops.rollout.refusal"


def _logs(plan: dict[str, t.Any], last_words: dict[str, t.Any]) -> list[str]:
    lines = []
    instances = last_words.get("slots", {}).get(plan["slot"], {}).get("instances", [])
    for instance in instances:
        if instance.get("kind") == "web" and instance.get("log"):
            lines.append(f"Last lines of {instance['name']}:")
            lines.extend(f"  | {line}" for line in instance["log"])
    return lines


def refusal(result: dict[str, t.Any], plan: dict[str, t.Any], last_words: dict[str, t.Any] | None = None) -> str:
    """Returns the message. Raises AnsibleFilterError when *result* is not a failed result."""
    if not isinstance(result, dict):
        raise AnsibleFilterError(f"{NAME}: expected a failed result, found {type(result).__name__}")
    cause = str(result.get("msg") or "the failed task left no message").strip()
    previous = plan.get("previous_release")
    if plan.get("converge"):
        outcome = f"Release {plan['release']['id']} is live in slot {plan['slot']} and stays there; look at it now."
        following = "playbook status.yml shows every instance; roll_back.yml goes to the release before it."
    elif previous:
        outcome = f"Users noticed nothing: {previous['id']} in slot {plan['previous_slot']} keeps all the traffic."
        following = "mend the release and deploy it under a new version; playbook status.yml shows what runs."
    else:
        outcome = "No release is live yet: this was the first rollout."
        following = "mend the release and deploy again."
    verb = {"deploy": "was refused", "roll_back": "could not be brought back"}[plan["operation"]]
    return "\n".join(
        [
            f"Release {plan['release']['id']} {verb}. {outcome}",
            "",
            cause,
            *_logs(plan, last_words or {}),
            "",
            f"Next: {following}",
        ]
    )


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"refusal": refusal}
