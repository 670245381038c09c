# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions without I/O: the next attempt of a job, the migrations to apply, and the numbers that are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference_app.metrics import Metrics
from reference_app.queue import ATTEMPTS, next_attempt_after
from reference_app.schema import Migration, SchemaError, missing, read_migrations

ONE, TWO = Migration(1, "0001_one", "SELECT 1"), Migration(2, "0002_two", "SELECT 2")


def test_a_job_waits_longer_after_each_failure_and_is_given_up_after_the_last() -> None:
    waits = [next_attempt_after(attempts) for attempts in range(1, ATTEMPTS + 1)]
    assert waits == [1.0, 4.0, None]


@pytest.mark.parametrize(
    ("applied", "todo"),
    [
        ({}, [ONE, TWO]),
        ({1: ONE.checksum}, [TWO]),
        ({1: ONE.checksum, 2: TWO.checksum}, []),
        ({1: ONE.checksum, 2: TWO.checksum, 3: "of a newer release"}, []),
    ],
)
def test_only_missing_migrations_are_applied(applied: dict[int, str], todo: list[Migration]) -> None:
    assert missing([ONE, TWO], applied) == todo


def test_a_migration_that_changed_after_it_was_applied_is_refused() -> None:
    with pytest.raises(SchemaError, match="0001_one was changed"):
        missing([ONE, TWO], {1: "another checksum"})


def test_the_migrations_of_the_application_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in read_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


def test_two_migrations_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1", encoding="utf-8")
    with pytest.raises(SchemaError, match="same number"):
        read_migrations(tmp_path)


def test_no_look_up_gives_no_hit_rate_instead_of_a_good_one() -> None:
    metrics = Metrics()
    assert metrics.hit_rate_percent() is None
    metrics.cache_hits, metrics.cache_misses = 3, 1
    assert metrics.hit_rate_percent() == 75.0


def test_prometheus_sees_each_request_in_its_bucket_and_in_all_larger_ones() -> None:
    metrics = Metrics()
    for status, seconds in ((200, 0.004), (200, 0.03), (503, 99.0)):
        metrics.count("GET", status, seconds)
    lines = metrics.exposition({"version": '1.0"0'}, {"pool_size": 4}).splitlines()
    assert 'reference_app_info{version="1.0\\"0"} 1' in lines
    assert 'reference_app_requests_total{method="GET",status="200"} 2' in lines
    assert 'reference_app_request_seconds_bucket{le="0.005"} 1' in lines
    assert 'reference_app_request_seconds_bucket{le="0.05"} 2' in lines
    assert 'reference_app_request_seconds_bucket{le="10.0"} 2' in lines
    assert 'reference_app_request_seconds_bucket{le="+Inf"} 3' in lines
    assert "reference_app_pool_size 4" in lines
    assert metrics.summary() == {"total": 3, "errors": 1, "in_flight": 0}
