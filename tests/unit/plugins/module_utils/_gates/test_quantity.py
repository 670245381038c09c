# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit has a unit, or it is refused with what was expected."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import quantity
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.quantity import COUNT, DURATION, RATE, SHARE, SIZE


@pytest.mark.parametrize(
    ("told", "kind", "value"),
    [
        ("200 ms", DURATION, 0.2),
        ("200ms", DURATION, 0.2),
        (" 1.5 s ", DURATION, 1.5),
        ("15 min", DURATION, 900.0),
        ("1 h", DURATION, 3600.0),
        ("0 s", DURATION, 0.0),
        ("0.5 %", SHARE, 0.005),
        ("100 %", SHARE, 1.0),
        ("512 MiB", SIZE, 536_870_912.0),
        ("1 GB", SIZE, 1e9),
        (3, COUNT, 3.0),
        ("3", COUNT, 3.0),
        ("50 /s", RATE, 50.0),
        ("60 /min", RATE, 1.0),
    ],
)
def test_a_number_with_its_unit_is_understood(told: t.Any, kind: str, value: float) -> None:
    assert quantity.parse(told, kind, "gate x") == pytest.approx(value)


@pytest.mark.parametrize(
    ("told", "kind", "found"),
    [
        (200, DURATION, "200 (without a unit)"),
        ("200", DURATION, "200 (without a unit)"),
        (0.5, SHARE, "0.5 (without a unit)"),
        ("200 %", DURATION, "200 % (unit %)"),
        ("5 sec", DURATION, "5 sec (unit sec)"),
        ("5 S", DURATION, "5 S (unit S)"),
        ("120 %", SHARE, "120 % (more than 100 %)"),
        ("-1 s", DURATION, "'-1 s'"),
        ("1e3 s", DURATION, "'1e3 s'"),
        ("", DURATION, "''"),
        (None, DURATION, "None"),
        (True, COUNT, "True"),
        ("2.5", COUNT, "2.5 (not a whole number)"),
        ([1], COUNT, "[1]"),
        ("512 mb", SIZE, "512 mb (unit mb)"),
    ],
)
def test_anything_else_is_refused_with_an_example(told: t.Any, kind: str, found: str) -> None:
    with pytest.raises(BadInput) as caught:
        quantity.parse(told, kind, "rollout_gates.bake, gate latency, at_most.p95")
    assert caught.value.found == found
    assert caught.value.where == "rollout_gates.bake, gate latency, at_most.p95"
    assert "such as" in str(caught.value.expected)


@pytest.mark.parametrize("kind", list(quantity.UNITS))
def test_the_example_of_a_message_is_one(kind: str) -> None:
    assert quantity.parse(quantity._EXAMPLES[kind], kind, "here") > 0


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (0.2, DURATION, "200 ms"),
        (0.01234, DURATION, "12.3 ms"),
        (1.5, DURATION, "1.5 s"),
        (900.0, DURATION, "15 min"),
        (0.0, DURATION, "0 ms"),
        (0.0001, DURATION, "0.1 ms"),
        (0.005, SHARE, "0.5 %"),
        (0.00012, SHARE, "0.012 %"),
        (0.0, SHARE, "0 %"),
        (1.0, SHARE, "100 %"),
        (1e9, SIZE, "1 GB"),
        (3.0, COUNT, "3"),
        (12345.0, COUNT, "12345"),
        (49.96, RATE, "50 /s"),
        (1234.5, RATE, "1234 /s"),
    ],
)
def test_a_value_is_shown_the_way_a_person_writes_it(value: float, kind: str, shown: str) -> None:
    assert quantity.words(value, kind) == shown
