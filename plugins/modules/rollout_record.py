#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rollout_record."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_record
short_description: Record how a rollout ended
version_added: "0.1.0"
description:
  - Writes the outcome durably into the state of the application on a load-balancer host, and a line into its journal.
  - Recording a release as confirmed that is recorded so already changes nothing.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  environment_name:
    description: Environment of this rollout.
    type: str
    required: true
  operation:
    description: What was done.
    type: str
    choices: [deploy, roll_back]
    required: true
  outcome:
    description: Whether the release was found good, or refused (traffic stayed where it was).
    type: str
    choices: [confirmed, refused]
    default: confirmed
  slot:
    description: The slot of the release.
    type: str
    choices: [blue, green]
    required: true
  release:
    description: The release with its id, version, digest and artefact.
    type: dict
    required: true
  by:
    description: Who did it.
    type: str
    required: true
  source:
    description: Where that identity comes from, such as C(command line) or C(AWX job 42).
    type: str
    default: command line
  reason:
    description: Why a release was refused.
    type: str
    default: ""
"""

EXAMPLES = r"""
---
- name: Release is recorded as good
  vitalops.rollout.rollout_record:
    application: shop
    environment_name: production
    operation: deploy
    slot: green
    release: "{{ plan.release }}"
    by: "{{ rollout_actor }}"
"""

RETURN = r"""
state:
  description: Content of C(state.json) afterwards.
  returned: success
  type: dict
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states


def meaning(state: states.State) -> dict[str, t.Any]:
    return {
        "live": state.live,
        "last_good": state.last_good,
        "slots": {slot: record.release["id"] if record else None for slot, record in state.slots.items()},
    }


def record(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    before = states.load(params["application"]) or states.State(params["application"], params["environment_name"])
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    what = {name: params[name] for name in ("operation", "slot", "release", "by")}
    entry: dict[str, str] | None
    if params["outcome"] == "confirmed":
        after, entry = states.confirmed(before, at=at, **what)
    else:
        after, entry = states.refused(before, at=at, reason=params["reason"], **what)
    if entry is not None and not module.check_mode:
        states.append_journal(params["application"], {**entry, "source": params["source"]})
        states.save(after)
    return {
        "changed": entry is not None,
        "state": after.to_dict(),
        "diff": {"before": meaning(before), "after": meaning(after)},
    }


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "environment_name": {"type": "str", "required": True},
            "operation": {"type": "str", "choices": ["deploy", "roll_back"], "required": True},
            "outcome": {"type": "str", "choices": ["confirmed", "refused"], "default": "confirmed"},
            "slot": {"type": "str", "choices": list(states.SLOTS), "required": True},
            "release": {"type": "dict", "required": True},
            "by": {"type": "str", "required": True},
            "source": {"type": "str", "default": "command line"},
            "reason": {"type": "str", "default": ""},
        },
        record,
    )


if __name__ == "__main__":
    main()
