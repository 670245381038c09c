#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rollout_plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Decide what a deploy or a roll back will do
version_added: "0.1.0"
description:
  - Reads the recorded state and the traffic pointer on a load-balancer host and decides which slot gets which release.
  - Changes nothing. Fails when the plan would be unsafe, such as a state that contradicts the traffic pointer.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes.info
options:
  application:
    description: Name of the application.
    type: str
    required: true
  environment_name:
    description: Environment that this run is meant for; a state of another environment is refused.
    type: str
    required: true
  operation:
    description: What is planned.
    type: str
    choices: [deploy, roll_back]
    required: true
  release:
    description: The release to deploy, as returned by M(vitalops.rollout.release_info).
    type: dict
"""

EXAMPLES = r"""
---
- name: Roll back is planned
  vitalops.rollout.rollout_plan:
    application: shop
    environment_name: production
    operation: roll_back
  register: roll_back
"""

RETURN = r"""
plan:
  description: What will be done.
  returned: success
  type: dict
  contains:
    operation:
      description: V(deploy) or V(roll_back).
      type: str
      returned: success
    slot:
      description: The slot that gets, or keeps, the release.
      type: str
      returned: success
    release:
      description: The release with its id, version, digest and artefact.
      type: dict
      returned: success
    previous_slot:
      description: The slot that has the traffic now, or V(null) at a first rollout.
      type: str
      returned: success
    previous_release:
      description: The release that users get now, or V(null).
      type: dict
      returned: success
    converge:
      description: Whether the release is live already, so that the run only repairs what drifted.
      type: bool
      returned: success
    kept_release_id:
      description: The confirmed release that the slot held before, which a refusal must bring back, or V(null).
      type: str
      returned: success
    moves:
      description: Whether traffic leaves another slot.
      type: bool
      returned: success
    steps:
      description: The steps, as sentences.
      type: list
      elements: str
      returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._state import plan, state
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer


def decide(module: AnsibleModule) -> dict[str, t.Any]:
    application, environment = module.params["application"], module.params["environment_name"]
    known = state.load(application) or state.State(application, environment)
    if known.environment != environment:
        raise BadInput(
            f"This host serves another environment of {application}.",
            expected=f"environment {environment}, as rollout_environment of this run says",
            found=f"environment {known.environment}, as recorded at its first rollout",
            where=f"{state.folder_of(application)}/state.json",
            next_step="run with the inventory of that environment, or correct rollout_environment",
        )
    in_file = pointer.read_file(application, pointer.path_of(application))
    live = in_file.live if in_file else None
    if module.params["operation"] == "deploy":
        return {"plan": plan.deploy(known, live, module.params["release"]).to_dict()}
    return {"plan": plan.roll_back(known, live).to_dict()}


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "environment_name": {"type": "str", "required": True},
            "operation": {"type": "str", "choices": ["deploy", "roll_back"], "required": True},
            "release": {"type": "dict"},
        },
        decide,
        required_if=[("operation", "deploy", ["release"])],
    )


if __name__ == "__main__":
    main()
