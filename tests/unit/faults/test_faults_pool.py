# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets share one queue: every case is taken once, by whoever is ready for it; none is lost in silence."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.vitalops.rollout.tests.faults import cases, pool
from ansible_collections.vitalops.rollout.tests.faults.cases import Case


def drain(queue: pool.Queue, applications: int = 2) -> list[Case]:
    taken: list[Case] = []
    while case := queue.take(may_roll_back=bool(taken) and taken[-1].verb == "deploy", applications=applications):
        taken.append(case)
    return taken


def test_every_case_is_taken_once_whoever_takes_it() -> None:
    queue = pool.Queue(cases.every())
    with ThreadPoolExecutor(max_workers=3) as fleets:
        taken = [fleets.submit(drain, queue, applications) for applications in (2, 1, 1)]
    assert sorted(case for one in taken for case in one.result()) == sorted(cases.every())


def test_a_fleet_never_gets_two_roll_backs_in_a_row_while_there_are_deploys() -> None:
    verbs = [case.verb for case in drain(pool.Queue(cases.every()))]
    last_deploy = len(verbs) - verbs[::-1].index("deploy")
    assert ("roll_back", "roll_back") not in set(zip(verbs[:last_deploy], verbs[1:last_deploy]))


def test_nobody_gets_a_case_from_a_closed_queue() -> None:
    queue = pool.Queue(cases.every())
    queue.close()
    assert queue.take(may_roll_back=True, applications=2) is None


class Fleet:
    """A fleet with a bug, which keeps what it says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, words: str) -> None:
        self.said.append(words)

    def up(self) -> None:
        raise AssertionError("a bug of the suite")

    def down(self) -> None:
        pass

    def ensure_load(self) -> None:
        raise AssertionError("a bug of the suite")


def test_a_bug_of_the_suite_is_a_failed_case() -> None:
    result = pool.attempt(t.cast(t.Any, Fleet()), cases.every()[0])
    assert result.problems == ["AssertionError: a bug of the suite"]


def test_every_fleet_says_why_it_takes_no_more_cases() -> None:
    fleets = [Fleet(), Fleet()]
    with pytest.raises(AssertionError):
        pool.run(t.cast(t.Any, fleets), cases.every(), lambda _fleet, _result: None, keep=False)
    assert [fleet.said for fleet in fleets] == [["takes no more cases: AssertionError: a bug of the suite"]] * 2
