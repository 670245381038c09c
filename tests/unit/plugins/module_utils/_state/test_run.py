# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of a run: it arrives whole, or with a sentence that says which part is wrong."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run

RUN = Run("20261121-172003-ab12", 7, "deploy", "kim", "AWX job 42", "1.1.0-bbb", "green", "blue")
SHORT: dict[str, t.Any] = {"id": "r1", "epoch": 0, "operation": "retire", "actor": "kim", "source": "command line"}


def test_a_run_travels_as_plain_values() -> None:
    assert Run.from_dict(RUN.to_dict()) == RUN
    assert RUN.to_dict()["source"] == "AWX job 42"


def test_release_and_slots_may_be_left_out() -> None:
    run = Run.from_dict(SHORT)
    assert (run.release, run.slot, run.previous) == (None, None, None)


def test_names_of_people_may_be_of_any_language() -> None:
    assert Run.from_dict({**SHORT, "actor": "Jörg Müller 木"}).actor == "Jörg Müller 木"


@pytest.mark.parametrize("part", ["id", "epoch", "operation", "actor", "source"])
def test_a_missing_part_is_named(part: str) -> None:
    with pytest.raises(BadInput, match="The description of the run") as refused:
        Run.from_dict({key: value for key, value in SHORT.items() if key != part})
    assert refused.value.found == f"{part} is missing"
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("part", "value", "found"),
    [
        ("id", "", "id is '', not a text"),
        ("id", "../../etc", "id is '../../etc', not at most 100 letters"),
        ("id", "a b", "id is 'a b', not at most 100 letters"),
        ("id", "x" * 101, "not at most 100 letters"),
        ("id", 7, "id is 7, not a text"),
        ("epoch", -1, "epoch is -1, not a whole number"),
        ("epoch", True, "epoch is True, not a whole number"),
        ("epoch", 1.5, "epoch is 1.5, not a whole number"),
        ("epoch", "7", "epoch is '7', not a whole number"),
        ("epoch", 10**30, "not a whole number"),
        ("operation", None, "operation is None, not a text"),
        ("actor", "kim\nroot", "actor is 'kim\\nroot', not a text of one line"),
        ("actor", "kim\u2028root", "not a text of one line"),
        ("actor", "kim\x1b[2J", "not a text of one line"),
        ("source", "\ud800", "not a text of one line"),
        ("release", [], "release is [], not a text"),
        ("slot", "red", "slot is 'red', not one of blue, green, None"),
        ("slot", ["blue"], "slot is ['blue'], not one of"),
        ("previous", 1, "previous is 1, not one of"),
        ("colour", "blue", "'colour' is not known"),
    ],
)
def test_a_wrong_part_is_told_with_what_was_found(part: str, value: t.Any, found: str) -> None:
    with pytest.raises(BadInput) as refused:
        Run.from_dict({**SHORT, part: value})
    assert found in str(refused.value.found)


@pytest.mark.parametrize("content", [None, [], "run", 7])
def test_what_is_no_object_is_refused(content: t.Any) -> None:
    with pytest.raises(BadInput, match="not an object"):
        Run.from_dict(content)


def test_a_message_about_a_large_part_stays_short() -> None:
    with pytest.raises(BadInput) as refused:
        Run.from_dict({**SHORT, "actor": ["x" * 10_000] * 1_000})
    assert len(str(refused.value)) < 1_000
