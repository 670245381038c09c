# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark prints what was measured, and only that."""

from __future__ import annotations

from ansible_collections.vitalops.rollout.tests.bench import labs, refusals, report, verbs
from ansible_collections.vitalops.rollout.tests.bench.labs import Lab, Run

# The callback tells before a task how long the one before it took.
PLAYED = """\
PLAY [Stage] ********************************************************************
Saturday 21 November 2026  20:00:00 +0000 (0:00:00.086)       0:00:00.086 *****

TASK [rollout : Every instance is ready] *********************************
ok: [app1]
Saturday 21 November 2026  20:01:02 +0000 (0:01:02.250)       0:01:02.336 *****

TASK [Something else] ***********************************************************
ok: [app1]
Saturday 21 November 2026  20:01:04 +0000 (0:00:02.000)       0:01:04.336 *****

PLAY RECAP **********************************************************************
app1                       : ok=28   changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
data-1                     : ok=9    changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
"""


def test_the_time_of_gates_is_told_apart_and_what_changed_is_counted() -> None:
    assert labs.parse(PLAYED) == (62.25, 2, 3)


def row(topology: str) -> dict[str, object]:
    taken = [Run(3.0, 1.0, 40, 9), Run(9.0, 1.0, 41, 9), Run(4.0, 1.5, 40, 9)]
    return verbs.figures(
        Lab("any", topology, 2, 10.0, 60.0, 20.0, 0), {"deploy": taken, "roll_back": taken, "status": taken}
    )


def test_verbs_are_told_by_their_median() -> None:
    found = row("fleet")
    assert (found["deploy_s"], found["deploy_without_gate_s"], found["deploy_tasks"]) == (4.0, 2.5, 41)
    assert (found["load_balancers"], row("pair")["load_balancers"]) == (1, 2)


def test_two_load_balancers_are_a_row_of_the_table() -> None:
    lines = report.everything({"fleets": [row("fleet")], "pair": [row("pair")]})
    assert [line.split()[0] for line in lines[-3:-1]] == ["1", "2"]
    assert {len(line) for line in lines[-4:]} == {11 * len(report.COLUMNS)}


def test_goals_stand_below_what_they_are_about() -> None:
    titles, _row, goals = report.fleets([row("fleet")])[-3:]
    for title, goal in (("provision", "< 90"), ("again", "< 15"), ("changed", "0"), ("roll_back", "< 4")):
        assert goals[: titles.index(title) + len(title)].endswith(goal)
    assert set(report.GOALS) <= {key for _title, key, _form in report.COLUMNS}


def test_what_was_not_measured_is_not_printed() -> None:
    assert report.everything({}) == []


def test_a_switch_is_told_with_its_worst() -> None:
    samples = [dict.fromkeys((key for _title, key in report.SWITCH_ROWS), float(number)) for number in range(1, 31)]
    lines = report.switch({"samples": samples, "load_average": 2.5})
    assert "30 samples, load average before 2.5" in lines[0]
    assert lines[3].split()[-4:] == ["1.0", "15.0", "29.0", "30.0"]


def test_the_guard_is_told_in_seconds_after_the_deadline() -> None:
    assert (
        "0.20 s after the deadline (p50), at most 0.40 s, 3 samples (goal 0.5)"
        in report.revert({"late_s": [0.4, 0.1, 0.2]})[0]
    )


def test_switches_under_load_tell_every_failure() -> None:
    found = {
        "asked_rate": 6000.0,
        "connections": 50,
        "h2load": {
            "requests": {"total": 100, "started": 100, "done": 100, "succeeded": 98, "failed": 2, "errored": 1}
            | {"timeout": 0},
            "statuses": {"2xx": 98, "5xx": 2},
            "failures": 2,
            "rate": 5400.4,
            "seconds": 12.0,
        },
        "log": {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0, "moments_within": 2},
        "switches": [{"seconds": 0.02}, {"seconds": 0.03}],
        "answered_by_the_right_slot": 2,
        "haproxy": {
            "blue": {"req_tot": 50, "wretr": 0, "wredis": 0},
            "green": {"req_tot": 50, "wretr": 1, "wredis": 0},
        },
    }
    text = "\n".join(report.switches(found))
    assert "failures   2 (goal 0; failed 2, errored 1, timeout 0; 98 2xx, 2 5xx)" in text
    assert "blue 50, green 50; HAProxy tried 1 requests again" in text
    assert "p50 1.0 ms, p95 2.0 ms, p99 3.0 ms, max 4.0 ms" in text


def test_users_had_a_bad_release_from_its_first_to_its_last_bad_answer_wherever_they_came_in() -> None:
    targets = {
        "lb1": {"failures": 3, "first_failure": 10.5, "last_failure": 12.0},
        "lb2": {"failures": 2, "first_failure": 10.0, "last_failure": 11.0},
        "lb3": {"failures": 0, "first_failure": None, "last_failure": None},
    }
    assert refusals.spent(targets) == 2.0
    told = {"interval_s": 2.0, "rate": 60.0, "error_share": 0.3, "bad_s": [3.0, 1.0, 2.5]}
    (line,) = refusals.lines(told)
    assert "2.50 s (p50), at most 3.00 s, 3 samples (goal 4)" in line
