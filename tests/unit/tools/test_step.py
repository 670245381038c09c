# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step that is silent says it is doing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.tools import step


def test_a_silent_step_says_which_test_runs_or_else_repeats_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = step.Watch()
    monkeypatch.delenv("STEP_NOW", raising=False)
    assert step.doing(watch) == ""
    watch.heard(b"PLAY [Tests]\n")
    monkeypatch.setenv("STEP_NOW", str(tmp_path / "edge.now"))
    assert step.doing(watch) == "last: PLAY [Tests]"
    (tmp_path / "edge.now").write_text("test_changes.py::test_a_reload")
    assert step.doing(watch) == "now: test_changes.py::test_a_reload"


def run(title: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, step.__file__, title, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_step_that_fails_shows_last_how_long_each_step_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP_LOG", str(tmp_path / "output" / "steps"))
    good, bad = run("Lint", "print('fine')"), run("Units", "raise SystemExit(3)")
    assert (good.returncode, "Steps so far" in good.stdout) == (0, False)
    assert bad.returncode == 3
    shown = r"Steps so far:\n\S+  Lint: done in \d s\n\S+  Units: FAILED with exit code 3 in \d s\n$"
    assert re.search(shown, bad.stdout), bad.stdout


def test_a_log_that_takes_nothing_changes_no_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "output").write_text("a file")
    monkeypatch.setenv("STEP_LOG", str(tmp_path / "output" / "steps"))
    assert run("Lint", "print('fine')").returncode == 0
    assert run("Units", "raise SystemExit(3)").returncode == 3
