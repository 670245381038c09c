# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The armed guard on disk: what was written is read back, what could not be is refused while it still can be."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._state import intent as intents
from ansible_collections.vitalops.rollout.plugins.module_utils._state.intent import Intent
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run

RUN = Run("run-kim", 7, "deploy", "kim", "AWX job 42", "1.1.0-bbb", "green", "blue")
INTENT = Intent(
    token="5ecret",
    run=RUN,
    target="green",
    previous="blue",
    armed="2026-11-21T17:20:03Z",
    boot_id="kernel:1000",
    deadline_boottime=400.0,
    deadline_seconds=300.0,
    instances={"blue": ("10.0.0.11:8001", "[2001:db8::1]:8001"), "green": ("10.0.0.11:8002",)},
    check={"path": "/ready", "status": 200, "host": "shop.example"},
    public_url="http://127.0.0.1:80/ready",
)


def at(boottime: float, boot_id: str = "kernel:1000", utc: str = "2026-11-21T17:20:03Z") -> Clock:
    return Clock(utc=lambda: utc, boottime=lambda: boottime, boot_id=lambda: boot_id)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "rollout" / "shop")


def test_what_was_armed_is_read_back(folder: str) -> None:
    assert intents.read(folder) is None
    assert intents.write(folder, INTENT) is True
    assert intents.write(folder, INTENT) is False
    assert intents.read(folder) == INTENT
    path = Path(folder, "intent.json")
    assert (Path(folder).stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    content = json.loads(path.read_text())
    assert (content["schema"], content["status"], content["attempts"], content["says"]) == (1, "armed", 0, None)
    assert content["run"] == RUN.to_dict()


def test_a_first_rollout_has_no_slot_to_go_back_to(folder: str) -> None:
    first = INTENT._replace(previous=None, instances={"green": ()}, run=RUN._replace(previous=None))
    intents.write(folder, first)
    assert intents.read(folder) == first


def test_an_inconsistent_state_is_kept_with_its_reason(folder: str) -> None:
    stuck = INTENT._replace(status="inconsistent", attempts=3, says="blue does not answer\nsee \udcff")
    intents.write(folder, stuck)
    assert intents.read(folder) == stuck._replace(says="blue does not answer\nsee ?")


def test_a_guard_is_disarmed_once(folder: str) -> None:
    assert intents.remove(folder) is False
    intents.write(folder, INTENT)
    assert intents.remove(folder) is True
    assert intents.read(folder) is None


@pytest.mark.parametrize(("boottime", "left"), [(100, 300), (399.5, 0.5), (400, 0), (460, -60), (50, 300)])
def test_the_deadline_counts_in_boot_time_and_is_never_longer_than_it_was(boottime: float, left: float) -> None:
    assert intents.due(INTENT, at(boottime)) == left


@pytest.mark.parametrize("utc", ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_a_jump_of_the_wall_clock_moves_no_deadline(utc: str) -> None:
    assert intents.due(INTENT, at(150, utc=utc)) == 250


@pytest.mark.parametrize("boottime", [1, 150, 10_000])
def test_an_unconfirmed_switch_never_survives_a_boot(boottime: float) -> None:
    assert intents.due(INTENT, at(boottime, boot_id="kernel:77")) == 0
    assert intents.due(INTENT, at(boottime, boot_id="kernel-after:1000")) == 0


WRONG: list[tuple[str, t.Any, str]] = [
    ("token", "", "token is missing"),
    ("token", 7, "token is missing"),
    ("run", None, "the run is NoneType, not an object"),
    ("run", {"id": "run-kim"}, "epoch is missing"),
    ("target", "red", "target is 'red', not one of blue, green"),
    ("target", None, "target is None, not one of blue, green"),
    ("previous", "", "previous is '', not one of"),
    ("boot_id", None, "boot_id is None"),
    ("deadline_boottime", float("nan"), "deadline_boottime is nan"),
    ("deadline_seconds", -1, "deadline_seconds is -1"),
    ("deadline_seconds", "60", "deadline_seconds is '60'"),
    ("instances", None, "instances is NoneType"),
    ("instances", {"red": []}, "instances has 'red', which is no slot"),
    ("instances", {"blue": "10.0.0.11:8001"}, "not a list of addresses"),
    ("instances", {"blue": ["10.0.0.11"]}, "'10.0.0.11', not an address"),
    ("instances", {"blue": [8001]}, "8001, not an address"),
    ("check", None, "check is NoneType"),
    ("check", {"path": "ready", "status": 200}, "path of the check is 'ready'"),
    ("check", {"path": "/ready", "status": "200"}, "status is '200'"),
    ("check", {"path": "/ready", "status": 42}, "status of the check is 42"),
    ("check", {"path": "/ready", "status": 200, "host": "a\r\nb"}, "host is 'a\\r\\nb'"),
    ("public_url", "file:///etc/shadow", "public_url is 'file:///etc/shadow'"),
    ("attempts", -1, "attempts is -1"),
    ("status", "asleep", "status is 'asleep'"),
    ("says", 7, "says is 7"),
]


@pytest.mark.parametrize(("part", "value", "found"), WRONG)
def test_a_wrong_part_in_the_file_is_named_and_the_file_is_left(
    folder: str, part: str, value: t.Any, found: str
) -> None:
    intents.write(folder, INTENT)
    path = Path(folder, "intent.json")
    path.write_text(json.dumps({**INTENT.to_dict(), part: value}))
    before = path.read_bytes()
    with pytest.raises(StateUnreadable, match="What the guard must watch") as refused:
        intents.read(folder)
    assert found in str(refused.value.found)
    assert f"mv {path}" in str(refused.value.next_step)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"token": ""},
        {"target": "red"},
        {"deadline_seconds": float("nan")},
        {"deadline_boottime": float("inf")},
        {"instances": {"blue": ("10.0.0.11",)}},
        {"check": {"path": "/ready", "status": "200"}},
        {"public_url": "127.0.0.1"},
        {"run": RUN._replace(id="")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_intent_that_could_not_be_read_back_is_refused_when_it_is_armed(
    folder: str, changes: dict[str, t.Any]
) -> None:
    intents.write(folder, INTENT)
    with pytest.raises(BadInput, match="The guard cannot be armed"):
        intents.write(folder, INTENT._replace(**changes))
    assert intents.read(folder) == INTENT


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "\0", '{"schema": 2}', '{"schema": 1}'])
def test_garbage_is_refused(folder: str, content: str) -> None:
    intents.write(folder, INTENT)
    Path(folder, "intent.json").write_text(content)
    with pytest.raises(StateUnreadable):
        intents.read(folder)


@pytest.mark.parametrize("shown", [repr, str])
def test_the_token_is_in_no_message(folder: str, shown: t.Callable[[t.Any], str]) -> None:
    assert "5ecret" not in shown(INTENT)
    intents.write(folder, INTENT)
    Path(folder, "intent.json").write_text(json.dumps({**INTENT.to_dict(), "token": "5ecret\n"}))
    with pytest.raises(StateUnreadable) as refused:
        intents.read(folder)
    assert "5ecret" not in shown(refused.value)
