# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page for docs tells every case, every failed request and every failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.faults import cli, pool, report
from ansible_collections.vitalops.rollout.tests.faults.cases import Case
from ansible_collections.vitalops.rollout.tests.faults.one_case import Result
from ansible_collections.vitalops.rollout.tests.faults.verdicts import Requests

FACTS = report.Facts(wanted=5, seconds=600.0, cores=2, fleets=2, guard=12.0, lease=6.0)


def result(case: Case, problems: tuple[str, ...] = (), excused: int = 0, because: str = "") -> Result:
    failed = {"lb1": excused} if excused else {}
    seen = Requests(1000, failed, [], excused + len(problems))
    return Result(case, 20.0, "", list(problems), {}, seen, because)


RESULTS = [
    result(Case("deploy", "arm", "before", "KILL", "lb1")),
    result(Case("deploy", "arm", "after", "KILL", "lb2"), ("lb2: armed, neither confirmed nor reverted",)),
    result(Case("deploy", "arm", "after", "reboot", "lb1"), excused=16, because="lb1 was down"),
    result(Case("deploy", "arm", "between", "reboot", "lb2"), excused=4, because="lb2 was down"),
    result(Case("deploy", "switch", "after", "KILL", "lb1", "resumed")),
]


def test_the_grid_has_passed_of_all_for_each_step_and_fault() -> None:
    page = report.render(RESULTS, FACTS)
    assert "| arm | 1/2 |  |  |  |  | 2/2 |  |  |  |" in page
    assert "| resumed | 1/1 |" in page
    assert "| switch |" not in page


def counts(results: list[Result]) -> str:
    """Returns what follows the words that say what the page is about."""
    return report.render(results, FACTS).removeprefix(report.HEAD).lstrip()


def test_the_first_line_has_counts_times_and_the_machine() -> None:
    first = counts(RESULTS)
    assert first.startswith("5 cases, 4 passed, in 10 min on 2 cores (2 fleets side by side;")
    assert "guard deadline 12 s, lease 6 s; 20 s a case" in first


def test_failed_requests_are_told_with_their_reasons_for_any_host() -> None:
    page = report.render(RESULTS, FACTS)
    assert "Requests sent: 5000; failed: 21, of which 20 with the fault itself:" in page
    assert "| host reboot | 2 | 20 | a load balancer was down |" in page


def test_a_case_that_failed_is_named_with_what_was_wrong() -> None:
    assert "- deploy-arm-after-KILL-lb2: lb2: armed, neither" in report.render(RESULTS, FACTS)
    assert "Not passed" not in report.render(RESULTS[:1], FACTS)


def test_a_run_without_failed_requests_says_so() -> None:
    assert "Requests sent: 1000; failed: 0." in report.render(RESULTS[:1], FACTS)


def test_before_the_first_case_there_is_a_page_too() -> None:
    assert counts([]).startswith("5 cases, 0 passed (5 not run)")


def test_cases_that_were_lost_count_as_wanted_and_not_as_passed() -> None:
    assert counts(RESULTS[:2]).startswith("5 cases, 1 passed (3 not run), in 10 min")


def test_the_last_line_counts_the_cases_that_were_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "OUTPUT", tmp_path / "faults")
    monkeypatch.setattr(pool, "run", lambda fleets, _wanted, done, keep: done(fleets[0], RESULTS[0]))
    assert cli.main(["--count", "3"]) == 1
    assert capsys.readouterr().out.endswith("faults: 3 cases, 1 passed\n")
    assert "\n3 cases, 1 passed (2 not run)" in (tmp_path / "faults" / "faults.md").read_text(encoding="utf-8")


def test_labs_of_fleets_have_names_of_their_own() -> None:
    assert cli.names("faults", 3) == ["faults", "faults2", "faults3"]


def test_a_line_of_the_table_names_the_fleet_and_what_was_wrong() -> None:
    first, second = cli.line(2, "faults2", RESULTS[1]).splitlines()
    assert first.split()[:5] == ["2", "deploy-arm-after-KILL-lb2", "faults2", "20.0", "FAILED"]
    assert second.strip() == "lb2: armed, neither confirmed nor reverted"
