# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook stops at the line that was asked for, and at no other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.faults import hook, stops

CONTROL: dict[str, object] = {"step": "switch", "phase": "end", "when": "before", "seconds": 5}


def line(**changed: object) -> bytes:
    return json.dumps({"step": "switch", "phase": "end", "actor": "anna", **changed}).encode()


def test_the_line_is_known_by_step_and_phase() -> None:
    assert hook.wanted(CONTROL, line() + b"\n")
    assert hook.wanted(CONTROL, b"\n" + line())  # closes a torn line first
    assert not hook.wanted(CONTROL, line(step="arm"))
    assert not hook.wanted(CONTROL, line(phase="begin"))


def test_the_guard_is_held_only_when_its_own_line_is_meant() -> None:
    assert not hook.wanted(CONTROL, line(actor="guard"))
    of_guard = {**CONTROL, **stops.control("switch", "between", guard=True)}
    assert hook.wanted(of_guard, line(actor="guard"))
    assert not hook.wanted(of_guard, line())


@pytest.mark.parametrize("data", [b"", b"\n", b'{"step": "swi', b"7", b"\xff\xfe"])
def test_what_is_no_line_of_the_journal_passes(data: bytes) -> None:
    assert not hook.wanted(CONTROL, data)


@pytest.mark.parametrize(
    ("point", "phase", "when"), [("before", "begin", "before"), ("between", "end", "before"), ("after", "end", "after")]
)
def test_three_points_are_two_lines(point: str, phase: str, when: str) -> None:
    control = stops.control("arm", point)
    assert (control["step"], control["phase"], control["when"]) == ("arm", phase, when)


def test_every_unit_that_can_stand_at_a_line_is_one_of_the_product() -> None:
    templates = Path(__file__).parents[3] / "roles" / "guard" / "templates"
    units = {Path(path).parent.name.removesuffix(".d") for path in stops.DROP_INS}
    assert units == {"rollout-guard@.service", "rollout-watch@.service"}
    assert all((templates / f"{unit}.j2").is_file() for unit in units)


WRITER = """
import os
descriptor = os.open("journal.ndjson", os.O_RDWR | os.O_CREAT | os.O_APPEND)
for data in LINES:
    os.write(descriptor, data)
os.write(os.open("elsewhere", os.O_RDWR | os.O_CREAT), LINES[-1])
"""


@pytest.mark.parametrize(("when", "written"), [("before", 1), ("after", 2)])
def test_a_process_stops_before_or_after_its_line_and_then_goes_on(tmp_path: Path, when: str, written: int) -> None:
    lines = [line(step="arm") + b"\n", line() + b"\n", line(step="confirm") + b"\n"]
    source = Path(hook.__file__).read_text(encoding="utf-8").replace("/run/rollout-faults", str(tmp_path / "run"))
    (tmp_path / "rollout_faults.py").write_text(source, encoding="utf-8")
    (tmp_path / "writer.py").write_text(f"import rollout_faults\nLINES = {lines!r}\n{WRITER}", encoding="utf-8")
    control, stopped = tmp_path / "run" / "stop.json", tmp_path / "run" / "stopped"
    control.parent.mkdir()
    control.write_text(json.dumps({**CONTROL, "when": when}), encoding="utf-8")
    with subprocess.Popen([sys.executable, "writer.py"], cwd=tmp_path) as process:
        ends = time.monotonic() + 20
        while not (stopped.exists() and stopped.read_bytes()) and time.monotonic() < ends:
            time.sleep(0.01)
        told = json.loads(stopped.read_bytes())
        assert (told["step"], told["held"]) == ("switch", process.pid)
        assert (tmp_path / "journal.ndjson").read_bytes() == b"".join(lines[:written])
        assert process.poll() is None
        control.unlink()
        assert process.wait(20) == 0
    assert (tmp_path / "journal.ndjson").read_bytes() == b"".join(lines)


def test_without_a_control_file_nothing_is_watched(tmp_path: Path) -> None:
    source = Path(hook.__file__).read_text(encoding="utf-8").replace("/run/rollout-faults", str(tmp_path / "run"))
    (tmp_path / "rollout_faults.py").write_text(source, encoding="utf-8")
    program = "import os; before = os.write; import rollout_faults; raise SystemExit(before is not os.write)"
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0
