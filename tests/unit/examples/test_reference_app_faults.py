# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: what is accepted, what is refused, and how often they strike."""

from __future__ import annotations

import typing as t

import pytest
from reference_app.faults import Faults, parse_fault


@pytest.mark.parametrize(
    ("name", "given", "typed"),
    [
        ("latency_ms", "250", 250.0),
        ("error_share", 0.25, 0.25),
        ("error_share", "1", 1.0),
        ("crash", "true", 1.0),
        ("not_ready", "true", True),
        ("not_ready", "off", False),
        ("wrong_body", 1, True),
        ("hang_on_stop", False, False),
    ],
)
def test_a_fault_may_be_written_the_way_people_write_it(name: str, given: t.Any, typed: t.Any) -> None:
    value = parse_fault(name, given)
    assert value == typed
    assert type(value) is type(typed)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("latencyms", 1, "unknown fault 'latencyms'; known are latency_ms"),
        ("error_share", "1.5", "from 0 to 1, found '1.5'"),
        ("error_share", "nan", "from 0 to 1, found 'nan'"),
        ("latency_ms", -1, "from 0 to 60000, found -1"),
        ("not_ready", "perhaps", "found 'perhaps'"),
        ("crash", None, "found None"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_with_what_would_be_right(name: str, given: t.Any, words: str) -> None:
    with pytest.raises(ValueError, match=r".*") as refusal:
        parse_fault(name, given)
    assert words in str(refusal.value)


def test_one_bad_fault_leaves_all_faults_as_they_were() -> None:
    faults = Faults(latency_ms=5)
    with pytest.raises(ValueError, match="error_share"):
        faults.update({"latency_ms": 100, "error_share": 7})
    assert faults == Faults(latency_ms=5)


def test_the_environment_sets_faults_and_an_empty_variable_sets_none() -> None:
    faults = Faults(latency_ms=5, not_ready=True)
    faults.update_from_environment({"FAULT_LATENCY_MS": "80", "FAULT_NOT_READY": "", "PATH": "/bin"})
    assert faults == Faults(latency_ms=80, not_ready=True)


def test_a_list_is_not_a_set_of_faults() -> None:
    with pytest.raises(ValueError, match="must be an object"):
        Faults().update(t.cast("t.Any", ["latency_ms"]))


def test_the_share_decides_how_many_requests_fail() -> None:
    assert not any(Faults(error_share=0).strikes() for _number in range(1000))
    assert all(Faults(error_share=1).strikes() for _number in range(1000))
    assert 100 < sum(Faults(error_share=0.25).strikes() for _number in range(1000)) < 400
