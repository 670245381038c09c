# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a load hides nothing: every failure, every repeated request, every request still in flight."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.tests.lab import load, load_report
from ansible_collections.vitalops.rollout.tests.lab.load_report import Request


def request(
    due: float, *, latency: float = 1.0, error: str = "", kind: str = "read", again: int = 0, target: str = "lb1"
) -> Request:
    return Request(due, target, kind, "GET", 0 if error else 200, latency, 0.1, again, error)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_percentiles_are_values_that_were_measured(share: float, expected: float) -> None:
    assert load_report.percentile([float(number) for number in range(1, 101)], share) == expected


def test_nothing_measured_is_not_zero() -> None:
    report = load_report.summarise([])
    assert (report["requests"], report["p99_ms"], report["rate"]) == (0, None, 0.0)


def test_failures_are_counted_by_reason_and_the_first_five_are_shown_in_order() -> None:
    requests = [request(float(number), error="status 503") for number in range(7, 0, -1)]
    report = load_report.summarise([*requests, request(0.5, error="connection reset"), request(9.0)])
    assert (report["requests"], report["failures"]) == (9, 8)
    assert report["failures_by_reason"] == {"status 503": 7, "connection reset": 1}
    assert [shown["time"] for shown in report["first_failures"]] == [0.5, 1.0, 2.0, 3.0, 4.0]


def test_a_failed_request_keeps_its_latency_in_the_percentiles() -> None:
    report = load_report.summarise([request(1.0), request(2.0, latency=10_000.0, error="no answer within 10 s")])
    assert report["max_ms"] == 10_000.0


def test_windows_that_touch_share_no_request_and_lose_none() -> None:
    requests = [request(number / 10) for number in range(100)]
    first = load_report.summarise(requests, until=5.0, in_flight=[4.9, 5.0])
    second = load_report.summarise(requests, since=5.0, in_flight=[4.9, 5.0])
    assert first["requests"] + second["requests"] == 100
    assert (first["in_flight"], second["in_flight"]) == (1, 1)


def test_rate_and_repeated_requests_are_reported() -> None:
    report = load_report.summarise([request(number / 320, again=int(number == 3)) for number in range(321)])
    assert (report["rate"], report["reconnects"], report["failures"]) == (320.0, 1, 0)


def test_kinds_are_told_apart() -> None:
    report = load_report.summarise([request(1.0, kind="slow", latency=1500.0), request(2.0), request(3.0, error="x")])
    assert report["kinds"]["slow"]["p50_ms"] == 1500.0
    assert (report["kinds"]["read"]["requests"], report["kinds"]["read"]["failures"]) == (2, 1)


def test_each_target_answers_for_its_own_failures_with_their_times_and_kinds() -> None:
    good = [request(float(number), target=f"lb{number % 2 + 1}") for number in range(10)]
    bad = [
        request(20.0, target="lb2", error="status 503", kind="write"),
        request(30.0, target="lb2", error="connection reset"),
    ]
    report = load_report.summarise([*bad, *good])
    one, two = report["targets"]["lb1"], report["targets"]["lb2"]
    assert (one["requests"], one["failures"], one["first_failure"], one["failed"]) == (5, 0, None, [])
    assert (two["requests"], two["failures"], two["first_failure"], two["last_failure"]) == (7, 2, 20.0, 30.0)
    assert two["failures_by_reason"] == {"status 503": 1, "connection reset": 1}
    assert two["failures_by_kind"] == {"write": 1, "read": 1}
    assert two["failed"][0] == {
        "time": 20.0,
        "kind": "write",
        "method": "GET",
        "reason": "status 503",
        "latency_ms": 1.0,
    }
    assert report["first_failures"][0]["target"] == "lb2"


def test_the_list_of_failures_is_short_and_their_number_is_whole() -> None:
    target = load_report.summarise(request(number / 1000, error="x") for number in range(2000))["targets"]["lb1"]
    assert (len(target["failed"]), target["failures"], target["last_failure"]) == (500, 2000, 1.999)


def test_a_window_counts_the_failures_of_a_target_in_it_only() -> None:
    requests = [request(float(number), error="x", target="lb2") for number in range(10)]
    assert load_report.summarise(requests, since=3.0, until=5.0)["targets"]["lb2"]["failures"] == 2


def test_addresses_become_targets_with_the_names_that_reports_use() -> None:
    assert load.targets(["http://lb1/", "http://lb2:8080/shop/"]) == [
        {"name": "lb1", "host": "lb1", "port": 80, "path": ""},
        {"name": "lb2:8080", "host": "lb2", "port": 8080, "path": "/shop"},
    ]


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        (["https://lb1/"], "not understood"),
        (["lb1"], "not understood"),
        (["http://lb1:port/"], "not understood"),
        (["http://lb1/", "http://lb1:80/other"], "the same target"),
    ],
)
def test_addresses_that_cannot_be_told_apart_or_understood_are_refused(urls: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load.targets(urls)


def test_a_line_in_the_writing_is_left_for_later(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text(
        '1.5,lb1,write,POST,201,3.25,0.10,0,\n2.5,lb2,read,GET,0,9.00,0.10,1,"reset, really"\n3.5,lb1,read,GE'
    )
    assert load_report.read(file) == [
        Request(1.5, "lb1", "write", "POST", 201, 3.25, 0.1, 0, ""),
        Request(2.5, "lb2", "read", "GET", 0, 9.0, 0.1, 1, "reset, really"),
    ]


@pytest.mark.parametrize("text", ["1767225600", "2026-01-01T00:00:00+00:00"])
def test_a_moment_is_seconds_or_iso_8601(text: str) -> None:
    assert load.moment(text) == 1767225600.0


def test_another_moment_is_refused() -> None:
    with pytest.raises(BadInput, match="ISO 8601"):
        load.moment("yesterday")
