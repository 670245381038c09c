# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that keep their limits pass; too few samples prove nothing, and what was not measured is no pass."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import measured, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.specification import GateSpecification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import FAIL, INCONCLUSIVE, NO_DATA, PASS


def gate(**told: t.Any) -> GateSpecification:
    (found,) = specification.read({"bake": [{"name": "x", **told}]})
    return found


TRAFFIC = gate(type="traffic", min_samples=100, at_most={"error_share": "1 %", "p95": "200 ms"})


@pytest.mark.parametrize(
    ("seen", "samples", "verdict"),
    [
        ({"error_share": 0.001, "p95": 0.1}, 100, PASS),
        ({"error_share": 0.01, "p95": 0.2}, 100, PASS),  # the limit itself is kept
        ({"error_share": 0.0101, "p95": 0.1}, 100, FAIL),
        ({"error_share": 0.001, "p95": 0.2001}, 100, FAIL),
        ({"error_share": 0.5, "p95": 9.0}, 99, INCONCLUSIVE),
        ({"error_share": 0.0, "p95": 0.0}, 99, INCONCLUSIVE),
        ({"error_share": None, "p95": None}, 0, NO_DATA),
        ({}, 0, NO_DATA),
        ({"error_share": 0.001}, 100, NO_DATA),
        ({"error_share": 0.001, "p95": None}, 100, NO_DATA),
        ({"error_share": 0.5, "p95": None}, 100, FAIL),
    ],
)
def test_the_verdict_of_a_look(seen: dict[str, float | None], samples: int, verdict: str) -> None:
    assert measured.judge(TRAFFIC, seen, samples).verdict == verdict


def test_less_than_at_least_is_broken() -> None:
    cache = gate(type="redis", at_least={"hit_share": "60 %"}, min_samples=1)
    assert measured.judge(cache, {"hit_share": 0.6}, 1).verdict == PASS
    assert measured.judge(cache, {"hit_share": 0.59}, 1) == (FAIL, ["hit_share 59 %, at least 60 %"])


def test_every_number_is_told_next_to_its_limit() -> None:
    assert measured.judge(TRAFFIC, {"error_share": 0.031, "p95": None}, 640).words == [
        "error_share 3.1 %, at most 1 %",
        "p95 unknown, at most 200 ms",
    ]
    assert measured.judge(TRAFFIC, {"error_share": 0.0, "p95": 0.1234}, 12).words == [
        "12 samples, at least 100",
        "error_share 0 %, at most 1 %",
        "p95 123 ms, at most 200 ms",
    ]


def test_values_of_a_command_have_no_unit() -> None:
    locust = gate(type="command", command=["locust"], values={"p95": "stats.p95"}, at_most={"p95": 200})
    assert measured.judge(locust, {"p95": 212.5}, 1) == (FAIL, ["p95 212.5, at most 200"])


def test_a_gate_without_limits_passes_on_enough_samples_alone() -> None:
    ready = gate(type="http", path="/ready", min_samples=3)
    assert [measured.judge(ready, {}, count).verdict for count in (0, 2, 3)] == [NO_DATA, INCONCLUSIVE, PASS]
