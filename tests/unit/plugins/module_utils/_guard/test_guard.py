# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""arm → switch → confirm: what is promised is kept, and whatever goes wrong, nothing is lost."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    CommandFailed,
    RolloutError,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import place
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.place import NotConfirmed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.verify import Question
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases

Host = t.Any
STEP = [("begin", None), ("end", "done")]


def test_a_switch_is_armed_moved_and_confirmed(host: Host) -> None:
    intent = host.arm()
    assert host.traffic() == ("blue", "blue")
    assert host.timer.running == {intent.token: 30.0}
    assert intent.instances == {"blue": (host.blue.address,), "green": (host.green.address,)}
    assert host.guard().switch(host.run(), "green") is True
    assert host.traffic() == ("green", "green")
    assert host.state().live == "blue"
    state = host.confirm(intent.token, question=Question(host.question()))
    assert (state.live, state.last_good) == ("green", "1.1.0-bbb")
    assert host.state() == state
    assert host.intent() is None
    assert host.timer.running == {}
    assert host.journal() == [(step, *phase) for step in ("arm", "switch", "confirm") for phase in STEP]


def test_each_step_may_be_repeated(host: Host) -> None:
    first, second = host.arm(), host.arm()
    assert first.token != second.token
    assert host.timer.running == {second.token: 30.0}
    assert host.guard().switch(host.run(), "green") is True
    assert host.guard().switch(host.run(), "green") is False
    assert host.confirm(second.token) == host.confirm(second.token)


def test_an_arming_whose_timer_does_not_run_leaves_nothing(host: Host) -> None:
    host.timer.broken = True
    with pytest.raises(CommandFailed, match="timer does not run"):
        host.arm()
    assert host.intent() is None
    assert host.traffic() == ("blue", "blue")
    with pytest.raises(BadInput, match="not armed for this switch"):
        host.guard().switch(host.run(), "green")
    assert host.traffic() == ("blue", "blue")


def test_a_second_arming_that_fails_leaves_the_first_one_in_charge(host: Host) -> None:
    first = host.armed_and_switched()
    host.timer.broken = True
    with pytest.raises(CommandFailed):
        host.arm()
    assert host.intent() == first
    assert host.timer.running == {first.token: 30.0}


def test_an_intent_that_the_guard_could_not_read_is_never_armed(host: Host) -> None:
    with pytest.raises(BadInput, match="cannot be armed with this"):
        host.arm(deadline=-1.0)
    assert (host.intent(), host.timer.running) == (None, {})


def test_instances_must_be_up_before_anything_is_promised(host: Host) -> None:
    assert host.guard().instances("green", 1, 0.1) == {"blue": [host.blue.address], "green": [host.green.address]}
    with pytest.raises(CommandFailed, match="does not see slot green"):
        host.guard().instances("green", 2, 0.1)


def test_another_run_cannot_arm_over_an_armed_guard(host: Host) -> None:
    first = host.arm()
    with pytest.raises(BadInput, match="armed for another run") as refused:
        host.arm(host.run("run-lee"))
    assert "run run-kim by kim, switching to green" in str(refused.value)
    assert host.intent() == first


def test_going_back_needs_another_slot(host: Host) -> None:
    with pytest.raises(BadInput, match="a slot to go back to"):
        host.arm(previous="green")


def test_a_switch_after_the_deadline_does_not_happen(host: Host) -> None:
    host.arm()
    host.now += 30
    with pytest.raises(BadInput, match="deadline passed before traffic was moved"):
        host.guard().switch(host.run(), "green")
    assert host.traffic() == ("blue", "blue")


def test_a_switch_to_a_slot_that_was_not_armed_does_not_happen(host: Host) -> None:
    host.arm()
    with pytest.raises(BadInput, match="one of run run-kim for slot green"):
        host.guard().switch(host.run(), "blue")


def refused(host: Host, token: str | None, match: str, **change: t.Any) -> None:
    """The confirmation is refused, and intent, timer, state and traffic are as before."""
    before = (host.intent(), dict(host.timer.running), host.state(), host.traffic())
    with pytest.raises(RolloutError, match=match) as caught:
        host.confirm(token, **change)
    assert caught.value.next_step
    assert (host.intent(), host.timer.running, host.state(), host.traffic()) == before
    assert host.journal()[-1] == ("confirm", "end", "failed")


def test_a_wrong_token_confirms_nothing(host: Host) -> None:
    host.armed_and_switched()
    refused(host, "0123456789abcdef", "with another token")
    refused(host, None, "with another token")


def test_after_the_deadline_nothing_is_confirmed(host: Host) -> None:
    token = host.armed_and_switched().token
    host.now += 30.0
    refused(host, token, "the deadline has passed")


def test_after_a_boot_nothing_is_confirmed(host: Host) -> None:
    token = host.armed_and_switched().token
    host.boot = "kernel:2000"
    refused(host, token, "the deadline has passed")


def test_what_the_guard_took_back_is_not_confirmed(host: Host) -> None:
    token = host.armed_and_switched().token
    host.now += 31
    host.fire()
    refused(host, token, "the guard has taken the switch back")
    assert host.traffic() == ("blue", "blue")


@pytest.mark.parametrize(("in_file", "in_haproxy"), [("blue", "blue"), ("green", "blue"), ("blue", "green")])
def test_traffic_that_is_elsewhere_is_not_confirmed(host: Host, in_file: str, in_haproxy: str) -> None:
    token = host.armed_and_switched().token
    host.route(in_file, in_haproxy)
    refused(host, token, "traffic is not where this run moved it")


def test_a_wrong_answer_to_users_is_not_confirmed(host: Host) -> None:
    token = host.armed_and_switched().token
    host.public.body = lambda: '{"slot": "of somebody else"}'
    refused(host, token, "of somebody else", question=Question(host.question()))


def test_nobody_asks_longer_than_the_guard_waits(host: Host) -> None:
    token = host.armed_and_switched().token
    host.public.status = 503
    host.now += 29.7
    refused(host, token, r"of 0\.3 s", question=Question(host.question(deadline=15.0)))


def test_a_timer_that_cannot_be_stopped_does_not_undo_a_confirmation(host: Host) -> None:
    token = host.armed_and_switched().token
    host.timer.stuck = True
    assert host.confirm(token).live == "green"
    host.now += 31
    assert host.fire() == "shop: nothing is armed"
    assert host.traffic() == ("green", "green")


def test_a_plan_without_a_guard_confirms_without_a_token(host: Host) -> None:
    host.guard().switch(host.run(), "green", guarded=False)
    refused(host, "abc", "nothing is armed")
    assert host.confirm(None).live == "green"


def test_a_confirmation_that_is_repeated_still_looks_where_traffic_is(host: Host) -> None:
    token = host.armed_and_switched().token
    host.confirm(token)
    host.route("blue")
    with pytest.raises(NotConfirmed, match="not where this run moved it"):
        host.confirm(token)


def test_a_confirmation_is_recorded_with_the_epoch_of_its_run(host: Host) -> None:
    """This load balancer has given a lower one: the run carries the highest of the fleet."""
    begun, _view = host.begins(host.run(epoch=0))
    run = begun._replace(epoch=begun.epoch + 8)
    token = host.arms(run)["token"]
    host.ask("switch", run)
    release = {**host.state().slots["blue"].release, "id": run.release}
    told = host.ask("confirm", run, release=release, token=token)
    assert (begun.epoch, told["state"]["slots"]["green"]["epoch"]) == (1, 9)
    assert host.state().confirmed_epoch == leases.read(host.folder).epoch == 9


def test_nobody_else_changes_traffic_meanwhile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "LOCK_SECONDS", 0.1)
    mine, other = host.guard(), host.guard()
    host.arm()
    busy = pytest.raises(CommandFailed, match="Another change of the traffic does not end")
    with mine.alone(), mine.alone(), busy:
        other.switch(host.run(), "green")
    assert other.switch(host.run(), "green") is True
