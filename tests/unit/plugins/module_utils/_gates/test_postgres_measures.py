# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby that stands still is noticed, though what the primary says about it looks well; a pause of users is not."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import postgres_measures
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.postgres_measures import Measures


class Server:
    """Is asked at moments that the test tells; what it answers is what it had written and replayed by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, standby: bool = False) -> None:
        self.now = 0.0
        self.slept = 0
        self._standby = standby
        self._answers: list[t.Sequence[t.Any]] = []
        self._measures = Measures({"replication_lag": 5.0})
        clock = types.SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(postgres_measures, "time", clock)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1

    def look(self, now: float, *answers: tuple[float | None, float | None, float | None]) -> float | None:
        """Returns the lag at the moment *now*, when the server says (written, replayed, lag) to each question."""
        self.now = now
        self._answers = [["gate", True, self._standby, *answer] for answer in answers]
        found = self._measures.take(lambda _query: self._answers.pop(0), 10.0)["replication_lag"]
        assert not self._answers
        return found


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.fixture
def standby(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch, standby=True)


def test_a_standby_that_follows_has_the_lag_that_the_primary_says(primary: Server) -> None:
    assert primary.look(0, (100, 100, 0.0)) == 0.0
    assert primary.look(5, (200, 190, 0.02)) == 0.02
    assert primary.look(10, (300, 290, 0.03)) == 0.03
    assert primary.slept == 0


def test_a_standby_that_stands_still_is_unknown_and_then_too_far_behind(primary: Server) -> None:
    assert primary.look(0, (100, 100, 0.0)) == 0.0
    assert primary.look(2, (200, 150, 0.02)) == 0.02
    assert primary.look(4, (300, 150, 0.02)) is None
    assert primary.look(8, (400, 150, 0.02)) == 6.0
    assert primary.look(12, (500, 450, 0.02)) == 0.02
    assert primary.look(14, (500, 500, 0.0)) == 0.0


def test_a_standby_that_is_too_slow_is_behind_for_as_long_as_it_is_seen(primary: Server) -> None:
    assert primary.look(0, (100, 100, 0.0)) == 0.0
    assert primary.look(2, (200, 101, 0.5)) == 0.5
    assert primary.look(5, (300, 102, 0.5)) == 3.0
    assert primary.look(8, (400, 103, 0.5)) == 6.0


def test_a_first_look_that_finds_a_standby_behind_looks_twice(primary: Server) -> None:
    assert primary.look(0, (100, 50, 0.02), (110, 50, 0.02)) is None
    assert primary.slept == 1


def test_a_first_look_sees_a_standby_move(primary: Server) -> None:
    assert primary.look(0, (100, 99, 0.02), (200, 199, 0.03)) == 0.03


def test_without_a_standby_nothing_is_known(primary: Server) -> None:
    assert primary.look(0, (100, None, None)) is None


def test_new_work_after_a_quiet_night_is_no_lag_on_a_standby(standby: Server) -> None:
    assert standby.look(0, (100, 100, 0.0)) == 0.0
    assert standby.look(5, (200, 100, 28_800.0)) is None
    assert standby.look(10, (200, 200, 0.0)) == 0.0


def test_a_standby_that_replays_nothing_is_behind_since_it_received_it(standby: Server) -> None:
    assert standby.look(0, (200, 100, 2.0), (200, 100, 3.0)) == 3.0
    assert standby.look(7, (300, 100, 9.0)) == 7.0


def test_a_standby_that_receives_nothing_is_as_old_as_its_last_transaction(standby: Server) -> None:
    assert standby.look(0, (100, 100, 90.0)) == 90.0
