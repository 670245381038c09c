# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter refusal."""

from __future__ import annotations

import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import playbook

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
    description:
      - Results of M(vitalops.rollout.slot_info) with log lines, each with its host as C(item). Of instances that the
        cause or I(elsewhere) names the lines are told; where neither names any, those of the first one.
    type: list
    elements: dict
  elsewhere:
    description: What other hosts said when they refused the release; it may name an instance of this one.
    type: str
    default: ""
  reverts:
    description:
      - What the load balancers answered to the step V(revert) of M(vitalops.rollout.rollout_step), when users had the
        release for a while. One with C(problem) did not take it back; one with C(lost) obeys another run.
    type: list
    elements: dict
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
#: What may be the name of an instance, HOST-PROCESS-NUMBER, among words.
_NAME = re.compile(r"[\w.-]+-[0-9]+(?![\w-])")
_STATUS = playbook("status")
_BACK = playbook("roll_back")
_DEPLOY = f"{playbook('deploy')} -e rollout_version=VERSION"


def _logs(plan: dict[str, t.Any], last_words: t.Sequence[t.Mapping[str, t.Any]], said: str) -> list[str]:
    """Returns the lines of the instances that are named in what was *said*; of the first one when none is."""
    found = {
        # As HAProxy and gates call it.
        f"{told['item']}-{instance['process']}-{instance['number']}": (told["item"], instance)
        for told in last_words
        for instance in (told.get("slots") or {}).get(plan["slot"], {}).get("instances", [])
        if instance.get("kind") == "web" and instance.get("log")
    }
    lines = []
    names = set(_NAME.findall(said))
    named = [name for name, (_host, instance) in found.items() if {name, instance["name"]} & names]
    processes = {str(instance["process"]) for _host, instance in found.values()}
    others = names - {host for host, _instance in found.values()}
    someone = any(name.rpartition("-")[0].endswith(f"-{process}") for name in others for process in processes)
    for name in named or ([] if someone else list(found)[:1]):
        host, instance = found[name]
        lines.append(f"Last lines of {instance['name']} on {host}:")
        lines.extend(f"  | {line}" for line in instance["log"])
    return lines


def _outcome(plan: dict[str, t.Any], reverts: t.Sequence[dict[str, t.Any]] | None, *, watched: bool) -> tuple[str, str]:
    """Returns what users have now, and what to do next. *watched*: a watch has taken it back already."""
    previous, slot = plan.get("previous_release"), plan["previous_slot"]
    mend = f"mend the release and deploy it under a new version: {_DEPLOY}"
    if plan["operation"] == "roll_back":
        mend = f"see what runs: {_STATUS}; then deploy a version that works: {_DEPLOY}"
    if plan["converge"]:
        return (
            f"It is live in slot {plan['slot']} and stays there; look at it now.",
            f"see every instance: {_STATUS}; back to the release before it: {_BACK}",
        )
    unsettled = _unsettled(reverts or [])
    if unsettled:
        return unsettled
    if not slot:
        return "No release is live yet: this was the first rollout.", mend
    name = f"{previous['id']} in slot {slot}" if previous else f"slot {slot}"
    if watched or any(one.get("changed") for one in reverts or []):
        return f"Users had it for a moment; {name} has all the traffic again.", mend
    if reverts is not None:  # it never moved, or its guard was faster
        return f"{name} has all the traffic.", mend
    return f"Users noticed nothing: {name} keeps all the traffic.", mend


def _for_a_look(plan: dict[str, t.Any], last_words: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Returns where the refused release can be looked at; nothing where no host has it, or where it is kept anyway."""
    slot, release = plan["slot"], plan["release"]["id"]
    held = [(((told.get("slots") or {}).get(slot) or {}).get("current") or {}).get("id") for told in last_words]
    if plan["operation"] != "deploy" or plan["converge"] or release not in held:
        return []
    if release == plan.get("kept_release_id"):
        return []
    return [f"It stays in slot {slot}, for a look at it, until the next deploy or roll back.", ""]


def _unsettled(reverts: t.Sequence[dict[str, t.Any]]) -> tuple[str, str] | None:
    """Returns the outcome where this run could not settle what users have; None where it did."""
    following = f"see what users have, and who is at work, before you start anything: {_STATUS}"
    taken_over = [str(one["lost"]) for one in reverts if one.get("lost")]
    stuck = [str(one.get("item", "a load balancer")) for one in reverts if one.get("problem") and not one.get("lost")]
    if stuck:
        return (
            f"Users may still have it: it could not be taken back on {', '.join(stuck)}; the warnings say why. "
            "Where the guard is armed, it takes it back to a slot that answers.",
            following,
        )
    if taken_over:
        return f"Another run has taken over ({taken_over[0]}): it decides what users have.", following
    return None


def refusal(
    result: dict[str, t.Any],
    plan: dict[str, t.Any],
    last_words: t.Sequence[t.Mapping[str, t.Any]] = (),
    reverts: t.Sequence[dict[str, t.Any]] | None = None,
    elsewhere: str = "",
) -> str:
    """Returns the message. Raises AnsibleFilterError when *result* is not a failed result."""
    if not isinstance(result, dict):
        raise AnsibleFilterError(f"{NAME}: expected a failed result, found {type(result).__name__}")
    cause = str(result.get("msg") or "the failed task left no message").strip()
    outcome, following = _outcome(plan, reverts, watched=bool(result.get("changed")))
    verb = {"deploy": "was refused", "roll_back": "could not be brought back"}[plan["operation"]]
    if result.get("lost") and not _unsettled(reverts or []):  # nothing is wrong with the release
        verb, following = "was not rolled out", f"see what users have, and who is at work: {_STATUS}"
        if reverts is None:  # nobody was asked
            outcome = "This run was ended, or another one has taken over."
    return "\n".join(
        [
            f"Release {plan['release']['id']} {verb}. {outcome}",
            "",
            cause,
            *_logs(plan, last_words, f"{cause}\n{elsewhere}"),
            "",
            *_for_a_look(plan, last_words),
            f"Next: {following}",
        ]
    )


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"refusal": refusal}
