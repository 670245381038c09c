# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a run: who may take them, what a next run finds, and what check mode says."""

from __future__ import annotations

import functools
import itertools
import threading
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    NotFound,
    RolloutError,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import steps, watch_files, work
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.place import NotConfirmed
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases
from ansible_collections.vitalops.rollout.plugins.module_utils._state.lease import LeaseHeld, LeaseLost
from ansible_collections.vitalops.rollout.plugins.module_utils._state.machine import ForbiddenStep
from ansible_collections.vitalops.rollout.plugins.module_utils._state.recovery import ImpossibleState
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy

Host = t.Any
R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}
BREAK = {"break_lease": "run-kim", "reason": "its controller is gone"}


def next_run(host: Host, **change: t.Any) -> t.Any:
    return host.run("run-next", **{"epoch": 0, "slot": None, "previous": None, "actor": "lee", **change})


def switched(host: Host) -> tuple[t.Any, str]:
    """A run that dies after its switch, and its token."""
    run, _view = host.begins()
    token = host.arms(run)["token"]
    host.ask("switch", run)
    return run, token


def test_a_whole_run(host: Host) -> None:
    run, view = host.begins()
    assert (view["action"], view["says"], view["resume"]) == ("nothing", "", False)
    armed = host.arms(run)
    moved = host.ask("switch", run, verify=host.question())
    assert moved["changed"] is True
    assert "pass" in moved["summary"]
    assert moved["diff"] == {
        "before": {"traffic pointer": "blue:none:0"},
        "after": {"traffic pointer": "green:none:0"},
    }
    assert host.ask("drain", run, slot="blue", deadline=2)["drained"] is True
    done = host.ask("confirm", run, release=R2, token=armed["token"], verify=host.question(consecutive=1))
    assert (done["changed"], done["state"]["live"]) == (True, "green")
    assert leases.read(host.folder).released
    assert [step for step, phase, _outcome in host.journal() if phase == "end"] == ["begin", "arm", "switch", "confirm"]


def test_a_confirmation_whose_answer_was_lost_is_answered_again(host: Host) -> None:
    run, token = switched(host)
    first = host.ask("confirm", run, release=R2, token=token)
    entries = host.journal()
    again = host.ask("confirm", run, release=R2, token=token)
    assert (first["changed"], again["changed"], again["state"]) == (True, False, first["state"])
    assert host.journal() == entries


def test_users_who_get_a_wrong_answer_fail_the_switch_and_the_confirmation(host: Host) -> None:
    run, _view = host.begins()
    token = host.arms(run)["token"]
    host.public.body = lambda: '{"slot": "blue"}'
    with pytest.raises(RolloutError, match="did not give the evidence"):
        host.ask("switch", run, verify=host.question())
    with pytest.raises(RolloutError, match="did not give the evidence"):
        host.ask("confirm", run, release=R2, token=token, verify=host.question())
    assert host.intent() is not None
    assert host.ask("revert", run, reason="users get blue")["changed"] is True
    assert host.ask("end", run, release=R2, reason="users get blue")["changed"] is True
    assert host.state().history[-1]["reason"] == "users get blue"
    assert leases.read(host.folder).released


def test_an_expression_that_cannot_be_used_moves_nothing(host: Host) -> None:
    run, _view = host.begins()
    with pytest.raises(BadInput):
        host.arms(run, verify=host.question(body="slot =="))
    with pytest.raises(BadInput, match="not clear what to ask"):
        host.ask("switch", run, verify={"path": "/"}, guarded=False)
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


# One run at a time.


def test_a_second_run_is_told_who_holds_the_lease_and_for_how_long(host: Host) -> None:
    host.begins(lease_seconds=60)
    host.now += 20
    for dry in (False, True):
        with pytest.raises(LeaseHeld, match=r"deploy by kim \(AWX job 42\)") as held:
            host.ask("begin", next_run(host), dry=dry)
        assert "40 s left" in str(held.value)
        assert "rollout_break_lease=run-kim" in str(held.value)


def test_a_broken_lease_is_recorded_with_its_holder_and_the_reason(host: Host) -> None:
    switched(host)
    _run, view = host.begins(next_run(host), **BREAK)
    begin = [one for one in journal.read(host.folder) if one.run == "run-next" and one.step == "begin"]
    assert {one.detail for one in begin} == {
        "Broke the lease of run run-kim (deploy by kim, AWX job 42): its controller is gone"
    }
    assert view["says"].startswith("Broke the lease of run run-kim")


def test_a_broken_lease_is_recorded_even_when_nothing_can_be_begun(host: Host) -> None:
    switched(host)
    with pytest.raises(BadInput):
        host.ask("begin", next_run(host), recovery="ask", **BREAK)
    assert "its controller is gone. An earlier run was cut off" in host.last().detail
    assert leases.read(host.folder).released


def test_a_lease_whose_time_is_over_is_taken_over_and_recorded(host: Host) -> None:
    host.begins(lease_seconds=60)
    host.now += 61
    host.begins(next_run(host))
    assert host.last().detail == "Took over the lease of run run-kim (deploy by kim, AWX job 42), whose time was over"


def test_a_run_that_lost_its_lease_can_do_no_step(host: Host) -> None:
    zombie, token = switched(host)
    host.begins(next_run(host), **BREAK)
    before = (host.traffic(), host.state(), host.intent(), host.journal())
    state = host.state().to_dict()
    wanted: dict[str, dict[str, t.Any]] = {
        "arm": {"deadline": 30, "check": {"path": "/", "status": 200, "host": "shop"}, "public_url": "http://h/"},
        "switch": {},
        "drain": {"slot": "green", "deadline": 1},
        "verify": {"verify": host.question()},
        "confirm": {"release": R2, "token": token},
        "revert": {},
        "adopt": {"state": state},
    }
    for step, parameters in wanted.items():
        for run in (zombie, zombie._replace(epoch=99)):
            with pytest.raises(LeaseLost, match="may not change shop any more"):
                host.ask(step, run, **parameters)
    assert host.ask("end", zombie, release=R2, reason="zombie")["changed"] is False
    assert (host.traffic(), host.state(), host.intent(), host.journal()) == before


def test_a_run_that_waits_for_the_lock_while_its_lease_is_broken_goes_no_further(host: Host) -> None:
    run, _view = host.begins()
    host.arms(run)
    call = steps.Call(host.guard(), run, "staging", {}, False)
    call.may("switch")
    host.begins(next_run(host), **BREAK)
    with pytest.raises(LeaseLost), call.alone("switch"):
        pytest.fail("it went on")


def test_steps_out_of_order_are_refused(host: Host) -> None:
    run, _view = host.begins()
    with pytest.raises(ForbiddenStep, match="without a guard"):
        host.ask("switch", run)
    with pytest.raises(ForbiddenStep):
        host.ask("confirm", run, release=R2, token="x")
    assert host.traffic() == ("blue", "blue")


def test_a_confirmation_that_comes_after_the_guard_is_refused(host: Host) -> None:
    run, token = switched(host)
    host.now += 31
    host.fire()
    with pytest.raises(ForbiddenStep, match="confirm of deploy run-kim is not allowed now"):
        host.ask("confirm", run, release=R2, token=token)
    assert host.state().live == "blue"


def test_a_wrong_token_loses_nothing(host: Host) -> None:
    run, token = switched(host)
    with pytest.raises(NotConfirmed, match="is not confirmed"):
        host.ask("confirm", run, release=R2, token="wrong")
    assert host.ask("confirm", run, release=R2, token=token)["state"]["live"] == "green"


# What an earlier run left.


def test_an_unconfirmed_switch_is_taken_back_and_said(host: Host) -> None:
    switched(host)
    _run, view = host.begins(next_run(host), **BREAK)
    assert (view["action"], view["intent"], view["pointer"]["file"]) == ("revert", None, "blue:none:0")
    assert "Found deploy run-kim of 1.1.0-bbb by kim (AWX job 42), cut off after step switch" in view["says"]
    assert "Now: traffic goes back to slot blue" in view["says"]
    assert host.traffic() == ("blue", "blue")


def test_a_run_that_died_before_its_switch_is_disarmed(host: Host) -> None:
    run, _view = host.begins()
    host.arms(run)
    _run, view = host.begins(next_run(host), **BREAK)
    assert (view["action"], host.intent(), host.timer.running) == ("disarm", None, {})


def test_a_switch_without_a_guard_is_taken_back_as_well(host: Host) -> None:
    run, _view = host.begins()
    host.arms(run)
    host.guard().disarm(host.intent())
    host.ask("switch", run, guarded=False)
    _run, view = host.begins(next_run(host), **BREAK)
    assert (view["action"], host.traffic()) == ("revert", ("blue", "blue"))


def test_the_only_slot_that_answers_keeps_the_traffic(host: Host) -> None:
    switched(host)
    host.blue.status = 503
    _run, view = host.begins(next_run(host), **BREAK)
    assert view["action"] == "keep"
    assert "Only slot green answers, which was never confirmed: it keeps the traffic" in view["says"]
    assert (host.traffic(), host.intent()) == (("green", "green"), None)


def test_what_was_confirmed_stays_and_is_only_cleared_up(host: Host) -> None:
    run, _token = switched(host)
    intent = host.intent()
    host.save(R2, "green")
    _run, view = host.begins(next_run(host), **BREAK)
    assert (view["action"], host.traffic(), host.intent()) == ("finish", ("green", "green"), None)
    assert ("revert", "end", "done") not in host.journal()
    assert intent.token not in host.timer.running
    assert run.id == "run-kim"


def test_a_roll_back_to_what_is_confirmed_is_finished_when_it_died_half_way(host: Host) -> None:
    host.route("green")
    back = host.run(operation="roll_back", release=R1["id"], slot="blue", previous="green")
    run, _view = host.begins(back)
    host.arms(run)
    host.route("blue", "green")
    _run, view = host.begins(next_run(host), **BREAK)
    assert "the load balancer follows the map file" in view["says"]
    assert (view["action"], host.traffic(), host.intent()) == ("finish", ("blue", "blue"), None)


def test_an_inconsistent_host_goes_back_once_the_slot_answers_again(host: Host) -> None:
    switched(host)
    host.blue.status = 503
    host.now += 31
    host.fires_to_the_end()
    assert host.intent().status == "inconsistent"
    host.blue.status = 200
    host.begins(next_run(host), **BREAK)
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


def test_ask_leaves_everything_to_the_operator(host: Host) -> None:
    switched(host)
    with pytest.raises(BadInput, match="rollout_recovery is ask") as asked:
        host.ask("begin", next_run(host), recovery="ask", **BREAK)
    assert "rollout_recovery=resume" in str(asked.value)
    assert host.traffic() == ("green", "green")
    assert host.intent() is not None
    host.begins(next_run(host, id="run-third"), recovery="revert")
    assert host.traffic() == ("blue", "blue")


@pytest.mark.parametrize(("in_file", "in_use", "asks"), [("green", "blue", True), ("blue", "green", False)])
def test_a_load_balancer_that_must_first_follow_its_map_file_is_asked_for_too(
    host: Host, in_file: str, in_use: str, asks: bool
) -> None:
    """A run that went on with what another one left, and was cut off as it armed: nothing is armed any more."""
    run, _view = host.begins()
    journal.append(host.folder, run, "arm", "begin", clock=host.clock)
    host.route(in_file, in_use)
    if asks:
        with pytest.raises(BadInput, match="rollout_recovery is ask") as asked:
            host.ask("begin", next_run(host), recovery="ask", **BREAK)
        assert "traffic in slot green, guard off. Now: traffic goes back to slot blue" in str(asked.value)
        assert host.traffic() == (in_file, in_use)
        host.begins(next_run(host, id="run-third"), recovery="revert")
    else:
        host.begins(next_run(host), recovery="ask", **BREAK)
    assert host.traffic() == ("blue", "blue")


def test_resume_goes_on_where_the_run_was_cut_off(host: Host) -> None:
    switched(host)
    run, view = host.begins(next_run(host), recovery="resume", **BREAK)
    assert (view["resume"], view["action"], host.traffic()) == (True, "resume", ("green", "green"))
    assert view["intent"]["run"]["id"] == "run-next"
    assert "token" not in view["intent"]
    run = run._replace(slot="green", previous="blue")
    token = host.arms(run)["token"]
    assert host.ask("switch", run)["changed"] is False
    assert host.ask("confirm", run, release=R2, token=token)["state"]["live"] == "green"


@pytest.mark.parametrize(
    "change", [{"release": "1.2.0-ccc"}, {"operation": "roll_back"}], ids=["another release", "another operation"]
)
def test_only_the_same_rollout_is_resumed(host: Host, change: dict[str, str]) -> None:
    switched(host)
    _run, view = host.begins(next_run(host, **change), recovery="resume", **BREAK)
    assert (view["resume"], host.traffic()) == (False, ("blue", "blue"))


def test_nothing_is_resumed_after_its_deadline(host: Host) -> None:
    switched(host)
    host.now += 31
    _run, view = host.begins(next_run(host), recovery="resume", **BREAK)
    assert (view["resume"], host.traffic()) == (False, ("blue", "blue"))


def test_a_policy_that_nobody_knows_is_refused_and_the_lease_is_free(host: Host) -> None:
    host.arm()
    with pytest.raises(BadInput, match="not clear what to do"):
        host.ask("begin", next_run(host), recovery="guess")
    assert leases.read(host.folder).released


def test_what_cannot_have_happened_is_never_guessed_at(host: Host) -> None:
    switched(host)
    host.route(None)
    with pytest.raises(ImpossibleState, match="contradict each other"):
        host.ask("begin", next_run(host), **BREAK)
    assert host.ask("info", next_run(host))["view"]["problem"].startswith("The journal, the traffic pointer")
    assert leases.read(host.folder).released


@pytest.mark.parametrize("file", ["lease.json", "intent.json", "state.json"])
def test_garbage_in_a_file_is_a_clear_error_and_stays(host: Host, file: str) -> None:
    switched(host)
    path = host.root / "shop" / file
    path.write_text("{gar")
    with pytest.raises(StateUnreadable, match="damaged") as refused:
        host.ask("begin", next_run(host), **BREAK)
    assert str(path) in str(refused.value)
    assert path.read_text() == "{gar"
    assert "damaged" in host.ask("info", next_run(host))["view"]["problem"]


# Adopt, drain, verify, end.


def behind(host: Host) -> dict[str, t.Any]:
    """The state of a leader that is ahead of this host."""
    state = host.state()
    host.save(R2, "green")
    ahead = host.state().to_dict()
    steps.states.save(state, str(host.root))
    return t.cast("dict[str, t.Any]", ahead)


def test_a_host_that_was_left_behind_follows_and_can_then_arm(host: Host) -> None:
    ahead = behind(host)
    run, _view = host.begins()
    assert host.ask("adopt", run, dry=True, state=ahead)["changed"] is True
    assert host.traffic() == ("blue", "blue")
    assert host.ask("adopt", run, state=ahead)["changed"] is True
    assert (host.traffic(), host.state().to_dict()) == (("green", "green"), ahead)
    assert host.ask("adopt", run, state=ahead)["changed"] is False
    assert host.arms(run._replace(slot="blue", previous="green"))["token"]


def test_nobody_follows_to_a_release_that_does_not_answer_and_the_way_out_is_told(host: Host, peer: t.Any) -> None:
    ahead = behind(host)
    run, _view = host.begins()
    peer.rows[1] = peer.server("green", "app1-web-1", "DOWN", host.green.address)
    with pytest.raises(RolloutError, match="users stay on slot blue here") as refused:
        host.ask("adopt", run, state=ahead, wait=0.2)
    assert "vitalops.rollout.roll_back -i" in str(refused.value)
    assert host.traffic() == ("blue", "blue")


def test_a_host_that_kept_users_in_a_slot_nobody_confirmed_follows_once_the_live_one_answers(
    host: Host, peer: t.Any
) -> None:
    switched(host)
    state = host.state().to_dict()
    host.blue.status = 503
    run, view = host.begins(next_run(host), **BREAK)
    assert (view["action"], view["pointer"]["file"], host.intent()) == ("keep", "green:none:0", None)
    peer.rows[0] = peer.server("blue", "app1-web-1", "DOWN", host.blue.address)
    with pytest.raises(
        RolloutError, match="slot blue, where the others are, does not answer: users stay on slot green"
    ):
        host.ask("adopt", run, state=state, wait=0.2)
    assert host.traffic() == ("green", "green")
    peer.rows[0] = peer.server("blue", "app1-web-1", "UP", host.blue.address)
    assert host.ask("adopt", run, state=state)["changed"] is True
    assert (host.traffic(), host.state().to_dict()) == (("blue", "blue"), state)
    host.ask("end", run)
    assert host.begins(host.run("run-mia", epoch=0))[1]["action"] == "nothing"


def test_a_run_whose_lease_is_broken_waits_for_no_instance(host: Host, peer: t.Any) -> None:
    run, _view = host.begins()
    peer.rows[1] = peer.server("green", "app1-web-1", "DOWN", host.green.address)
    breaks = threading.Timer(0.2, lambda: host.begins(next_run(host), **BREAK))
    breaks.start()
    with pytest.raises(LeaseLost):
        host.arms(run, wait=30)
    breaks.join()


def test_a_run_that_is_at_work_elsewhere_keeps_its_lease(host: Host) -> None:
    run, _view = host.begins(lease_seconds=30)
    host.now += 20
    host.ask("renew", run)
    host.now += 20
    with pytest.raises(LeaseHeld):
        host.ask("begin", host.run("run-lee"))


def test_a_host_that_follows_has_nothing_armed(host: Host) -> None:
    ahead = behind(host)
    switched(host)
    run, _view = host.begins(next_run(host), recovery="resume", **BREAK)
    host.ask("adopt", run, state=ahead)
    assert (host.intent(), host.state().live) == (None, "green")


def test_nobody_follows_a_state_without_a_live_slot(host: Host) -> None:
    run, _view = host.begins()
    nothing = steps.states.State("shop", "staging").to_dict()
    with pytest.raises(BadInput, match="nothing to follow"):
        host.ask("adopt", run, state=nothing)


def test_a_slot_that_gets_traffic_cannot_drain(host: Host) -> None:
    run, _view = host.begins()
    with pytest.raises(BadInput, match="cannot drain: it gets traffic"):
        host.ask("drain", run, slot="blue", deadline=1)


def test_a_drain_says_what_is_left_and_fails_only_when_it_is_required(host: Host) -> None:
    run, _view = host.begins()
    host.peer.rows[3] = host.peer.backend("green", 3)
    assert host.ask("drain", run, slot="green", deadline=0.2, required=False)["in_flight"] == 3
    with pytest.raises(RolloutError, match="still has requests in flight"):
        host.ask("drain", run, slot="green", deadline=0.2)


#: The steps that keep the lease, with what has gone before.
KEEPING: dict[str, tuple[str, ...]] = {
    "renew": (),
    "adopt": (),
    "drain": (),
    "arm": (),
    "switch": ("arm",),
    "shift": ("arm",),
    "verify": ("arm", "switch"),
    "watch": ("arm", "switch"),
    "watched": ("arm", "switch", "watch"),
    "revert": ("arm", "switch"),
}
#: The steps that do not, and why.
NOT_KEEPING = {
    "info": "changes nothing, and is asked by people",
    "begin": "takes it",
    "confirm": "gives it back",
    "end": "gives it back",
    "approve": "is said by another run than the one that is watched",
    "approved": "is asked by another run than the one that is watched",
    "unwatch": "stands between two steps that do",
    **dict.fromkeys(work.STEPS, "an application host keeps no lease"),
}
WATCH = {"phase": "bake", "seconds": 60, "most": 60, "public_url": "http://127.0.0.1/", "gates": []}


def test_of_every_step_it_is_known_whether_it_keeps_the_lease() -> None:
    assert sorted([*KEEPING, *NOT_KEEPING]) == sorted(steps.STEPS)


def keep(host: Host, step: str, run: t.Any) -> None:
    if step == "arm":
        host.arms(run, lease_seconds=60)
        return
    told: dict[str, t.Any] = {
        "adopt": {"state": host.state().to_dict()},
        "drain": {"slot": "green", "deadline": 1},
        "shift": {"weight": 25},
        "watch": WATCH,
        "watched": {"watch": (watch_files.read_asked(host.folder) or {}).get("id")},
    }.get(step, {})
    verify = {"verify": host.question()} if step in ("switch", "verify") else {}
    host.ask(step, run, lease_seconds=60, **told, **verify)


@pytest.mark.parametrize("step", KEEPING)
def test_the_lease_is_renewed_by_every_step(host: Host, step: str) -> None:
    run, _view = host.begins(lease_seconds=60)
    for earlier in KEEPING[step]:
        keep(host, earlier, run)
    host.now += 10
    assert leases.remaining(leases.read(host.folder), host.clock) == 50
    keep(host, step, run)
    assert leases.remaining(leases.read(host.folder), host.clock) == 60


def test_a_drain_that_takes_long_renews_the_lease_again_and_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    often = functools.partial(steps._now_and_then, seconds=0.1)
    monkeypatch.setattr(steps, "_now_and_then", often)
    run, _view = host.begins(lease_seconds=60)
    host.peer.rows[3] = host.peer.backend("green", 3)
    renewed, renew = list[float](), leases.renew

    def count(*arguments: t.Any) -> t.Any:
        renewed.append(time.monotonic())
        return renew(*arguments)

    monkeypatch.setattr(leases, "renew", count)
    host.ask("drain", run, slot="green", deadline=1, required=False, lease_seconds=60)
    assert 4 <= len(renewed) <= 12
    assert min(later - earlier for earlier, later in itertools.pairwise(renewed[1:])) >= 0.1


def test_verify_looks_at_traffic_and_at_what_users_get(host: Host) -> None:
    run, _view = host.begins(host.run(slot="blue", previous=None))
    assert "pass" in host.ask("verify", run, verify=host.question(body="slot == 'blue'"))["summary"]
    with pytest.raises(NotConfirmed):
        host.ask("verify", run._replace(slot="green"), verify=host.question())


def test_a_run_that_ends_gives_its_lease_back_once(host: Host) -> None:
    run, _view = host.begins()
    assert host.ask("end", run._replace(epoch=0), reason="another host refused")["changed"] is False
    assert host.last().detail == "another host refused"
    assert leases.read(host.folder).released
    entries = host.journal()
    host.ask("end", run)
    assert host.journal() == entries


# What is refused before anything is looked at, and check mode.


def test_begin_needs_a_provisioned_host_and_its_own_environment(host: Host) -> None:
    request = {"protocol": 3, "step": "begin", "application": "shop", "environment": "production"}
    with pytest.raises(BadInput, match="serves another environment"):
        steps.perform({**request, "run": host.run().to_dict()}, host.guard)
    (host.root / "shop" / "traffic.map").unlink()
    with pytest.raises(NotFound, match="There is no traffic map for shop"):
        host.ask("begin")
    assert leases.read(host.folder) is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"protocol": 4}, "another version than the collection"),
        ({"step": "dance"}, "no such step"),
        ({"application": "../etc"}, "application"),
        ({"run": {"id": "x"}}, "description of the run cannot be used"),
    ],
)
def test_what_cannot_be_understood_is_refused(host: Host, change: dict[str, t.Any], match: str) -> None:
    request = {"protocol": 3, "step": "info", "application": "shop", "environment": "staging"}
    with pytest.raises(BadInput, match=match):
        steps.perform({**request, "run": host.run().to_dict(), **change}, host.guard)


def test_check_mode_goes_through_every_step_and_changes_nothing(host: Host) -> None:
    before = (host.traffic(), host.state(), sorted(path.name for path in (host.root / "shop").iterdir()))
    told = host.ask("begin", host.run(epoch=0), dry=True)
    assert (told["changed"], told["run"]["actor"]) == (False, "kim")
    run = host.run()
    for step, parameters in (
        ("arm", {}),
        ("drain", {"slot": "green", "deadline": 1}),
        ("verify", {"verify": host.question()}),
        ("confirm", {"release": R2}),
        ("revert", {}),
        ("end", {}),
    ):
        host.ask(step, run, dry=True, **parameters)
    assert host.ask("switch", run, dry=True, verify=host.question())["changed"] is True
    after = (host.traffic(), host.state(), sorted(path.name for path in (host.root / "shop").iterdir()))
    assert after == before


def test_check_mode_of_begin_says_what_would_be_done_about_an_earlier_run(host: Host) -> None:
    switched(host)
    told = host.ask("begin", next_run(host), dry=True, **BREAK)
    assert (told["changed"], told["view"]["action"]) == (True, "revert")
    assert told["view"]["pointer"]["file"] == "blue:none:0"  # the plan is made as if it had been done
    assert host.traffic() == ("green", "green")
    told = host.ask("begin", next_run(host), dry=True, recovery="resume", **BREAK)
    assert (told["view"]["resume"], told["view"]["pointer"]["file"]) == (True, "green:none:0")


@pytest.mark.parametrize(
    ("in_file", "in_haproxy", "changed", "before"),
    [
        ("green", "green", False, {"traffic pointer": "green:none:0"}),
        ("blue", "blue", True, {"traffic pointer": "blue:none:0"}),
        ("green", "blue", True, {"traffic pointer": "green:none:0", "traffic pointer of HAProxy": "blue:none:0"}),
        ("blue", "green", True, {"traffic pointer": "blue:none:0", "traffic pointer of HAProxy": "green:none:0"}),
    ],
)
def test_check_mode_of_a_switch_looks_at_file_and_haproxy_and_changes_neither(
    host: Host, in_file: str, in_haproxy: str, changed: bool, before: dict[str, str]
) -> None:
    host.route(in_file, in_haproxy)
    told = host.ask("switch", dry=True)
    assert (told["changed"], told["diff"]["before"]) == (changed, before)
    assert told["diff"]["after"] == {"traffic pointer": "green:none:0"}
    assert host.traffic() == (in_file, in_haproxy)


def test_check_mode_of_a_switch_refuses_what_a_real_run_would_refuse(host: Host) -> None:
    host.peer.unknown = True
    with pytest.raises(NotFound, match="does not know the traffic map"):
        host.ask("switch", dry=True)
    (host.root / "shop" / "traffic.map").unlink()
    with pytest.raises(NotFound):
        host.ask("switch", dry=True)


def test_check_mode_of_a_switch_goes_by_the_file_where_haproxy_is_not_there_yet(host: Host) -> None:
    run, _view = host.begins()
    host.arms(run)
    host.haproxy_is_down()
    assert host.ask("switch", run, dry=True)["changed"] is True
    with pytest.raises(haproxy.NotRunning):
        host.ask("switch", run)


def test_nothing_is_confirmed_without_asking_what_users_get(host: Host) -> None:
    run, token = switched(host)
    with pytest.raises(BadInput, match="confirmed only by what users get"):
        host.ask("confirm", run, release=R2, token=token, verify=None)
    assert host.intent().token == token


def test_a_plan_that_gives_up_the_guard_switches_and_confirms_without_one(host: Host) -> None:
    run, _view = host.begins()
    with pytest.raises(ForbiddenStep, match="switch"):
        host.ask("switch", run)
    assert host.ask("switch", run, guarded=False)["changed"] is True
    assert host.ask("confirm", run, release=R2, token=None)["state"]["live"] == "green"


def test_a_run_that_was_refused_or_taken_back_leaves_word_that_workers_may_be_elsewhere(host: Host) -> None:
    run, token = switched(host)
    host.ask("confirm", run, release=R2, token=token)
    second, view = host.begins(next_run(host))
    assert view["unsettled"] is None
    host.ask("end", second, reason="the gate refused it", release=R1)
    _third, view = host.begins(next_run(host, id="run-third"))
    assert (view["unsettled"]["operation"], view["unsettled"]["step"]) == ("deploy", "end")
