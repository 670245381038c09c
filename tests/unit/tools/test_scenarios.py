# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario is told by: the lines of its failures, not the thousands around them, and where its minutes went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from ansible_collections.vitalops.rollout.tests.tools import scenarios


def test_failures_are_told_without_what_stands_around_them() -> None:
    failure = ["\x1b[31mfatal: [data1]: FAILED! =>", *(f"  line {number}" for number in range(30))]
    told = scenarios.failures("\n".join(["ok: [data1]", *failure, "changed: [data2]"]))
    assert told[0] == "fatal: [data1]: FAILED! =>"
    assert told[-1] == "  line 10"


def test_a_log_without_failures_tells_nothing_and_one_of_many_tells_the_last() -> None:
    assert scenarios.failures("ok: [data1]\nchanged: [data1]\n") == []
    told = scenarios.failures("\n".join(f"failed: [data1] (item={number})" for number in range(500)))
    assert told[-1] == "failed: [data1] (item=499)"
    assert len(told) == 60


def test_the_slowest_tests_come_first_with_what_they_needed_before_and_after() -> None:
    lines = [
        "30.004 molecule/edge/test_a.py::test_x",
        *(f"{one}.5 molecule/edge/test_b.py::test_{one}" for one in range(20)),
    ]
    told = scenarios.slowest("\n".join([*lines, "10.2 molecule/edge/test_a.py::test_x"]))
    assert told[:2] == ["    40 s  edge/test_a.py::test_x", "    20 s  edge/test_b.py::test_19"]
    assert len(told) == 8
    assert scenarios.slowest("") == []


def test_a_run_that_is_ended_lets_its_steps_say_how_they_ended_and_begins_nothing_more(tmp_path: Path) -> None:
    fake = tmp_path / "molecule"
    fake.write_text("#!/bin/sh\ntrap 'sleep 0.5; exit 7' TERM\necho begun $3\nwhile :; do sleep 0.1; done\n")
    fake.chmod(0o755)
    own = tmp_path / "tests" / "tools"
    own.mkdir(parents=True)
    for tool in ("scenarios.py", "step.py"):  # what they write is theirs
        (own / tool).write_text((Path(scenarios.__file__).parent / tool).read_text())
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STEP_LOG": str(tmp_path / "steps")}
    command = [sys.executable, str(own / "scenarios.py"), "a+b+c", "d"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        told = ""
        while told.count("begun") < 2:
            told += run.stdout.readline()
        os.killpg(run.pid, signal.SIGTERM)
        told += run.communicate(timeout=30)[0]
    assert run.returncode == 1
    assert "begun c" not in told
    for scenario in "ab":
        assert f"<== Molecule scenario {scenario}: FAILED with exit code 7" in told
    assert "Steps so far:" in told
    assert (tmp_path / "steps").read_text().count("FAILED with exit code 7") == 2
