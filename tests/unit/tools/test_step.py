# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step that is silent says it is doing."""

from __future__ import annotations

import re
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


def test_a_step_that_fails_shows_last_how_long_each_step_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEP_LOG", str(tmp_path / "output" / "steps"))
    assert step.main(["Lint", sys.executable, "-c", "print('fine')"]) == 0
    assert "Steps so far" not in capfd.readouterr().out
    assert step.main(["Units", sys.executable, "-c", "raise SystemExit(3)"]) == 3
    told = capfd.readouterr().out
    assert re.search(r"Steps so far:\n\S+  Lint: done in 0 s\n\S+  Units: FAILED with exit code 3 in \d s\n$", told), (
        told
    )
