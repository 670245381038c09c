# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users get through the load balancer: asked so often, for so long, and no longer than the guard waits."""

from __future__ import annotations

import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.verify import Question

Host = t.Any


def test_right_answers_are_told_with_their_numbers(host: Host) -> None:
    assert "2 of 2 good in a row" in Question(host.question(body="slot == 'blue'")).ask()


def test_wrong_answers_are_told_as_users_see_them(host: Host) -> None:
    with pytest.raises(RolloutError) as failed:
        Question(host.question(deadline=0.5)).ask()
    text = str(failed.value)
    assert "expected: 2 answers in a row with status 200 and slot == 'green' true on the body" in text
    assert '"slot": "blue"' in text
    assert f"curl -si 'http://{host.public.address}/ready'" in text


def test_the_time_that_is_left_cuts_the_deadline(host: Host) -> None:
    host.public.status = 503
    began = time.monotonic()
    with pytest.raises(RolloutError):
        Question(host.question(deadline=30.0)).ask(0.3)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("wanted", [{}, {"status": 200}, {"url": "http://h/", "unknown": 1}])
def test_what_cannot_be_asked_is_refused_at_once(wanted: dict[str, t.Any]) -> None:
    with pytest.raises(BadInput, match="not clear what to ask"):
        Question(wanted)


def test_an_expression_with_an_error_is_refused_at_once(host: Host) -> None:
    with pytest.raises(BadInput):
        Question(host.question(body="slot =="))


def test_what_is_not_told_has_a_default(host: Host) -> None:
    assert "3 of 3 good in a row" in Question({"url": f"http://{host.public.address}/", "body": None}).ask()
