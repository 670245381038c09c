# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test program runs as long as it is needed, and no longer."""

from __future__ import annotations

import os
import threading
import time
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.modules import command_gate


def run(path: Path, command: list[str], check: bool = False) -> dict[str, t.Any]:
    gate = {"name": "load", "type": "command", "command": command, "timeout": "20 s"}
    params = {
        "gate": gate,
        "phase": "bake",
        "runs_while": str(path),
        "masked": [],
        "program_environment": {"SLOT": "green"},
    }
    return command_gate.run_gate(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=check)))


def test_a_program_that_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    assert run(tmp_path / "runs", ["true"])["verdict"] == "pass"
    assert not os.listdir(tmp_path)


def test_a_program_is_stopped_when_nobody_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "runs"

    def remove() -> None:
        while not path.exists():
            time.sleep(0.01)
        path.unlink()

    threading.Thread(target=remove, daemon=True).start()
    began = time.monotonic()
    told = run(path, ["sleep", "20"])
    assert (told["verdict"], told["words"]) == ("error", ["sleep was stopped"])
    assert time.monotonic() - began < 10


def test_a_file_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        run(path, ["true"])
    assert path.read_text() == "mine"


def test_check_mode_runs_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "runs", ["false"], check=True)["verdict"] == "no_data"
    assert not os.listdir(tmp_path)


def test_a_program_finds_in_its_environment_what_it_is_to_test(tmp_path: Path) -> None:
    assert run(tmp_path / "runs", ["sh", "-c", 'test "$SLOT" = green -a -n "$PATH"'])["verdict"] == "pass"
