# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdict algebra: what samples prove, and how verdicts combine."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    SEVERITY,
    Sample,
    combine,
    count_runs,
    judge,
)

OUTCOMES = {"g": "good", "b": "bad", "c": "cut", "x": "broken"}


def series(letters: str) -> list[Sample]:
    return [Sample(OUTCOMES[letter]) for letter in letters]


@pytest.mark.parametrize(
    ("letters", "consecutive", "verdict"),
    [
        ("", 1, "no_data"),
        ("", 0, "no_data"),
        ("g", 1, "pass"),
        ("b", 1, "fail"),
        ("c", 1, "no_data"),
        ("ggg", 3, "pass"),
        ("gg", 3, "inconclusive"),
        ("ggc", 3, "inconclusive"),
        ("ggcg", 3, "pass"),
        ("bggg", 3, "pass"),
        ("ggbggbgg", 3, "fail"),
        ("gbgbgbgbgb", 2, "fail"),
        ("gggb", 3, "pass"),
        ("bbb", 3, "fail"),
        ("bgg", 3, "fail"),
        ("x", 1, "error"),
        ("gggx", 3, "error"),
        ("bx", 3, "error"),
    ],
)
def test_samples_prove_a_verdict(letters: str, consecutive: int, verdict: str) -> None:
    assert judge(series(letters), consecutive) == verdict


def test_every_short_series_passes_exactly_when_it_holds_enough_good_samples_in_a_row() -> None:
    for length in range(8):
        for letters in itertools.product("gb", repeat=length):
            text = "".join(letters)
            assert (judge(series(text), 3) == "pass") == ("ggg" in text), text


@pytest.mark.parametrize(
    ("letters", "last", "longest"), [("", 0, 0), ("ggbg", 1, 2), ("gcg", 2, 2), ("gb", 0, 1), ("bggc", 2, 2)]
)
def test_runs_count_good_samples_at_the_end_and_at_most(letters: str, last: int, longest: int) -> None:
    assert count_runs(series(letters)) == (last, longest)


def test_two_verdicts_combine_to_the_worse_one_in_any_order() -> None:
    for better, worse in itertools.combinations(SEVERITY, 2):
        assert combine([better, worse]) == combine([worse, better]) == worse


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        ([], "no_data"),
        (["pass"], "pass"),
        (["pass"] * 5, "pass"),
        (["pass", "no_data"], "no_data"),
        (["pass", "inconclusive", "pass"], "inconclusive"),
        (["error", "inconclusive"], "error"),
        (["error", "fail", "pass"], "fail"),
    ],
)
def test_verdicts_of_targets_combine(verdicts: list[str], overall: str) -> None:
    assert combine(verdicts) == overall
