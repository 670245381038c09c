# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sampler that hangs, breaks or is silent gives a look in time all the same."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.bounded import Bounded
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import ERROR, FAIL, PASS


def test_a_sampler_gets_the_shorter_one_of_both_times() -> None:
    def sampler(allowed: float) -> Look:
        return Look(PASS, [f"{allowed:g} s"])

    assert [Bounded(sampler, 5)(allowed).words for allowed in (9, 2, -1)] == [["5 s"], ["2 s"], ["0 s"]]


def test_a_sampler_that_hangs_is_left_behind_once_and_asked_again_when_it_is_back() -> None:
    goes_on, calls = threading.Event(), []

    def sampler(allowed: float) -> Look:
        calls.append(allowed)
        goes_on.wait(20)
        return Look(PASS, ["back"])

    bounded = Bounded(sampler, 0.1, silence=FAIL)
    began = time.monotonic()
    assert bounded(5) == Look(FAIL, ["connection: no answer within 0.1 s"])
    assert bounded(5) == Look(FAIL, ["connection: the look before still waits for an answer"])
    assert time.monotonic() - began < 5
    assert len(calls) == 1
    goes_on.set()
    until = time.monotonic() + 10
    while bounded(5).verdict != PASS and time.monotonic() < until:
        time.sleep(0.01)
    assert bounded(5) == Look(PASS, ["back"])


@pytest.mark.parametrize(
    ("allowed", "verdict", "words"),
    [
        (9.0, FAIL, "connection: no answer within 5 s"),
        (2.0, ERROR, "connection: no answer within 2 s, which is less than its timeout of 5 s"),
    ],
)
def test_silence_is_a_failure_only_after_the_whole_timeout(allowed: float, verdict: str, words: str) -> None:
    def sampler(_allowed: float) -> Look:
        raise TimeoutError

    assert Bounded(sampler, 5, silence=FAIL)(allowed) == Look(verdict, [words])


def test_what_can_never_be_asked_is_said_on_one_line() -> None:
    def sampler(_allowed: float) -> Look:
        raise BadInput("No such port.", found="70000")

    assert Bounded(sampler, 5)(5) == Look(ERROR, ["No such port. found: 70000"])


def test_an_exception_that_nobody_expects_is_told_without_its_text() -> None:
    def sampler(_allowed: float) -> Look:
        raise KeyError("hunter2")

    assert Bounded(sampler, 5)(5) == Look(ERROR, ["the sampler broke: KeyError"])
