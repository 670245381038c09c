# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario is told by: the lines of its failures, not the thousands around them, and where its minutes went."""

from __future__ import annotations

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
