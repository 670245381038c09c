# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin: asks the program in one call, and takes what it says."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
import yaml
from ansible_collections.vitalops.rollout.plugins.action import rollout_step as action
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import steps
from ansible_collections.vitalops.rollout.plugins.modules import rollout_step as documented
from ansible_collections.vitalops.rollout.plugins.plugin_utils._program import PROTOCOL

ARGUMENTS = {"application": "shop", "environment_name": "staging", "step": "begin", "run": {"operation": "deploy"}}


def acts(result: dict[str, t.Any], *, check_mode: bool = False, **arguments: t.Any) -> tuple[dict[str, t.Any], t.Any]:
    """What the task gives, and the request that reached the host."""
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task = types.SimpleNamespace(args={**ARGUMENTS, **arguments}, check_mode=check_mode, async_val=0)
    plugin._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None))
    plugin._play_context = plugin._loader = plugin._templar = None
    plugin._supports_check_mode = plugin._supports_async = True
    calls: list[tuple[str, t.Any]] = []

    def execute(command: str, *, sudoable: bool, in_data: bytes) -> dict[str, t.Any]:
        assert sudoable
        calls.append((command, json.loads(in_data)))
        return {"rc": 0, "stdout": "", "stderr": "", **result}

    plugin._low_level_execute_command = execute
    told = plugin.run(task_vars={})
    assert len(calls) == 1
    assert calls[0][0] == "/usr/local/sbin/rollout-guard step"
    return told, calls[0][1]


def test_the_request_travels_on_standard_input_and_the_answer_is_the_result() -> None:
    told, request = acts({"stdout": '{"changed": true, "view": {}}\n'}, parameters={"recovery": "revert"})
    assert told == {"changed": True, "view": {}}
    assert (request["protocol"], request["step"], request["check"]) == (steps.PROTOCOL, "begin", False)
    assert request["parameters"] == {"recovery": "revert"}
    assert request["run"] == {"id": action.run_id(), "epoch": 0, "operation": "deploy"}


def test_a_run_that_has_begun_keeps_its_id_and_epoch() -> None:
    _told, request = acts({"stdout": "{}"}, run={"id": "abc", "epoch": 7}, check_mode=True)
    assert request["run"] == {"id": "abc", "epoch": 7}
    assert request["check"] is True


def test_a_host_without_the_program_is_told_to_be_provisioned() -> None:
    told, _request = acts({"rc": 127, "stderr": "sh: not found"})
    assert "The guard is not installed" in told["msg"]


def test_who_lost_the_lease_can_be_told_from_what_failed() -> None:
    answer = {"failed": True, "msg": "May not change shop any more", "lost": "run b: roll_back by lee"}
    told, _request = acts({"stdout": json.dumps(answer)}, step="revert", required=False)
    assert (told["problem"], told["lost"]) == (answer["msg"], answer["lost"])
    told, _request = acts({"stdout": '{"failed": true, "msg": "disk full"}'}, step="revert", required=False)
    assert "lost" not in told


def test_secrets_do_not_come_back() -> None:
    told, request = acts({"stdout": '{"failed": true, "msg": "it said hidden-value"}'}, masked=["hidden-value"])
    assert told["msg"] == "it said ********"
    assert "hidden-value" not in json.dumps(request)


def test_one_run_has_one_id_and_another_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    first = action.run_id()
    assert first == action.run_id()
    monkeypatch.setattr(action.constants, "DEFAULT_LOCAL_TMP", "/another/run")
    assert action.run_id() != first


def test_what_is_documented_is_what_is_taken_and_what_the_program_can_do() -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    kept = ("type", "required", "choices", "default", "elements")
    assert {name: {key: one[key] for key in kept if key in one} for name, one in options.items()} == {
        name: {key: one[key] for key in kept if key in one} for name, one in action.ARGUMENTS.items()
    }
    watch = {"watch", "watched", "unwatch"}  # of rollout_watch
    assert sorted(action.ARGUMENTS["step"]["choices"]) == sorted(set(steps.STEPS) - watch)
    assert PROTOCOL == steps.PROTOCOL
