#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module slot_release: put a release into a slot, take it out again, or empty the slot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slot_release
version_added: "0.1.0"
short_description: Put a release into a slot of this host, or take it out again
description:
  - Brings the artefact, writes the environment file (0600), records what the slot runs, and starts the named processes.
  - Everything of another release in this slot is stopped and removed. The other slot is never touched.
  - Interrupted at any moment, the next call completes what was begun.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.processes
  - vitalops.rollout.attributes
  - vitalops.rollout.run
options:
  application:
    description: Name of the application.
    type: str
    required: true
  slot:
    description: The slot.
    type: str
    required: true
    choices: [blue, green]
  state:
    description:
      - V(present) puts O(release) into the slot. What was in it before stays on record as the previous release.
      - V(withheld) stops O(release), which was refused. It stays in the slot, so that a person can look at it, until
        another one comes; what it replaced stays on record as the previous release. Nothing happens when the slot does
        not hold O(release). See O(kept_release_id).
      - V(absent) removes everything of the slot.
    type: str
    default: present
    choices: [present, withheld, absent]
  release:
    description: The release, as M(vitalops.rollout.release_info) returns it. Needed unless O(state=absent).
    type: dict
    suboptions:
      id:
        description: Release id.
        type: str
        required: true
      version:
        description: Version.
        type: str
        required: true
      digest:
        description: SHA-256 of the artefact.
        type: str
        required: true
      artefact:
        description: Image repository or URL.
        type: str
        required: true
  runtime:
    description: What runs the application. Needed for O(state=present).
    type: str
    choices: [docker, systemd]
  processes:
    description: The processes of the application. Needed for O(state=present).
  processes_started:
    description: Names of the processes that run after this; the others do not run, unless O(resume=true).
    type: list
    elements: str
    default: []
  port_base:
    description: First host port of the web instances of this slot. Needed for O(state=present).
    type: int
  bind_address:
    description: Address of this host on which web instances take connections.
    type: str
    default: 0.0.0.0
  environment:
    description: Plain environment variables.
    type: dict
    default: {}
  secrets:
    description: Secret environment variables.
    type: dict
    default: {}
  resume:
    description:
      - Whether this run goes on with O(release) where an earlier one, which had put it there, was cut off.
      - Then what runs of it in the slot runs on, also what O(processes_started) does not name; and what this host does
        by itself when users are taken back stays planned, although a newer run is here.
      - For O(state=present) only.
    type: bool
    default: false
  kept_release_id:
    description:
      - Id of the confirmed release that the load balancer's state names for this slot - what a roll back goes to.
      - With O(state=present), this release stays on record as the previous one, if the slot holds it. Without it, or
        when the slot does not hold it, the release that O(release) replaces does.
      - With O(state=withheld), this release runs on, even if O(release) is the same.
    type: str
  masked:
    description:
      - Values that must never show in the result, such as the secrets of the application.
      - Ansible masks them wherever they occur, also in messages and log lines.
    type: list
    elements: str
    default: []
notes:
  - Each instance also gets E(INSTANCE), E(RELEASE_ID), E(RELEASE_VERSION) and E(SLOT), and a web instance E(PORT) and
    E(BIND_ADDRESS), the place where it shall listen.
seealso:
  - module: vitalops.rollout.release_info
  - module: vitalops.rollout.rollout_step
  - module: vitalops.rollout.slot_info
"""

EXAMPLES = r"""
- name: Idle slot runs the web process of the new release
  vitalops.rollout.slot_release:
    application: shop
    slot: green
    runtime: docker
    release: "{{ shop_release.release }}"
    processes:
      - name: web
        kind: web
        command: [web]
        instances: 2
        container_port: 8000
        memory: 512m
      - name: worker
        kind: worker
        command: [worker]
    processes_started: [web]
    port_base: 18100
    bind_address: 192.0.2.11
    secrets:
      DATABASE_URL: "{{ shop_database_url }}"

- name: Refused release is stopped, and kept for a look at it
  vitalops.rollout.slot_release:
    application: shop
    slot: green
    state: withheld
    release: "{{ shop_release.release }}"
    kept_release_id: 1.0.0-0c1b2a3d4e5f
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in this order. Empty when everything was so already.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: One of fetch, write, record, stop, remove, create, start, discard.
      type: str
      returned: success
    target:
      description: The artefact, file or instance.
      type: str
      returned: success
    reason:
      description: Why.
      type: str
      returned: success
killed:
  description: Instances that did not stop within their stop timeout and were killed.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import names
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import probation, retire
from ansible_collections.vitalops.rollout.plugins.module_utils._module import journaled, run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Outcome, Slot
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run


def change(module: AnsibleModule) -> dict[str, t.Any]:
    """Brings the slot into the state that was asked for."""
    wanted = module.params
    paths = Paths(names.check_application(wanted["application"]))
    with journaled(module, {"present": "stage", "withheld": "withhold", "absent": "empty"}[wanted["state"]]):
        return _changed(module, paths)


def _changed(module: AnsibleModule, paths: Paths) -> dict[str, t.Any]:
    wanted = module.params
    slot = Slot(paths, wanted["slot"], check=module.check_mode)
    if wanted["state"] == "absent":
        return slot.empty(runtime=wanted["runtime"]).result()
    release = definition.release_from(wanted["release"])
    folder = states.folder_of(wanted["application"])
    run = None if module.check_mode or not wanted["run"] else Run.from_dict(wanted["run"])
    if wanted["state"] == "withheld":
        outcome = slot.withhold(release.id, kept=wanted["kept_release_id"]).result()
        if run:
            retire.carry_over(folder, run, wanted["slot"])
        return outcome
    if run and wanted["resume"]:
        # First: whoever dies after this leaves work that knows where to go.
        probation.carry_over(folder, run, wanted["slot"], release.id)
    return _place(slot, paths, release, wanted).result()


def _place(slot: Slot, paths: Paths, release: definition.Release, wanted: dict[str, t.Any]) -> Outcome:
    variables = definition.check_variables(
        definition.text_variables(wanted["environment"]), definition.text_variables(wanted["secrets"])
    )
    defined = definition.Definition(
        application=wanted["application"],
        slot=wanted["slot"],
        runtime=wanted["runtime"],
        release=release,
        processes=definition.processes_from(wanted["processes"], runtime=wanted["runtime"]),
        port_base=wanted["port_base"],
        bind_address=wanted["bind_address"],
        environment_file=paths.environment_file(release.id),
        variables=tuple(sorted(variables)),
        started=tuple(wanted["processes_started"]),
    )
    definition.check_definition(defined)
    started = defined.starting(defined.started)
    return slot.place(started, variables, kept=wanted["kept_release_id"], resumes=wanted["resume"])


def main() -> None:
    """Entry point of the module."""
    run_module(
        {
            "application": {"type": "str", "required": True},
            "slot": {"type": "str", "required": True, "choices": list(definition.SLOTS)},
            "state": {"type": "str", "default": "present", "choices": ["present", "withheld", "absent"]},
            "run": {"type": "dict"},
            "release": {"type": "dict", "options": definition.RELEASE_OPTIONS},
            "runtime": {"type": "str", "choices": list(definition.RUNTIMES)},
            "processes": {"type": "list", "elements": "dict", "options": definition.PROCESS_OPTIONS},
            "processes_started": {"type": "list", "elements": "str", "default": []},
            "port_base": {"type": "int"},
            "bind_address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "resume": {"type": "bool", "default": False},
            "kept_release_id": {"type": "str"},
            "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        change,
        required_if=[
            ("state", "present", ("release", "runtime", "processes", "port_base")),
            ("state", "withheld", ("release",)),
        ],
    )


if __name__ == "__main__":
    main()
