#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module slot_info: what the slots of an application hold on this host, and how their instances are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slot_info
version_added: "0.1.0"
short_description: Tell what the slots of an application hold and how their instances are
description:
  - Tells, for both slots, the release in it, the one before it, and the state of each instance.
  - Can add the last log lines of each instance, which tell why a gate refused a release.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.attributes.info
options:
  application:
    description: Name of the application.
    type: str
    required: true
  log_lines:
    description: How many of the last log lines of each instance to return.
    type: int
    default: 0
  masked:
    description:
      - Values that must never show in the result, such as the secrets of the application.
      - Ansible masks them wherever they occur, also in messages and log lines.
    type: list
    elements: str
    default: []
seealso:
  - module: vitalops.rollout.slot_release
"""

EXAMPLES = r"""
- name: Slots have told what they hold
  vitalops.rollout.slot_info:
    application: shop
    log_lines: 20
    masked: "{{ shop_secrets.values() | list }}"
  register: shop_slots
"""

RETURN = r"""
step:
  description:
    - The begin of the newest step of a run on the slots of this host that has no end in its journal, or none.
    - C(at_work) tells whether it is being done at this moment; else it died.
  returned: success
  type: dict
  sample: {"run": "3f9c21ab77d05e10", "step": "stage", "at": "2026-01-31T22:10:05Z", "at_work": true}
follows:
  description:
    - Id of the release on probation here, from which this host brings work back by itself when load balancers take
      users back; or none.
  returned: success
  type: str
  sample: 1.1.0-0c1b2a3d4e5f
slots:
  description: One entry for each of the keys V(blue) and V(green).
  returned: success
  type: dict
  contains:
    slot:
      description: Name of the slot.
      type: str
      returned: success
    runtime:
      description: What runs the instances; none when the slot is empty.
      type: str
      returned: success
    current:
      description: The release in the slot (id, version, digest, artefact), or none.
      type: dict
      returned: success
    previous:
      description: The release that was in the slot before, or none.
      type: dict
      returned: success
    processes_started:
      description: Names of the processes that should be running.
      type: list
      elements: str
      returned: success
    instances:
      description: All instances that the release has, and those that should not be there.
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description: Name of the instance.
          type: str
          returned: success
        process:
          description: Name of its process.
          type: str
          returned: success
        kind:
          description: Kind of its process; none for an instance that should not be there.
          type: str
          returned: success
        number:
          description: Number of the instance within its process, from 1.
          type: int
          returned: success
        address:
          description: Address on which a web instance takes connections; otherwise none.
          type: str
          returned: success
        port:
          description: Host port of a web instance; otherwise none.
          type: int
          returned: success
        state:
          description: V(running), V(stopped), V(restarting), or V(missing) when it should run and does not exist.
          type: str
          returned: success
        health:
          description: What the container's health check says; none when there is no such check.
          type: str
          returned: success
        restarts:
          description: How often it was restarted after it ended by itself.
          type: int
          returned: success
        started_at:
          description: When it was started, UTC.
          type: str
          returned: success
        release_id:
          description: The release that it belongs to.
          type: str
          returned: success
        log:
          description: Its last log lines, oldest first.
          type: list
          elements: str
          returned: when O(log_lines) is above 0
  sample:
    blue:
      slot: blue
      runtime: docker
      current:
        id: 1.1.0-3f9c21ab77d0
        version: 1.1.0
        digest: sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730
        artefact: registry.example.net/shop
      previous: null
      processes_started: [web]
      instances:
        - name: shop-blue-web-1
          process: web
          kind: web
          number: 1
          address: 192.0.2.11
          port: 18000
          state: running
          health: healthy
          restarts: 0
          started_at: "2026-11-21T13:38:13Z"
          release_id: 1.1.0-3f9c21ab77d0
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import names
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change, probation
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import report
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states


def tell(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what both slots hold."""
    application = names.check_application(module.params["application"])
    paths, lines = Paths(application), module.params["log_lines"]
    return {
        "changed": False,
        "step": unended_step(states.folder_of(application)),
        "follows": follows(states.folder_of(application)),
        "slots": {slot: report(paths, slot, lines=lines) for slot in definition.SLOTS},
    }


def unended_step(folder: str) -> dict[str, t.Any] | None:
    """Returns what RETURN calls step. A journal that nobody can read does not hide the slots."""
    with contextlib.suppress(RolloutError):
        entry = change.unended(folder)
        if entry is not None:
            at_work = change.at_work(folder) is not None
            return {"run": entry.run, "step": entry.step, "at": entry.at, "at_work": at_work}
    return None


def follows(folder: str) -> str | None:
    """Returns what RETURN calls follows. What nobody can read is followed by nobody."""
    with contextlib.suppress(RolloutError):
        planned = probation.read(folder)
        if planned is not None and planned.run.epoch >= leases.newest(folder):
            return planned.release_id
    return None


def main() -> None:
    """Entry point of the module."""
    run_module(
        {
            "application": {"type": "str", "required": True},
            "log_lines": {"type": "int", "default": 0},
            "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        tell,
    )


if __name__ == "__main__":
    main()
