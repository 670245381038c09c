# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a primary asks before it starts: one that was replaced stays down, and one that is alone starts."""

from __future__ import annotations

import importlib.util
import json
import types
import typing as t
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/postgres/files/postgres_before_start.py"


@pytest.fixture
def program() -> types.ModuleType:
    specification = importlib.util.spec_from_file_location("postgres_before_start", PROGRAM)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "data/pg_wal").mkdir(parents=True)
    told = {
        "member": "db1",
        "others": {"db2": "10.0.0.2", "db3": "10.0.0.3"},
        "port": 5432,
        "user": "replicator",
        "passfile": "/none",
        "version": "17",
        "data": str(tmp_path / "data"),
    }
    path = tmp_path / "members.json"
    path.write_text(json.dumps(told))
    return path


CONTROL = "Database system identifier:           7571\nLatest checkpoint's TimeLineID:       1\n"


def answers(program: types.ModuleType, monkeypatch: pytest.MonkeyPatch, db2: str | None, db3: str | None) -> None:
    def run(arguments: list[str]) -> str | None:
        if arguments[0].endswith("pg_controldata"):
            return CONTROL
        return db2 if any("10.0.0.2" in one for one in arguments) else db3

    monkeypatch.setattr(program, "run", run)


@pytest.mark.parametrize(
    ("db2", "db3", "says"),
    [
        # Nobody answers: a primary must be able to start alone.
        (None, None, None),
        # It is the primary, and they follow it.
        ("t 7571 1", "t 7571 1", None),
        ("f 7571 2", None, "db2 was promoted while this host was away (timeline 2, here 1)"),
        (None, "f 7571 2", "postgres_rejoin=db1"),
        # The new primary is down; a standby of it tells.
        (None, "t 7571 2", "db3 follows somebody who was promoted while this host was away"),
        (None, "t 7571 2", "postgres_promote=db3"),
        # Somebody else's database, an older history, and words that mean nothing.
        ("f 9999 5", "f 7571 1", None),
        ("ERROR", "f 7571", None),
    ],
)
def test_a_primary_that_was_replaced_does_not_start(
    program: types.ModuleType,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    db2: str | None,
    db3: str | None,
    says: str | None,
) -> None:
    answers(program, monkeypatch, db2, db3)
    assert program.main(str(settings)) == (0 if says is None else 1)
    assert (says or "") in capsys.readouterr().err


def test_a_standby_asks_nobody(program: types.ModuleType, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(program, monkeypatch, "f 7571 2", None)
    (settings.parent / "data/standby.signal").write_text("")
    assert program.main(str(settings)) == 0


def test_a_new_primary_that_died_before_its_first_checkpoint_starts_beside_its_standbys(
    program: types.ModuleType, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(program, monkeypatch, "t 7571 2", None)
    (settings.parent / "data/pg_wal/00000002.history").write_text("")
    assert program.main(str(settings)) == 0


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"data": "/none"}'])
def test_settings_that_nobody_can_read_keep_no_database_down(
    program: types.ModuleType, settings: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    settings.unlink()
    if text is not None:
        settings.write_text(text)
    assert program.main(str(settings)) == 0
    assert "starts without asking" in capsys.readouterr().err


def test_a_program_that_is_missing_or_fails_tells_nothing(program: types.ModuleType) -> None:
    told: t.Any = [program.run(one) for one in (["/none"], ["false"], ["echo", "told"])]
    assert told == [None, None, "told\n"]
