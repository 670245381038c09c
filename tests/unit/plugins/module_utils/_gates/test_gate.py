# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole gate: samplers that follow a script, and the story its result tells."""

from __future__ import annotations

import time

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import gate
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.gate import Limits, Target
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import Sample

QUICK = Limits(consecutive=3, interval=0.02, timeout=0.2, deadline=0.6)
GOOD = Sample("good", latency=4.0, status=200, body="ready")
BAD = Sample("bad", latency=8.0, status=503, problem="status 503 instead of 200", body="starting")


class Script:
    """A sampler that gives its samples one after the other, then repeats *then*."""

    def __init__(self, *samples: Sample, then: Sample | None = None) -> None:
        self._samples = list(samples)
        self._then = then or samples[-1]
        self.asked: list[tuple[float, bool]] = []

    def __call__(self, allowed: float, *, cut: bool = False) -> Sample:
        self.asked.append((allowed, cut))
        return self._samples.pop(0) if self._samples else self._then


class Alternating:
    def __init__(self) -> None:
        self._number = 0

    def __call__(self, allowed: float, *, cut: bool = False) -> Sample:
        self._number += 1
        return BAD if self._number % 3 == 0 else GOOD


def hang(allowed: float, *, cut: bool = False) -> Sample:
    time.sleep(3)
    return GOOD


def breaks(allowed: float, *, cut: bool = False) -> Sample:
    raise RuntimeError("no such thing")


def run(*samplers: gate.Sampler, limits: Limits = QUICK) -> dict[str, object]:
    targets = [Target(f"web-{number}", f"http://h/{number}", one) for number, one in enumerate(samplers, start=1)]
    samples, seconds = gate.sample_all(targets, limits)
    return gate.conclude([gate.report(*seen, limits) for seen in zip(targets, samples, seconds)], limits)


def test_good_answers_in_a_row_pass_and_sampling_stops() -> None:
    script = Script(GOOD)
    result = run(script)
    assert result["verdict"] == "pass"
    assert len(script.asked) == 3
    told = result["targets"][0]
    assert (told["samples"], told["good"], told["consecutive"], told["first_failure"]) == (3, 3, 3, None)
    assert told["latency_ms"] == {"p50": 4.0, "max": 4.0}
    assert result["summary"] == [
        f"web-1: pass: 3 of 3 good in a row; 3 of 3 samples good; {told['elapsed']:.1f} of 0.6 s; "
        "p50 4 ms, max 4 of 200 ms"
    ]


def test_flapping_never_passes_when_never_enough_in_a_row() -> None:
    result = run(Alternating())
    told = result["targets"][0]
    assert (result["verdict"], told["consecutive_longest"]) == ("fail", 2)
    assert told["good"] > QUICK.consecutive
    assert "2 of 3 good in a row" in result["summary"][0]


def test_a_late_success_passes_and_remembers_the_first_failure() -> None:
    result = run(Script(BAD, BAD, GOOD, BAD, GOOD, then=GOOD))
    told = result["targets"][0]
    assert (result["verdict"], told["samples"], told["good"]) == ("pass", 7, 4)
    assert told["first_failure"] == {
        "after": pytest.approx(0, abs=0.1),
        "status": 503,
        "error": "status 503 instead of 200",
        "headers": [],
        "body": "starting",
    }
    assert told["last_error"] is None


def test_only_good_answers_but_too_few_are_inconclusive() -> None:
    result = run(Script(GOOD), limits=Limits(consecutive=3, interval=0.2, timeout=0.1, deadline=0.3))
    assert result["verdict"] == "inconclusive"


def test_a_hanging_sampler_is_left_behind_at_the_deadline_without_a_pass() -> None:
    began = time.monotonic()
    result = run(hang, Script(GOOD))
    assert time.monotonic() - began < QUICK.deadline + 1
    assert [told["verdict"] for told in result["targets"]] == ["no_data", "pass"]
    assert result["verdict"] == "no_data"
    assert result["summary"][0] == "web-1: no_data: no sample came back within the deadline of 0.6 s"


def test_a_broken_sampler_is_an_error_at_once_and_never_a_silent_thread() -> None:
    result = run(breaks)
    told = result["targets"][0]
    assert (result["verdict"], told["samples"]) == ("error", 1)
    assert told["last_error"] == "the sampler broke: RuntimeError: no such thing"


def test_targets_are_sampled_at_the_same_time() -> None:
    def slow(allowed: float, *, cut: bool = False) -> Sample:
        time.sleep(0.05)
        return GOOD

    began = time.monotonic()
    result = run(*[slow] * 20, limits=Limits(consecutive=3, interval=0.01, timeout=1, deadline=10))
    assert result["verdict"] == "pass"
    assert time.monotonic() - began < 20 * 3 * 0.05 / 2


def test_samples_near_the_deadline_get_less_time_and_know_it() -> None:
    script = Script(BAD)
    run(script, limits=Limits(consecutive=1, interval=0.1, timeout=0.25, deadline=0.4))
    assert script.asked[0] == (0.25, False)
    assert script.asked[-1][1] is True
    assert script.asked[-1][0] < 0.25
    assert all(cut == (allowed < 0.25) for allowed, cut in script.asked)


def test_the_first_sample_is_never_cut_even_when_the_timeout_is_longer_than_the_deadline() -> None:
    script = Script(BAD)
    run(script, limits=Limits(consecutive=1, interval=0.1, timeout=5, deadline=0.2))
    allowed, cut = script.asked[0]
    assert (allowed <= 0.2, cut) == (True, False)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(consecutive=0), "consecutive of 1 or more"),
        (Limits(interval=-1), "an interval of 0 s or more"),
        (Limits(timeout=0), "a timeout above 0 s"),
        (Limits(deadline=0), "a deadline above 0 s"),
        (
            Limits(consecutive=5, interval=1, deadline=4),
            "a deadline above 4 s (5 answers in a row, one every 1 s)",
        ),
    ],
)
def test_limits_that_could_never_pass_are_refused(limits: Limits, expected: str) -> None:
    with pytest.raises(BadInput) as refused:
        gate.check([Target("web-1", "http://h/", Script(GOOD))], limits)
    assert expected in str(refused.value)


def test_a_gate_needs_targets_and_each_its_own_name() -> None:
    target = Target("web-1", "http://h/", Script(GOOD))
    with pytest.raises(BadInput, match="at least one target"):
        gate.check([], Limits())
    with pytest.raises(BadInput, match="several targets named web-1"):
        gate.check([target, target], Limits())
    gate.check([target], Limits())


def test_a_refusal_names_the_failed_targets_with_what_was_seen_and_expected() -> None:
    result = run(Script(GOOD), Script(BAD), Script(Sample("bad", problem="connection refused")))
    message = str(gate.refusal(result, "3 answers in a row with status 200", "curl -si http://h/2"))
    assert message.splitlines()[0] == "The gate did not pass (fail): 2 of 3 targets did not give the evidence."
    assert "expected: 3 answers in a row with status 200" in message
    assert "web-2: fail: 0 of 3 good in a row" in message
    assert "last answer: status 503, body: starting" in message
    assert "last: connection refused" in message
    assert "where: http://h/2, http://h/3" in message
    assert "web-1" not in message
    assert message.endswith("next: curl -si http://h/2")


def test_a_gate_that_looks_at_nothing_has_no_data() -> None:
    result = gate.not_sampled([("web-1", "http://h/1")], QUICK)
    assert (result["verdict"], result["summary"]) == ("no_data", ["web-1: no_data: not sampled"])
    assert result["targets"][0]["samples"] == 0
