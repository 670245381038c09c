# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks at a load balancer: what it knows is told, with or without HAProxy."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.guard import Arming, Guard
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.probe import Check
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal, lease
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer
from ansible_collections.vitalops.rollout.plugins.modules import rollout_info

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}


def test_information_comes_without_haproxy_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(states, "folder_of", lambda application, root="": str(tmp_path / application))
    monkeypatch.setattr(pointer, "path_of", lambda application, root="": str(tmp_path / application / "traffic.map"))
    (tmp_path / "shop").mkdir()
    state, _entry = states.confirmed(
        states.State("shop", "staging"), operation="deploy", slot="blue", release=R1, by="kim", at="2026"
    )
    states.save(state)
    pointer.write_file("shop", pointer.path_of("shop"), pointer.Pointer("blue", None, 0))
    params = {"application": "shop", "socket": str(tmp_path / "nobody.sock")}
    told = rollout_info.look(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=False)))
    assert told["state"]["live"] == "blue"
    assert told["pointer"] == {"live": "blue", "candidate": None, "weight": 0}
    assert told["servers"] == []
    assert "HAProxy" in told["haproxy_error"]
    assert told["problem"] == ""


class Cut:
    """A run armed its guard for 30 s and was killed 10 s later, in its switch, with a lease of 120 s."""

    def __init__(self, root: Path, peer: t.Any) -> None:
        self.folder = root / "shop"
        self.peer = peer
        now = 100.0
        self.clock = Clock(utc=lambda: "2026-11-21T10:31:02Z", boottime=lambda: now, boot_id=lambda: "kernel:1000")
        timer = types.SimpleNamespace(start=lambda *_: None, stop=lambda *_: None, active=lambda *_: True)
        self.guard = Guard("shop", root=str(root), api=peer.api, timer=t.cast(t.Any, timer), clock=self.clock)
        run = Run("run-kim", 1, "deploy", "kim", "command line", "1.1.0-bbb", "green", "blue")
        lease.acquire(str(self.folder), run, 120, self.clock)
        pointer.write_file("shop", self.guard.map_path, pointer.Pointer("blue", None, 0))
        peer.map["shop"] = "blue:none:0"
        with journal.step(str(self.folder), run, "begin", self.clock):
            pass
        self.guard.arm(run, Arming("green", "blue", 30.0, Check("/ready", 200, "shop"), {}))
        journal.append(str(self.folder), run, "switch", "begin", clock=self.clock)
        now = 110.0


@pytest.fixture
def cut(tmp_path: Path, peer: t.Any) -> Cut:
    return Cut(tmp_path, peer)


def told_of_run(told: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    entry, intent = told["unfinished"], told["intent"]
    return (entry["run"], entry["step"], entry["phase"], intent["left"], intent["timer"])


def test_a_run_that_was_cut_off_is_told_with_its_step_and_its_deadline(cut: Cut) -> None:
    told = rollout_info.run(cut.guard)
    assert told_of_run(told) == ("run-kim", "switch", "begin", 20.0, True)
    assert (told["lease"]["remaining"], told["action"], told["problem"]) == (110.0, "disarm", "")
    assert "cut off in step switch" in told["says"]
    assert "token" not in told["intent"]


def test_a_damaged_lease_is_told_and_hides_nothing_else(cut: Cut) -> None:
    (cut.folder / "lease.json").write_text("{")
    told = rollout_info.run(cut.guard)
    assert told["lease"] is None
    assert f"next: look at it, then move it away: mv {cut.folder}/lease.json" in told["problem"]
    assert told_of_run(told) == ("run-kim", "switch", "begin", 20.0, True)
    assert told["action"] == "disarm"


@pytest.mark.parametrize("file", ["state.json", "traffic.map", "intent.json"])
def test_a_damaged_file_is_told_and_hides_nothing_else(cut: Cut, file: str) -> None:
    (cut.folder / file).write_text("{" if file.endswith("json") else "shop nonsense")
    told = rollout_info.run(cut.guard)
    assert f"{cut.folder}/{file}" in told["problem"]
    assert told["lease"]["remaining"] == 110.0
    assert told["unfinished"]["step"] == "switch"
    assert (told["pointer"] is None) == (file == "traffic.map")


def test_a_journal_of_a_newer_collection_is_told_once_and_hides_nothing_else(cut: Cut) -> None:
    with (cut.folder / "journal.ndjson").open("a") as lines:
        lines.write('{"schema": 2}\n')
    told = rollout_info.run(cut.guard)
    assert (told["unfinished"], told["action"], told["says"]) == (None, None, "")
    assert told["problem"].count("written by a newer version") == 1
    assert (told["lease"]["remaining"], told["intent"]["left"]) == (110.0, 20.0)


def test_a_haproxy_that_answers_nonsense_is_told_once_and_does_not_hide_the_step(
    cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_info, "Guard", lambda *_arguments, **_more: cut.guard)
    monkeypatch.setattr(states, "folder_of", lambda *_arguments: str(cut.folder))
    monkeypatch.setattr(pointer, "path_of", lambda *_arguments: cut.guard.map_path)
    cut.peer.map["shop"] = "nonsense"
    (cut.folder / "lease.json").write_text("{")
    params = {"application": "shop", "socket": cut.peer.api.path}
    told = rollout_info.look(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=False)))
    assert "cannot be understood" in told["haproxy_error"]
    assert "cannot be understood" not in told["problem"]
    assert told["problem"].startswith("A state file is damaged.")
    assert (told_of_run(told)[1], told["action"]) == ("switch", None)
