# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of the module rollout_step: asks the program on the host, which is three times as fast as a module."""

from __future__ import annotations

import hashlib
import json
import socket
import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.vitalops.rollout.plugins.plugin_utils._plain import plain
from ansible_collections.vitalops.rollout.plugins.plugin_utils._program import PROGRAM, PROTOCOL, answer, missing

LOAD_BALANCER_STEPS = (
    *("info", "begin", "renew", "adopt", "arm", "shift", "switch", "drain", "verify", "confirm", "revert", "end"),
    *("approve", "approved"),
)
APPLICATION_STEPS = ("wake", "workers", "stop", "retire")
ARGUMENTS: dict[str, t.Any] = {
    "application": {"type": "str", "required": True},
    "environment_name": {"type": "str", "required": True},
    "step": {
        "type": "str",
        "required": True,
        "choices": [*LOAD_BALANCER_STEPS, *APPLICATION_STEPS],
    },
    "run": {"type": "dict", "required": True},
    "parameters": {"type": "dict", "default": {}},
    "required": {"type": "bool", "default": True},
    "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
}


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """What Ansible asks for."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what the program on the host answers."""
        super().run(tmp, task_vars)
        _validated, wanted = self.validate_argument_spec(ARGUMENTS)
        try:
            result = self._ask(self._request(wanted["step"], wanted, wanted["parameters"]), wanted["masked"])
        except AnsibleConnectionFailure as error:
            if wanted["required"]:
                raise
            result = {"failed": True, "msg": f"The host cannot be reached: {error}"}
        if wanted["required"] or not result.get("failed"):
            return result
        told = {"changed": False, "problem": result["msg"], "warnings": [str(result["msg"])]}
        return {**told, "lost": result["lost"]} if result.get("lost") else told

    def _request(self, step: str, wanted: t.Mapping[str, t.Any], parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        return {
            "protocol": PROTOCOL,
            "step": step,
            "application": wanted["application"],
            "environment": wanted["environment_name"],
            "check": bool(self._task.check_mode),
            "run": {"id": run_id(), "epoch": 0, **wanted["run"]},
            "parameters": parameters,
        }

    def _ask(self, request: dict[str, t.Any], masked: t.Sequence[str]) -> dict[str, t.Any]:
        told = self._low_level_execute_command(
            f"{PROGRAM} step", sudoable=True, in_data=json.dumps(plain(request)).encode("utf-8")
        )
        if told["rc"] == 127:
            # Without the program this host has no lease to give back either.
            return {"changed": False} if request["step"] == "end" else missing()
        return answer(told["stdout"], told["stderr"], told["rc"], masked=masked)


def run_id() -> str:
    """Returns the id of this run: the same in every task, for all of them share this folder, and in no other run."""
    seed = f"{socket.gethostname()} {constants.DEFAULT_LOCAL_TMP}"
    return hashlib.sha256(seed.encode("utf-8")).hexdigest()[:16]
