# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch on a load balancer: it sees what users get, takes a bad release back by itself, and dies without confirming.

Molecule runs it under systemd, with HAProxy and with users.
"""

from __future__ import annotations

import json
import re
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    RolloutError,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.watch import Progress
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import tally, watch_files, watcher, words
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.call import TakenBack
from ansible_collections.vitalops.rollout.plugins.module_utils._state import intent as intents
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases
from ansible_collections.vitalops.rollout.plugins.module_utils._state.lease import LeaseHeld, LeaseLost

from .conftest import R2

ERRORS = {
    "name": "errors",
    "type": "traffic",
    "min_samples": 50,
    "interval": "20 ms",
    "at_most": {"error_share": "1 %"},
}


def asks(host: t.Any, run: t.Any, **change: t.Any) -> dict[str, t.Any]:
    told = {"phase": "bake", "gates": [ERRORS], "seconds": 0.1, "most": 5, "public_url": "http://127.0.0.1/"}
    return host.ask("watch", run, **{**told, **change})


def looks(host: t.Any, run: t.Any, watch: str) -> dict[str, t.Any]:
    return host.ask("watched", run, watch=watch)["watch"]


def users_get(host: t.Any, good: int, bad: int = 0) -> None:
    host.peer.rows[3] = host.peer.backend("green", 0, good, bad)


def switched(host: t.Any) -> t.Any:
    run, _view = host.begins()
    host.arms(run)
    host.ask("switch", run)
    return run


def started(host: t.Any) -> t.Callable[[], str]:
    """The unit runs. Returns what waits for its end."""
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(watcher.watch(host.guard())), daemon=True)
    thread.start()

    def ended() -> str:
        thread.join(10)
        return said[0]

    return ended


def until(wanted: t.Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not wanted():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_release_that_users_are_content_with_passes(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run)["watch"]
    assert host.timer.watches == 1
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 600, 2)
    until(lambda: looks(host, run, watch)["progress"]["action"] == "go")
    # It looks on until the run says that all others are content, too.
    assert looks(host, run, watch)["ended"] is None
    host.ask("unwatch", run, watch=watch)
    assert "shop: phase bake: every gate has passed after " in ended()
    seen = looks(host, run, watch)
    assert seen["ended"] == "go"
    assert seen["progress"]["gates"][0]["words"][0] == "303 answers"
    assert [one for one in host.journal(run.id) if one[0] == "watch"] == [
        ("watch", "begin", None),
        ("watch", "end", "done"),
    ]
    assert host.traffic() == ("green", "green")
    assert host.intent() is not None


def test_a_release_that_fails_users_goes_back_by_itself(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60, most=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    host.peer.rows[1] = "shop_green,app1-web-1,0,0,UP,0,50,450,0,L7OK,200,192.0.2.1:18100,400"
    users_get(host, 400, 50)
    said = ended()
    assert "\n  app1-web-1: 50 of its 450 answers were errors, 0 connections failed" in said
    assert host.traffic() == ("blue", "blue")
    assert host.intent() is None
    assert "was refused (phase bake: errors: " in said
    assert "traffic is back on blue" in said
    seen = looks(host, run, watch)
    assert (seen["ended"], seen["says"]) == ("revert", said.splitlines()[0].partition(": ")[2])
    assert host.journal(run.id)[-3:] == [
        ("revert", "begin", None),
        ("revert", "end", "done"),
        ("watch", "end", "failed"),
    ]


def test_a_watch_that_cannot_take_back_yet_says_what_it_has_found(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60, most=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    host.blue.status = host.green.status = 503  # what both slots need is gone
    users_get(host, 400, 50)
    until(lambda: ((looks(host, run, watch)["progress"] or {}).get("action")) == "revert")
    assert looks(host, run, watch)["ended"] is None
    host.blue.status = 200
    assert "traffic is back on blue" in ended()
    assert looks(host, run, watch)["ended"] == "revert"


def test_before_the_switch_there_is_nothing_to_take_back(host: t.Any) -> None:
    run, _view = host.begins()
    watch = asks(host, run, phase="before_switch", seconds=0, most=0.2)["watch"]
    assert "no_data when its time was over" in started(host)()
    assert looks(host, run, watch)["ended"] == "revert"
    assert host.traffic() == ("blue", "blue")


def test_while_the_run_looks_the_guard_waits(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    host.now += 14
    looks(host, run, watch)
    intent = t.cast(intents.Intent, host.intent())
    assert intents.due(intent, host.clock) == 30.0
    host.now += 16
    assert "armed for another 14.0 s" in host.fire()
    assert host.timer.running[intent.token] == 14.0


def test_a_guard_whose_time_is_over_is_not_renewed(host: t.Any) -> None:
    run = switched(host)
    asks(host, run)
    host.now += 31
    host.guard().renew(run)
    assert intents.due(t.cast(intents.Intent, host.intent()), host.clock) <= 0


def alone(host: t.Any, run: t.Any, **change: t.Any) -> dict[str, t.Any]:
    """A watch that nobody attends."""
    told = {"release": R2, "verify": host.question(consecutive=1), "lease_seconds": 20, "alone": True}
    return asks(host, run, **{**told, **change})


def test_a_watch_that_nobody_attends_confirms(host: t.Any) -> None:
    run = switched(host)
    alone(host, run)
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 600)
    assert "1.1.0-bbb is confirmed" in ended()
    assert "approved_by" not in host.state().history[-1]
    assert (host.intent(), host.state().live) == (None, "green")
    assert leases.read(host.folder).released


def test_a_watch_that_nobody_attends_takes_back_and_has_the_refusal_on_record(host: t.Any) -> None:
    run = switched(host)
    alone(host, run, seconds=60, most=60)
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 400, 50)
    assert "traffic is back on blue" in ended()
    assert host.traffic() == ("blue", "blue")
    assert leases.read(host.folder).released
    state = host.state()
    assert (state.live, state.history[-1]["outcome"]) == ("blue", "refused")
    # What stands in the journal is that the guard took it back: the next run knows that users are where they were.
    assert [one for one in host.journal(run.id) if one[0] == "end"] == []


def test_a_watch_that_nobody_attends_keeps_guard_and_lease(host: t.Any) -> None:
    run = switched(host)
    watch = alone(host, run, seconds=60)["watch"]
    host.now += 14
    ended = started(host)
    time.sleep(0.3)
    assert intents.due(t.cast(intents.Intent, host.intent()), host.clock) == 30.0
    assert leases.remaining(leases.read(host.folder), host.clock) == 20.0
    host.ask("unwatch", run, watch=watch)
    assert ended()


def test_a_person_confirms_before_its_time(host: t.Any) -> None:
    run = switched(host)
    alone(host, run, seconds=60)
    ended = started(host)
    time.sleep(0.1)
    watch = host.ask("approve", host.run("run-lee", actor="lee"))["watch"]
    assert "approved by lee (AWX job 42) after" in ended()
    assert host.ask("approved", host.run("run-lee"), watch=watch)["watch"]["ended"] == "go"
    assert host.state().live == "green"
    assert host.state().history[-1]["approved_by"] == "lee (AWX job 42)"


def test_a_person_says_that_a_watch_which_a_run_attends_has_seen_enough(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    assert host.ask("approve", host.run("run-lee", actor="lee"))["watch"] == watch
    assert "approved by lee (AWX job 42) after" in ended()
    seen = host.ask("watched", run, watch=watch)["watch"]
    assert (seen["ended"], seen["approved"]) == ("go", "lee (AWX job 42)")
    assert host.state().live == "blue"  # the run confirms
    host.ask("confirm", run, release=R2, token=t.cast(intents.Intent, host.intent()).token)
    assert (host.state().history[-1]["by"], host.state().history[-1]["approved_by"]) == ("kim", "lee (AWX job 42)")


def test_a_release_whose_run_has_died_is_not_approved(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    host.now += 16
    with pytest.raises(RolloutError, match="The run that would confirm this release has died") as refused:
        host.ask("approve", host.run("run-lee", actor="lee"))
    assert "none for 16 s" in str(refused.value)
    assert watch_files.read_asked(host.folder).get("approved") is None
    host.ask("unwatch", run, watch=watch)
    ended()


def test_an_approval_is_no_look_of_the_run_that_attends(host: t.Any) -> None:
    run = switched(host)
    asks(host, run, seconds=60)
    watch_files.write_seen(host.folder, watch_files.told(watch_files.read_asked(host.folder), host.clock), None)
    host.now += 10
    host.ask("approve", host.run("run-lee", actor="lee"))
    assert watch_files.silence(host.folder, host.clock) == pytest.approx(10)


def test_answers_show_no_secret_of_the_application(host: t.Any) -> None:
    run = switched(host)
    asks(host, run, masked=["hidden-value"])
    assert watch_files.read_asked(host.folder)["masked"] == ["hidden-value"]
    asks(host, run, gates=[], masked=["hidden-value"])
    assert watch_files.read_asked(host.folder)["masked"] == []  # where nothing looks, nothing can be repeated
    damaged(host, "watch.json", {"hidden": "value"}, ("masked",))
    with pytest.raises(StateUnreadable, match="What is to be watched cannot be understood"):
        watch_files.read_asked(host.folder)


def test_where_nothing_is_watched_nothing_is_approved(host: t.Any) -> None:
    switched(host)
    assert host.ask("approve", host.run("run-lee")) == {"changed": False, "watch": None}


@pytest.mark.parametrize("ends_it", ["revert", "confirm", "fire", "unwatch"])
def test_whatever_settles_the_switch_ends_the_watch(host: t.Any, ends_it: str) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    if ends_it == "fire":
        host.now += 31
        host.fire()
    elif ends_it == "confirm":
        host.confirm(t.cast(intents.Intent, host.intent()).token, run)
    else:
        host.ask(ends_it, run, watch=watch)
    assert "was ended before its time" in ended()


def test_what_another_host_refuses_leaves_the_users_of_this_one_at_once(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    ended = started(host)
    time.sleep(0.1)
    assert host.ask("unwatch", run, watch=watch, refused="Refused by app1; its message says why.")["changed"]
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)
    assert "was ended before its time" in ended()
    assert (
        "was refused (Refused by app1" in [one for one in journal.read(host.folder) if one.step == "revert"][-1].detail
    )
    # The run that withdraws the release finds nothing more to do.
    assert not host.ask("revert", run)["changed"]
    assert not host.ask("unwatch", run, watch=watch, refused="again")["changed"]


def test_what_cannot_be_taken_back_yet_is_left_to_who_withdraws(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    host.blue.status = 503
    assert not host.ask("unwatch", run, watch=watch, refused="x")["changed"]
    assert host.traffic() == ("green", "green")
    assert host.intent() is not None


def test_another_run_does_not_end_a_watch(host: t.Any) -> None:
    run = switched(host)
    asks(host, run, seconds=60)
    host.ask("unwatch", host.run("run-late"), watch="of the late one")
    assert (Path(host.folder) / "watch.json").exists()


def test_a_run_that_died_is_not_waited_for(host: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_LEFT", 0.0)
    run = switched(host)
    asks(host, run, seconds=60)
    ended = started(host)
    host.now += 1
    assert "nobody needs this any more" in ended()
    assert host.traffic() == ("green", "green")
    assert host.intent() is not None  # whose time goes on


def test_who_rolls_back_does_not_wait_for_a_watch(host: t.Any) -> None:
    run = switched(host)
    alone(host, run, seconds=60)
    ended = started(host)
    time.sleep(0.1)
    back, view = host.begins(host.run("run-lee", operation="roll_back", actor="lee", slot=None, previous=None))
    assert back.epoch == run.epoch + 1
    assert host.traffic() == ("blue", "blue")
    assert "lee (AWX job 42) rolled back" in view["unsettled"]["detail"]
    assert (view["unsettled"]["step"], view["unsettled"]["actor"]) == ("revert", "guard")
    assert "was ended before its time" in ended()
    assert (host.state().history[-1]["outcome"], host.state().history[-1]["release"]) == ("refused", "1.1.0-bbb")


@pytest.mark.parametrize("moved", [True, False])
def test_who_rolls_back_does_not_wait_for_what_follows_a_switch(host: t.Any, moved: bool) -> None:
    run, _view = host.begins()
    host.arms(run)
    if moved:  # it drains, or moves workers: nothing is watched yet
        host.ask("switch", run)
    lee = host.run("run-lee", operation="roll_back", actor="lee", slot=None, previous=None)
    assert host.ask("begin", lee, dry=True)["changed"]
    back, view = host.begins(lee)
    assert back.epoch == run.epoch + 1
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)
    assert (view["unsettled"]["step"], view["unsettled"]["actor"]) == ("revert", "guard")
    assert "lee (AWX job 42) rolled back" in view["unsettled"]["detail"]
    with pytest.raises(LeaseLost, match="roll_back by lee"):
        host.ask("drain", run, slot="blue", deadline=1)


def test_a_first_rollout_has_nothing_to_go_back_to_and_goes_on(host: t.Any) -> None:
    """Else its release would stay live, with no guard, no watch and no record."""
    Path(host.folder, "state.json").unlink()
    host.route(None)
    run, _view = host.begins(host.run(previous=None))
    host.arms(run)
    host.ask("switch", run)
    with pytest.raises(LeaseHeld, match="first rollout, so there is no release to go back to"):
        host.begins(host.run("run-lee", operation="roll_back", slot=None, previous=None))
    assert (host.traffic()[1], host.intent().run.id) == ("green", "run-kim")
    assert host.ask("drain", run, slot="blue", deadline=0)["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_who_rolls_back_before_a_switch_ends_the_deploy_that_waits_and_no_more(host: t.Any, check: bool) -> None:
    run, _view = host.begins()
    watch = asks(host, run, phase="before_switch", seconds=60)["watch"]
    ended = started(host)
    until(lambda: looks(host, run, watch)["progress"] is not None)
    with pytest.raises(RolloutError, match="it has moved no users, so nothing goes back") as told:
        host.ask("begin", host.run("run-lee", operation="roll_back", actor="lee"), dry=check)
    assert "to go back from 1.0.0-aaa, too, run ansible-playbook vitalops.rollout.roll_back" in str(told.value)
    assert host.traffic() == ("blue", "blue")
    if check:
        assert looks(host, run, watch)["ended"] is None
        return
    with pytest.raises(LeaseLost, match="has ended"):
        looks(host, run, watch)
    assert "ended before its time" in ended()
    ends = [one.detail for one in journal.read(host.folder) if one.step == "end"]
    assert ends[-1] == "lee (AWX job 42) rolled back before its switch"
    with pytest.raises(LeaseLost, match=r"; lee \(AWX job 42\) rolled back before its switch"):
        host.arms(run)
    assert host.ask("revert", run)["changed"] is False  # so that what it has staged is stopped
    assert host.ask("drain", run, slot="green", deadline=0, clearing_up=True)["drained"]
    host.begins(host.run("run-lee", operation="roll_back"))  # who asks once more means the live release
    with pytest.raises(LeaseLost):
        host.ask("revert", run)


def test_a_deploy_that_takes_itself_back_is_not_ended_before_it_has_cleared_up(host: t.Any) -> None:
    """Its record and its clean-up need the lease, and who rolls back then would go one release too far."""
    run = switched(host)
    host.ask("revert", run)
    with pytest.raises(LeaseHeld) as held:
        host.begins(host.run("run-lee", operation="roll_back"))
    assert "users are where they were confirmed; wait until it ends" in str(held.value)
    assert host.ask("drain", run, slot="green", deadline=0, clearing_up=True)["drained"]
    assert host.ask("end", run, release=R2, reason="it was bad")["changed"]


def test_a_deploy_that_was_ended_clears_up_and_does_nothing_else(host: t.Any) -> None:
    run, _view = host.begins()
    with pytest.raises(RolloutError, match="ends; it has moved no users"):
        host.begins(host.run("run-lee", operation="roll_back"))
    with pytest.raises(LeaseLost):
        host.ask("drain", run, slot="green", deadline=0)
    assert host.ask("drain", run, slot="green", deadline=0, clearing_up=True)["drained"]


def test_a_deploy_that_works_on_when_its_lease_is_over_is_ended_too(host: t.Any) -> None:
    host.begins()
    host.now += 3600
    back = host.run("run-lee", operation="roll_back")
    with pytest.raises(RolloutError, match="it has moved no users"):
        host.begins(back, at_work={"run-kim": "at work on app1"})
    run, view = host.begins(back)
    assert (run.epoch, view["action"]) == (2, "nothing")


def test_a_dead_deploy_whose_lease_is_over_ends_nothing(host: t.Any) -> None:
    host.begins()
    host.now += 3600
    assert host.begins(host.run("run-lee", operation="roll_back"))[0].epoch == 2


def test_who_breaks_a_lease_ends_no_deploy_besides(host: t.Any) -> None:
    host.begins()
    back = host.run("run-lee", operation="roll_back")
    assert host.begins(back, break_lease="run-kim", reason="it hangs")[0].epoch == 2


def test_a_deploy_that_has_just_confirmed_is_rolled_back(host: t.Any) -> None:
    """Between its record and the end of its lease."""
    run = switched(host)
    host.ask("confirm", run, release=R2, token=host.intent().token)
    lease = leases.read(host.folder)
    durable.write_json(f"{host.folder}/lease.json", {**lease.to_dict(), "released": False})
    back, _view = host.begins(host.run("run-lee", operation="roll_back"))
    assert back.epoch == 2
    assert [one.step for one in journal.read(host.folder)][-3:] == ["confirm", "begin", "begin"]


def test_a_deploy_is_told_who_is_at_work(host: t.Any) -> None:
    host.begins()
    with pytest.raises(LeaseHeld) as held:
        host.begins(host.run("run-lee"))
    assert "moved no users" not in str(held.value)


def test_a_roll_back_is_not_cut_short_by_another_one(host: t.Any) -> None:
    run = host.begins(host.run(operation="roll_back"))[0]
    host.arms(run)
    host.ask("switch", run)
    with pytest.raises(LeaseHeld) as held:
        host.begins(host.run("run-lee", operation="roll_back"))
    assert "moved no users" not in str(held.value)
    assert host.traffic() == ("green", "green")


def test_who_deploys_is_told_how_to_end_a_bake(host: t.Any) -> None:
    run = switched(host)
    alone(host, run, seconds=60)
    with pytest.raises(LeaseHeld, match="end its bake first"):
        host.begins(host.run("run-lee"))


def test_a_gate_that_only_measures_and_cannot_look_stops_nothing(host: t.Any) -> None:
    run = switched(host)
    cache = {"name": "cache", "type": "redis", "interval": "20 ms", "errors_at_most": 0}
    with pytest.raises(BadInput, match="rollout_redis"):
        asks(host, run, gates=[cache])
    watch = asks(host, run, phase="before_switch", seconds=0, gates=[{**cache, "enforce": False}])["watch"]
    ended = started(host)
    until(lambda: (progress(host) or {}).get("action") == "go")
    [gate] = progress(host)["gates"]
    assert (gate["verdict"], gate["words"]) == ("error", ["The gate cache does not know where its redis is."])
    host.ask("unwatch", run, watch=watch)
    ended()


def test_a_watch_that_cannot_confirm_takes_back(host: t.Any) -> None:
    run = switched(host)
    alone(host, run, verify=host.question("slot == 'nobody'", consecutive=1))
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 600)
    assert "traffic is back on blue" in ended()
    assert host.traffic() == ("blue", "blue")


def test_nothing_is_left_alone_without_a_guard(host: t.Any) -> None:
    run, _view = host.begins()
    with pytest.raises(BadInput, match="cannot be left alone"):
        alone(host, run)


def test_passwords_go_only_where_a_gate_needs_them(host: t.Any) -> None:
    run = switched(host)
    asks(host, run, connections={"postgres": {"host": "data1", "password": "hidden-value"}})
    assert "hidden-value" not in (Path(host.folder) / "watch.json").read_text()


def test_what_the_live_release_answered_before_it_was_confirmed_is_another_one(host: t.Any) -> None:
    run = switched(host)
    host.peer.rows[2] = host.peer.backend("blue", 0, 5000, 4000)
    host.peer.times = {"blue:50": 9000}
    tally.remember(host.peer.api, "shop", host.folder, "blue", "1.0.0-aaa")
    host.peer.rows[2] = host.peer.backend("blue", 0, 5100, 4000)
    host.peer.times = {"blue:50": 9100, "green:50": 0}
    watch = asks(host, run, gates=[{**ERRORS, "at_most": {}, "worse_than_live_by": {"error_share": "1 %"}}])["watch"]
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 400, 2)
    until(lambda: looks(host, run, watch)["progress"]["action"] == "go")
    assert "live 0 %" in " ".join(looks(host, run, watch)["progress"]["gates"][0]["words"])
    host.ask("unwatch", run, watch=watch)
    ended()


def test_errors_between_the_switch_and_the_watch_count(host: t.Any) -> None:
    users_get(host, 9000, 9000)  # of an older release in this slot
    run = switched(host)
    users_get(host, 9400, 9100)
    watch = asks(host, run)["watch"]
    ended = started(host)
    until(lambda: looks(host, run, watch)["ended"] is not None)
    assert "error_share 20 %" in " ".join(looks(host, run, watch)["progress"]["gates"][0]["words"])
    ended()


def early(**change: t.Any) -> dict[str, t.Any]:
    told = {"phase": "bake", "gates": [ERRORS], "seconds": 60, "most": 60, "public_url": "http://127.0.0.1/"}
    return {**told, **change}


def test_a_bad_release_does_not_wait_for_its_bake_while_the_slot_before_drains(host: t.Any) -> None:
    run = switched(host)
    host.peer.rows[2] = host.peer.backend("blue", 1)  # a request that lasts
    users_get(host, 300 + 300, 100)
    began = time.monotonic()
    host.timer.runs = lambda: started(host)
    with pytest.raises(TakenBack, match=r"refuse it \(after the switch, before the bake\)") as refused:
        host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())
    assert time.monotonic() - began < 5
    assert "): errors: failures " in str(refused.value)
    assert "\n  errors: fail (401 answers, error_share 24.4 %, at most 1 %)" in str(refused.value)
    assert host.ask("info")["view"]["pointer"]["file"] == "blue:none:0"
    assert host.intent() is None


@pytest.mark.parametrize("told", [early(), early(gates=[]), early(seconds=0.01, most=0.01), None])
def test_a_drain_ends_as_ever_where_users_see_nothing_bad(host: t.Any, told: t.Any) -> None:
    users_get(host, 900, 300)  # its errors are of an older release
    run, ends = switched(host), []
    host.peer.rows[2] = host.peer.backend("blue", 1)
    host.timer.runs = lambda: ends.append(started(host))
    drained = host.ask("drain", run, slot="blue", deadline=0.5, required=False, early=told)
    assert (drained["drained"], drained["in_flight"]) == (False, 1)
    assert len(ends) == bool(told and told["gates"])
    assert host.intent() is not None
    host.ask("revert", run)
    for ended in ends:
        assert "was ended before its time" in ended()


def before_the_bake(host: t.Any) -> tuple[t.Any, t.Callable[[], str]]:
    """The slot before has drained, and the run is at work elsewhere."""
    run, ends = switched(host), []
    host.timer.runs = lambda: ends.append(started(host))
    assert host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())["drained"]
    host.timer.runs = lambda: None
    until(lambda: progress(host) is not None)
    return run, ends[0]


def progress(host: t.Any) -> t.Any:
    return (watch_files.read_seen(host.folder) or {}).get("progress")


def test_a_release_that_gets_bad_while_workers_move_is_taken_back_at_once(
    host: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_LEFT", 0.0)  # nobody looks on meanwhile, and that is no sign of a death
    run, ended = before_the_bake(host)
    host.now += 1
    time.sleep(0.5)
    assert host.traffic() == ("green", "green")
    users_get(host, 600, 100)
    assert "traffic is back on blue" in ended()
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)
    assert host.journal(run.id)[-1] == ("watch", "end", "failed")
    for _again in range(2):
        with pytest.raises(TakenBack, match=r"refuse it \(after the switch, before the bake\): errors: failures 1"):
            asks(host, run)
    with pytest.raises(TakenBack):
        alone(host, run)
    with pytest.raises(TakenBack):
        host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())


def test_the_bake_takes_the_place_of_the_watch_before_it(host: t.Any) -> None:
    run, ended = before_the_bake(host)
    [gate] = progress(host)["gates"]
    assert (progress(host)["action"], progress(host)["seconds"], gate["verdict"]) == ("hold", 0.0, "no_data")
    json.loads((Path(host.folder) / "watched.json").read_text(), parse_constant=pytest.fail)
    [shown] = [line for line in words.lines(host.ask("info", run)["view"]) if line.startswith("  watch ")]
    assert re.match(r"  watch       before its bake, [\d.]+ s: errors no_data", shown)
    assert host.ask("approve", host.run("run-lee", operation="confirm"))["watch"] is None  # nothing waits yet
    watch = asks(host, run)["watch"]
    assert "was ended before its time" in ended()
    bake = started(host)
    until(lambda: looks(host, run, watch)["progress"] is not None)
    users_get(host, 600, 2)
    until(lambda: looks(host, run, watch)["progress"]["action"] == "go")
    host.ask("unwatch", run, watch=watch)
    assert "every gate has passed" in bake()


def test_a_watch_before_a_bake_that_takes_users_back_is_not_cut_off(host: t.Any) -> None:
    run, ended = before_the_bake(host)
    host.blue.status = 503
    users_get(host, 600, 100)
    until(lambda: progress(host)["action"] == "revert")
    threading.Timer(0.5, lambda: setattr(host.blue, "status", 200)).start()
    with pytest.raises(TakenBack, match="before the bake"):
        asks(host, run)
    assert "traffic is back on blue" in ended()


def test_a_dead_watch_before_a_bake_keeps_nobody_waiting(host: t.Any) -> None:
    run = switched(host)
    host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())
    host.now += watch_files.STALE
    assert asks(host, run)["watch"]


def test_a_watch_before_a_bake_ends_with_the_guard_or_its_run(host: t.Any) -> None:
    _run, ended = before_the_bake(host)
    again = host.guard()
    intent = again.intent()
    intents.write(host.folder, intent._replace(run=intent.run._replace(id="run-lee")))
    assert "nobody needs this any more" in ended()


@pytest.mark.parametrize("change", [{"status": "inconsistent", "says": "nothing else answers"}, {}])
def test_a_watch_before_a_bake_ends_with_the_promise_of_its_guard(host: t.Any, change: dict[str, str]) -> None:
    _run, ended = before_the_bake(host)
    host.now += 3600
    if change:
        intents.write(host.folder, host.intent()._replace(**change))
    else:
        host.guard().disarm(host.intent())
    assert "ended before its time" in ended() or "nobody needs this any more" in ended()


def test_users_that_do_not_come_before_a_bake_are_no_harm(host: t.Any) -> None:
    run, ends = switched(host), []
    host.timer.runs = lambda: ends.append(started(host))
    patient = early(gates=[{**ERRORS, "no_data_at_most": 1}])
    host.ask("drain", run, slot="blue", deadline=9, required=False, early=patient)
    until(lambda: (progress(host) or {}).get("gates", [{}])[0].get("looks", {}).get("no_data", 0) > 5)
    assert host.traffic() == ("green", "green")
    host.ask("revert", run)
    ends[0]()


def test_a_watch_that_has_taken_users_back_is_believed_before_its_last_line(
    host: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It frees the lock before it says that it has ended."""
    run, ended = before_the_bake(host)
    noted = watcher._note

    def slow(*told: t.Any) -> None:
        if told[2] == "end":
            time.sleep(0.3)
        noted(*told)

    monkeypatch.setattr(watcher, "_note", slow)
    users_get(host, 600, 100)
    until(lambda: host.intent() is None)
    with pytest.raises(TakenBack):
        asks(host, run)
    ended()


def test_a_watch_that_never_began_keeps_nobody_waiting(host: t.Any) -> None:
    run = switched(host)
    host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())
    began = time.monotonic()
    assert asks(host, run)["watch"]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("lacks", ["run", "says", "progress"])
def test_what_an_older_program_has_told_is_no_obstacle(host: t.Any, lacks: str) -> None:
    run = switched(host)
    asks(host, run)
    path = Path(host.folder, "watched.json")
    told = json.loads(path.read_text())
    told.pop(lacks)
    path.write_text(json.dumps(told))
    assert asks(host, run)["watch"]


def test_a_run_that_ends_leaves_no_watch_behind(host: t.Any) -> None:
    run, _view = host.begins()
    host.ask("switch", run, guarded=False)
    host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())
    host.ask("revert", run)
    host.ask("end", run)
    assert watch_files.read_asked(host.folder) is None


def test_without_a_guard_the_run_takes_back_what_is_refused_before_the_bake(host: t.Any) -> None:
    run, _view = host.begins()
    host.ask("switch", run, guarded=False)
    ends: list[t.Any] = []
    host.timer.runs = lambda: ends.append(started(host))
    host.ask("drain", run, slot="blue", deadline=9, required=False, early=early())
    until(lambda: progress(host) is not None)
    host.now += 61  # work moves, and the lease lasts for two minutes
    time.sleep(0.5)
    users_get(host, 600, 100)
    assert "(phase bake: " in ends[0]() or "phase bake: errors" in ends[0]()
    assert host.traffic() == ("green", "green")
    with pytest.raises(RolloutError, match="before the bake") as told:
        asks(host, run)
    assert not isinstance(told.value, TakenBack)


def test_only_the_run_that_has_switched_knows_what_was_before(host: t.Any) -> None:
    run = switched(host)
    asks(host, run)
    asked = watch_files.read_asked(host.folder)
    assert asked["since"]["responses"] == 300
    instances = watch_files.place("shop", asked).instances
    assert instances
    assert instances == {one.name: one.counted for one in host.peer.api.servers("shop") if one.slot == run.slot}
    assert tally.at_the_switch(host.peer.api, host.folder, run._replace(epoch=9)) is None
    (Path(host.folder) / "switched.json").write_text("{")
    [warning] = asks(host, run)["warnings"]
    assert "switched.json" in warning
    asked = watch_files.read_asked(host.folder)
    assert (asked["since"], asked["instances"]) == (None, None)


def test_a_haproxy_that_has_begun_since_counts_from_nothing(host: t.Any) -> None:
    run = switched(host)
    tally.remember(host.peer.api, "shop", host.folder, "blue", "1.0.0-aaa")
    host.peer.pid = 8
    asks(host, run)
    asked = watch_files.read_asked(host.folder)
    assert [asked[key]["responses"] for key in ("before", "since")] == [0, 0]
    (Path(host.folder) / "tally.json").write_text(
        (Path(host.folder) / "tally.json").read_text().replace('"process"', '"of an older version"')
    )
    asks(host, run)
    assert watch_files.read_asked(host.folder)["before"]["responses"] == 300


def test_a_watch_that_died_is_no_pass(host: t.Any) -> None:
    run = switched(host)
    watch = asks(host, run)["watch"]
    assert looks(host, run, watch)["ended"] is None
    host.now += 16
    with pytest.raises(RolloutError, match="The watch over the release has died"):
        looks(host, run, watch)


def test_of_another_watch_nothing_is_told(host: t.Any) -> None:
    run = switched(host)
    asks(host, run)
    with pytest.raises(RolloutError, match="Another run watches on this host"):
        looks(host, run, "another")


def test_gates_that_cannot_be_used_are_refused_before_anything_is_watched(host: t.Any) -> None:
    run = switched(host)
    with pytest.raises(BadInput, match="did you mean error_share"):
        asks(host, run, gates=[{**ERRORS, "at_most": {"errorshare": "1 %"}}])
    assert host.timer.watches == 0


def test_a_run_that_lost_its_lease_asks_in_vain(host: t.Any) -> None:
    run = switched(host)
    with pytest.raises(LeaseLost):
        asks(host, run._replace(id="run-other"))


def test_an_application_host_that_keeps_no_lease_watches_too(host: t.Any) -> None:
    told = asks(host, host.run(epoch=7), phase="before_switch", application_host=True)
    assert told["watch"]
    with pytest.raises(LeaseLost):
        asks(host, host.run("run-older", epoch=6), phase="before_switch", application_host=True)


def test_check_mode_watches_nothing(host: t.Any) -> None:
    assert host.ask("watch", dry=True, phase="bake", gates=[ERRORS], seconds=1, most=1, public_url="http://x/") == {
        "changed": False
    }
    assert host.timer.watches == 0


def test_what_is_watched_is_nobody_elses_to_read(host: t.Any) -> None:
    run = switched(host)
    asks(host, run)
    tally.remember(host.peer.api, "shop", host.folder, "blue", "1.0.0-aaa")
    for name in ("watch.json", "watched.json", "tally.json", "switched.json"):
        assert (Path(host.folder) / name).stat().st_mode & 0o777 == 0o600


def test_a_full_disk_does_not_end_a_watch(host: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: t.Any, **_more: t.Any) -> None:
        raise OSError(28, "No space left on device")

    run = switched(host)
    watch = asks(host, run)["watch"]
    monkeypatch.setattr(watch_files.durable, "write_volatile", full)
    monkeypatch.setattr(watcher.journal, "append", full)
    ended = started(host)
    time.sleep(0.1)
    users_get(host, 600)
    time.sleep(0.3)
    host.ask("unwatch", run, watch=watch)
    assert "every gate has passed" in ended()


def test_what_was_found_is_said_in_one_sentence() -> None:
    gates = [
        {"name": "errors", "verdict": "fail", "words": ["512 answers", "error_share 3.1 %, at most 1 %"]},
        {"name": "p95", "verdict": "pass", "words": ["512 answers"]},
    ]
    progress = Progress("revert", ["errors: failures 1, at most 0"], 12.0, 60.0, gates)
    assert watcher.says("bake", progress) == (
        "phase bake: errors: failures 1, at most 0 (errors 512 answers, error_share 3.1 %, at most 1 %)"
    )
    assert json.dumps(progress._asdict())


def damaged(host: t.Any, name: str, damage: t.Any, inside: t.Sequence[str] = ()) -> None:
    """Writes *damage* in place of the file *name*, or of the part of it that the keys *inside* lead to."""
    path = Path(host.folder) / name
    content = json.loads(path.read_text()) if inside else damage
    part = content
    for key in inside[:-1]:
        part = part[key]
    if inside:
        part[inside[-1]] = damage
    path.write_text(damage if isinstance(damage, str) and not inside else json.dumps(content))


GARBAGE: list[t.Any] = ["", "{", "\x00" * 64, [], 7, {}, {"schema": 1}, {"schema": True}, {"schema": 99}]
WATCHED: list[tuple[t.Any, tuple[str, ...]]] = [
    *((one, ()) for one in GARBAGE),
    (7, ("id",)),
    ("lunch", ("phase",)),
    ("soon", ("boottime",)),
    ("perhaps", ("ended",)),
    (True, ("approved",)),
    ([], ("progress",)),
    ("x", ("progress", "elapsed")),
    ({}, ("progress", "gates")),
    ([{"name": "errors"}], ("progress", "gates")),
    ([7], ("progress", "reasons")),
]
ASKED: list[tuple[t.Any, tuple[str, ...]]] = [
    *((one, ()) for one in GARBAGE),
    (None, ("run",)),
    ({"id": "x"}, ("run",)),
    ("lunch", ("phase",)),
    ("ever", ("seconds",)),
    ({}, ("gates",)),
    ([7], ("gates",)),
    (None, ("connections",)),
    ({"redis": 7}, ("connections",)),
    ([], ("before",)),
    ({"responses": 1}, ("before",)),
    (True, ("alone",)),
    ({"release": {}}, ("alone",)),
]


def bakes(host: t.Any) -> tuple[t.Any, str]:
    """A run that attends a bake, with all files of a watch."""
    run = switched(host)
    watch = asks(host, run, seconds=60)["watch"]
    words = watch_files.told(watch_files.read_asked(host.folder) or {}, host.clock)
    gate = {"name": "errors", "type": "traffic", "enforce": True, "verdict": "pass", "words": [], "answers": []}
    watch_files.write_seen(host.folder, words, Progress("go", ["why"], 1.0, 60.0, [gate]))
    return run, watch


def test_a_damaged_word_of_a_watch_that_has_ended_stops_no_confirmation(host: t.Any) -> None:
    """A power cut may have left an empty file: nobody has made it to outlive one."""
    run, watch = bakes(host)
    host.ask("unwatch", run, watch=watch)
    damaged(host, "watched.json", "")
    done = host.ask("confirm", run, release=R2, token=t.cast(intents.Intent, host.intent()).token)
    assert done["state"]["live"] == "green"
    assert "approved_by" not in host.state().history[-1]


@pytest.mark.parametrize(("damage", "inside"), WATCHED)
def test_what_a_watch_has_told_is_believed_only_in_its_shape(host: t.Any, damage: t.Any, inside: tuple[str]) -> None:
    run, watch = bakes(host)
    assert looks(host, run, watch)["progress"]["action"] == "go"
    damaged(host, "watched.json", damage, inside)
    with pytest.raises(StateUnreadable) as refused:
        looks(host, run, watch)
    assert str(refused.value.where).endswith("watched.json")
    told = host.ask("info", run)["view"]
    assert (told["watch"], "watched.json" in told["problem"], told["state"]["live"]) == (None, True, "blue")
    assert [line for line in words.lines(told) if line.startswith("  problem ")]
    assert asks(host, run, seconds=60)["watch"] != watch  # the next watch writes it anew
    assert looks(host, run, watch_files.read_asked(host.folder)["id"])["ended"] is None
    assert host.ask("revert", run)["changed"] is True


@pytest.mark.parametrize(("damage", "inside"), ASKED)
def test_nothing_is_watched_confirmed_or_lost_by_a_damaged_watch(
    host: t.Any, damage: t.Any, inside: tuple[str]
) -> None:
    run, watch = bakes(host)
    damaged(host, "watch.json", damage, inside)
    for refused in (
        lambda: watcher.watch(host.guard()),
        lambda: host.ask("unwatch", run, watch=watch),
        lambda: host.ask("approve", run),
        lambda: host.ask("approved", run, watch=watch),
        lambda: host.begins(host.run("run-lee", operation="roll_back", slot=None, previous=None)),
    ):
        with pytest.raises(StateUnreadable) as error:
            refused()
        assert str(error.value.where).endswith("watch.json")
        assert error.value.next_step
    told = host.ask("info", run)["view"]
    assert (told["watch"], "watch.json" in told["problem"], told["action"]) == (None, True, "revert")
    host.now += watch_files.STALE
    assert asks(host, run, seconds=60)["watch"] != watch  # the next watch writes it anew
    damaged(host, "watch.json", damage, inside)
    host.now += 31
    assert "traffic is back on blue" in host.fire()
    assert not (Path(host.folder) / "watch.json").exists()


TALLY: list[tuple[t.Any, tuple[str, ...]]] = [
    *((one, ()) for one in GARBAGE if one != {"schema": 1}),
    ([], ("tally",)),
    ({}, ("tally",)),
    ("many", ("tally", "responses")),
    (-1, ("tally", "responses_5xx")),
    (None, ("tally", "times")),
    ({"x": 1}, ("tally", "times")),
    ({"50": "x"}, ("tally", "times")),
]


@pytest.mark.parametrize(("damage", "inside"), TALLY)
def test_a_tally_that_nobody_can_read_stops_nobody_and_is_told(host: t.Any, damage: t.Any, inside: tuple[str]) -> None:
    run = switched(host)
    host.peer.times = {"blue:50": 9000}
    tally.remember(host.peer.api, "shop", host.folder, "blue", "1.0.0-aaa")
    assert "warnings" not in asks(host, run)
    assert watch_files.read_asked(host.folder)["before"]["times"] == {"50": 9000}
    damaged(host, "tally.json", damage, inside)
    [warning] = asks(host, run)["warnings"]
    assert "tally.json" in warning
    assert watch_files.read_asked(host.folder)["before"] is None


def test_a_tally_of_another_release_is_none_of_this_one(host: t.Any) -> None:
    run = switched(host)
    tally.remember(host.peer.api, "shop", host.folder, "green", "1.1.0-bbb")
    assert "warnings" not in asks(host, run)
    assert watch_files.read_asked(host.folder)["before"] is None
