#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module command_gate: runs a test program and holds its numbers against limits."""

from __future__ import annotations

DOCUMENTATION = r"""
module: command_gate
version_added: "0.1.0"
short_description: Run a test program and hold its numbers against limits
description:
  - Runs the command of a gate of type V(command) on this host, without a shell, and returns its verdict. It never fails
    because of a verdict; M(vitalops.rollout.rollout_watch), which calls it, decides what follows.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
attributes:
  check_mode:
    support: partial
    description: Says what is wrong with the gate, and runs nothing.
    details: Returns RV(verdict=no_data), which is never a pass.
  diff_mode:
    support: none
    description: There is no change to show.
options:
  gate:
    description: The gate, as in C(rollout_gates).
    type: dict
    required: true
  phase:
    description: The phase that it belongs to.
    type: str
    default: before_switch
  runs_while:
    description:
      - Path of a file that this module makes and removes. The program is stopped as soon as somebody else removes it.
    type: path
  program_environment:
    description: What the program finds in its environment, beside that of this user.
    type: dict
    default: {}
  masked:
    description: Values that must never show, such as the secrets of the application, should the program repeat one.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: A thousand users are served within 200 ms
  vitalops.rollout.command_gate:
    gate:
      name: load
      type: command
      command: [locust, --headless, --only-summary, -f, locustfile.py, --users, "1000", --run-time, 5m]
      timeout: 6 min
      values: {users: users, p95: p95_ms}
      at_least: {users: 1000}
      at_most: {p95: 200}
    program_environment:
      LOCUST_HOST: http://10.0.0.11:18100
"""

RETURN = r"""
verdict:
  description: V(pass), V(fail), V(no_data) or V(error).
  returned: success
  type: str
words:
  description: What was seen, each number next to its limit.
  returned: success
  type: list
  elements: str
answers:
  description: The last lines that the program wrote, when it did not pass.
  returned: success
  type: list
  elements: str
"""

import contextlib
import os
import threading
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import command, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import NO_DATA
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module

_LOOK = 0.2  # s between two looks for the file


def run_gate(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what the program gave."""
    gate = specification.read({module.params["phase"]: [module.params["gate"]]}, "gate")[0]
    if module.check_mode:
        return {"changed": False, "verdict": NO_DATA, "words": ["check mode runs nothing"], "answers": []}
    sampler = command.sampler(gate, module.params["program_environment"])
    with _runs_while(module.params["runs_while"], sampler.stop):
        look = sampler(gate.fields["timeout"])
    return {"changed": False, "verdict": look.verdict, "words": list(look.words), "answers": list(look.answers)}


@contextlib.contextmanager
def _runs_while(path: str | None, stop: t.Callable[[], None]) -> t.Iterator[None]:
    """Calls *stop* when the file *path* is removed before the block ends. Raises OSError for one that exists."""
    if path is None:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            if not os.path.lexists(path):
                stop()
                return

    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def main() -> None:
    run_module(
        {
            "gate": {"type": "dict", "required": True},
            "phase": {"type": "str", "default": "before_switch"},
            "runs_while": {"type": "path"},
            "program_environment": {"type": "dict", "default": {}},
            "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        run_gate,
    )


if __name__ == "__main__":
    main()
