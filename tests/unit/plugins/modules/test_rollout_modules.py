# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the load balancer that need no HAProxy: plan, record and info, on a state folder of their own."""

from __future__ import annotations

import json
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer
from ansible_collections.vitalops.rollout.plugins.modules import rollout_info, rollout_plan, rollout_record

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(states, "folder_of", lambda application, root="": str(tmp_path / application))
    monkeypatch.setattr(pointer, "path_of", lambda application, root="": str(tmp_path / application / "traffic.map"))
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


def asked(*, check_mode: bool = False, **parameters: t.Any) -> t.Any:
    return types.SimpleNamespace(params={"application": "shop", **parameters}, check_mode=check_mode)


def record(release: dict[str, str], slot: str, *, check_mode: bool = False, **changes: str) -> dict[str, t.Any]:
    parameters = {"operation": "deploy", "outcome": "confirmed", "by": "kim", "source": "command line", "reason": ""}
    parameters |= {"environment_name": "staging", "slot": slot, **changes}
    return rollout_record.record(asked(check_mode=check_mode, release=release, **parameters))


def plan(operation: str, release: dict[str, str] | None = None, environment: str = "staging") -> dict[str, t.Any]:
    told = rollout_plan.decide(asked(operation=operation, environment_name=environment, release=release))
    return t.cast("dict[str, t.Any]", told["plan"])


def route(folder: Path, slot: str) -> None:
    pointer.write_file("shop", str(folder / "traffic.map"), pointer.Pointer(slot, None, 0))


def test_a_first_deploy_is_planned_into_blue_and_recorded_once(folder: Path) -> None:
    planned = plan("deploy", R1)
    assert (planned["slot"], planned["previous_slot"], planned["moves"]) == ("blue", None, False)
    assert record(R1, "blue")["changed"] is True
    assert record(R1, "blue")["changed"] is False
    lines = (folder / "journal.ndjson").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["command line"]


def test_a_check_records_nothing_but_says_what_it_would(folder: Path) -> None:
    told = record(R1, "blue", check_mode=True)
    assert told["changed"] is True
    assert told["diff"]["after"]["live"] == "blue"
    assert list(folder.iterdir()) == []


def test_an_upgrade_then_a_roll_back(folder: Path) -> None:
    record(R1, "blue")
    route(folder, "blue")
    planned = plan("deploy", R2)
    assert (planned["slot"], planned["moves"], planned["kept_release_id"]) == ("green", True, None)
    record(R2, "green")
    route(folder, "green")
    planned = plan("roll_back")
    assert (planned["slot"], planned["release"]["id"], planned["previous_release"]["id"]) == (
        "blue",
        R1["id"],
        R2["id"],
    )


def test_a_refusal_is_remembered_with_its_reason_and_changes_nothing_else(folder: Path) -> None:
    record(R1, "blue")
    told = record(R2, "green", outcome="refused", reason="3 of 4 failed")
    assert told["diff"]["before"] == told["diff"]["after"]
    assert told["state"]["history"][-1]["reason"] == "3 of 4 failed"


def test_another_environment_is_refused(folder: Path) -> None:
    record(R1, "blue")
    with pytest.raises(BadInput, match="another environment"):
        plan("deploy", R2, environment="production")


def test_information_comes_without_haproxy_too(folder: Path) -> None:
    record(R1, "blue")
    route(folder, "blue")
    told = rollout_info.look(asked(socket=str(folder / "nobody.sock")))
    assert told["state"]["live"] == "blue"
    assert told["pointer"] == {"live": "blue", "candidate": None, "weight": 0}
    assert told["servers"] == []
    assert "HAProxy" in told["haproxy_error"]
