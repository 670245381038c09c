# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plan for all load balancers: agreeing, mixed, new and resumed fleets."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.fleet_plan import FilterModule
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "a"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "a"}
R3 = {"id": "1.2.0-ccc", "version": "1.2.0", "digest": "sha256:3", "artefact": "a"}
EMPTY = states.State("shop", "staging")


def confirmed(
    state: states.State, slot: str, release: dict[str, str], day: int, by: str = "deploy", epoch: int | None = None
) -> states.State:
    """The state after a confirmation; without *epoch*, that is the day's number, as clocks that are right would say."""
    at, number = f"2026-01-0{day}T00:00:00Z", day if epoch is None else epoch
    return states.confirmed(state, operation=by, slot=slot, release=release, by="kim", at=at, epoch=number)[0]


FIRST = confirmed(EMPTY, "blue", R1, 1)
SECOND = confirmed(FIRST, "green", R2, 2)


def begun(
    state: states.State | None, epoch: int = 7, live: str | None = "as recorded", **view: t.Any
) -> dict[str, t.Any]:
    slot = (state.live if state else None) if live == "as recorded" else live
    told = {
        "application": "shop",
        "environment": "staging",
        "state": state.to_dict() if state else None,
        "pointer": {"file": f"{slot or 'none'}:none:0", "haproxy": None},
        "lease": {"epoch": epoch},
        "unfinished": None,
        "intent": None,
        "action": "nothing",
        "says": "",
        "resume": False,
        **view,
    }
    run = {"id": "run-1", "epoch": epoch, "operation": "deploy", "actor": "kim", "source": "command line"}
    return {"view": told, "run": {**run, "release": None, "slot": None, "previous": None}}


def planned(operation: str = "deploy", release: t.Any = None, **hosts: t.Any) -> dict[str, t.Any]:
    hostvars = {host: {"__rollout_begun": told} for host, told in hosts.items()}
    told = FilterModule().filters()["fleet_plan"](hostvars, list(hosts), operation, "shop", "staging", release)
    return t.cast("dict[str, t.Any]", told)


def left_over(slot: str = "green", operation: str = "deploy") -> dict[str, t.Any]:
    """What the view of a host says of a switch that was just taken back."""
    return {"action": "revert", "says": "Found it.", "unfinished": {"epoch": 6, "slot": slot, "operation": operation}}


def resumed(release: str = "1.1.0-bbb", slot: str = "green") -> dict[str, t.Any]:
    intent = {"target": slot, "run": {"release": release}}
    return {"live": slot, "resume": True, "action": "resume", "intent": intent, "says": "Found it."}


def test_a_fleet_that_agrees_goes_to_the_idle_slot_with_the_highest_epoch() -> None:
    told = planned(release=R2, lb1=begun(FIRST, 7), lb2=begun(FIRST, 9))
    assert (told["plan"]["slot"], told["plan"]["previous_slot"], told["behind"]) == ("green", "blue", [])
    assert told["run"] == {
        "id": "run-1",
        "epoch": 9,
        "operation": "deploy",
        "actor": "kim",
        "source": "command line",
        "release": "1.1.0-bbb",
        "slot": "green",
        "previous": "blue",
    }


def test_a_new_fleet_starts_in_blue() -> None:
    told = planned(release=R1, lb1=begun(None), lb2=begun(None))
    assert (told["run"]["slot"], told["run"]["previous"], told["resume"]) == ("blue", None, False)
    assert told["state"]["live"] is None


def test_in_a_mixed_fleet_the_newest_confirmation_leads() -> None:
    told = planned(release=R3, lb1=begun(FIRST), lb2=begun(SECOND))
    assert (told["behind"], told["state"]["live"], told["plan"]["slot"]) == (["lb1"], "green", "blue")
    assert any("lb2 leads" in line for line in told["says"])
    assert told["says"][-1] == "lb1 is behind and has release 1.0.0-aaa live in slot blue: it goes to slot green first."


def test_who_follows_gets_the_epochs_of_the_newest_confirmation_whatever_the_clocks_say() -> None:
    ahead, newest = confirmed(EMPTY, "blue", R1, 9, epoch=3), confirmed(FIRST, "green", R2, 2, epoch=4)
    told = planned(release=R3, lb1=begun(ahead, 9), lb2=begun(newest, 5))
    assert (told["behind"], told["plan"]["slot"], told["run"]["epoch"]) == (["lb1"], "blue", 9)
    assert states.from_dict(told["state"], "what lb1 follows") == newest


def test_a_roll_back_does_not_send_users_to_what_they_shall_leave() -> None:
    told = planned("roll_back", lb1=begun(FIRST), lb2=begun(SECOND), lb3=begun(None))
    assert (told["behind"], told["plan"]["slot"], told["run"]["previous"]) == ([], "blue", "green")
    assert not any("goes to slot" in line for line in told["says"])


def test_a_roll_back_that_only_some_hosts_have_confirmed_is_followed_by_the_others() -> None:
    back = confirmed(SECOND, "blue", R1, 3, by="roll_back")
    told = planned("roll_back", lb1=begun(back), lb2=begun(SECOND))
    assert (told["plan"]["converge"], told["plan"]["slot"], told["behind"]) == (True, "blue", ["lb2"])
    assert told["says"][-1] == "lb2 is behind and has release 1.1.0-bbb live in slot green: it goes to slot blue first."


def test_before_the_idle_slot_is_retired_everybody_has_left_it() -> None:
    assert planned("retire", lb1=begun(SECOND), lb2=begun(FIRST))["behind"] == ["lb2"]


def test_a_new_load_balancer_follows_the_others() -> None:
    assert planned(release=R3, lb1=begun(SECOND), lb2=begun(None))["behind"] == ["lb2"]


def test_the_same_release_again_is_only_checked() -> None:
    told = planned(release=R2, lb1=begun(SECOND))
    assert (told["plan"]["converge"], told["run"]["previous"]) == (True, None)


def test_a_roll_back_goes_to_the_release_before() -> None:
    told = planned("roll_back", lb1=begun(SECOND), lb2=begun(SECOND))
    assert (told["run"]["slot"], told["run"]["release"], told["run"]["previous"]) == ("blue", "1.0.0-aaa", "green")


def test_a_roll_back_after_a_deploy_that_was_cut_off_keeps_the_confirmed_release() -> None:
    told = planned("roll_back", lb1=begun(FIRST, **left_over()), lb2=begun(FIRST))
    assert (told["run"]["slot"], told["run"]["previous"]) == ("blue", "green")
    assert told["says"][0] == "lb1: Found it."


def test_a_roll_back_after_a_roll_back_that_was_cut_off_still_goes_back() -> None:
    told = planned("roll_back", lb1=begun(SECOND, **left_over("blue", "roll_back")))
    assert (told["run"]["slot"], told["run"]["previous"]) == ("blue", "green")


def test_what_a_run_that_rolled_forward_left_has_users_where_they_were_before_it() -> None:
    """Green was kept, as blue was dead; the next deploy into blue died, and users are in green again."""
    told = planned(release=R3, lb1=begun(FIRST, live="green", **left_over("blue")))
    assert (told["plan"]["slot"], told["plan"]["previous_slot"]) == ("blue", "green")


def test_an_earlier_run_is_taken_up_where_users_have_its_release() -> None:
    told = planned(release=R2, lb1=begun(FIRST, **resumed()), lb2=begun(FIRST))
    assert (told["resume"], told["run"]["slot"], told["run"]["previous"]) == (True, "green", "blue")


def test_what_one_host_has_confirmed_already_is_followed_and_not_taken_up() -> None:
    told = planned(release=R2, lb1=begun(SECOND), lb2=begun(FIRST, **resumed()))
    assert (told["resume"], told["plan"]["converge"], told["behind"]) == (False, True, ["lb2"])


def test_another_release_cannot_take_up_an_earlier_run() -> None:
    with pytest.raises(AnsibleFilterError, match="cannot be taken up by this one") as refused:
        planned(release=R3, lb1=begun(FIRST, **resumed()))
    assert "rollout_recovery=revert" in str(refused.value)


def test_what_stands_in_the_way_is_told() -> None:
    with pytest.raises(AnsibleFilterError, match="nothing to roll back"):
        planned("roll_back", lb1=begun(None))
    with pytest.raises(AnsibleFilterError, match="needs a release"):
        planned(lb1=begun(FIRST))
    with pytest.raises(AnsibleFilterError, match="found none of lb2"):
        planned(release=R2, lb1=begun(FIRST), lb2={})
    with pytest.raises(AnsibleFilterError, match="do not belong together"):
        planned(release=R2, lb1=begun(FIRST), lb2=begun(FIRST, environment="production"))


def died(
    release: str = "1.2.0-ccc", step: str = "revert", operation: str = "deploy", epoch: int = 8
) -> dict[str, t.Any]:
    """What the view of a host says when the last run there did not end well, and nothing is left of it."""
    return {"unsettled": {"epoch": epoch, "operation": operation, "step": step, "release": release}}


@pytest.mark.parametrize("step", ["begin", "arm", "revert"])
def test_a_roll_back_after_a_deploy_that_died_leaves_users_where_they_are(step: str) -> None:
    told = planned("roll_back", lb1=begun(SECOND, **died(step=step)), lb2=begun(SECOND))
    assert (told["plan"]["slot"], told["plan"]["converge"], told["recovered"]) == ("green", True, True)
    assert "run roll_back again" in told["plan"]["steps"][1]


@pytest.mark.parametrize(
    "last",
    [
        died(step="end"),
        died(operation="roll_back"),
        died(release=R2["id"]),
        died(release=None),
        died(epoch=0),
    ],
    ids=["it was told", "a roll back", "it repaired what is live", "nobody knows of what", "confirmed since"],
)
def test_a_roll_back_after_anything_else_goes_to_the_release_before(last: dict[str, t.Any]) -> None:
    told = planned("roll_back", lb1=begun(SECOND, **last), lb2=begun(SECOND))
    assert (told["plan"]["slot"], told["plan"]["converge"]) == ("blue", False)


@pytest.mark.parametrize(("operation", "first"), [("deploy", True), ("roll_back", False)])
def test_work_is_where_users_are_when_only_an_unconfirmed_slot_answers(operation: str, first: bool) -> None:
    """Green was switched to and never confirmed; blue, which is on record, is dead, and this run goes there."""
    kept = begun(FIRST, live="green", action="keep", says="Only slot green answers, which was never confirmed.")
    told = planned(operation, R3 if operation == "deploy" else None, lb1=kept)
    assert (told["plan"]["slot"], told["plan"]["moves"]) == ("blue", True)
    assert (told["recovered"], told["work"]) == (first, {"slot": "green", "release": None})


def test_work_goes_back_to_the_release_on_record_after_a_switch_that_was_taken_back() -> None:
    told = planned("deploy", R3, lb1=begun(FIRST, action="revert", says="Found it."))
    assert (told["recovered"], told["work"]) == (True, {"slot": "blue", "release": R1["id"]})


# Traffic may be elsewhere than the states say: blue, which is on record, was dead when green was refused on one host.
KEPT_GREEN = {"live": "green"}
THIRD = confirmed(confirmed(EMPTY, "green", {**R1, "id": "0.9.0-zzz"}, 1), "blue", R1, 2)


@pytest.mark.parametrize("astray", ["lb1", "lb2"], ids=["the leader", "another one"])
@pytest.mark.parametrize(
    ("operation", "release", "slot"), [("deploy", R1, "blue"), ("deploy", R3, "green"), ("retire", None, "green")]
)
def test_a_host_that_sends_users_elsewhere_follows_the_others_first(
    operation: str, release: t.Any, slot: str, astray: str
) -> None:
    hosts = {host: begun(THIRD, **KEPT_GREEN if host == astray else {}) for host in ("lb1", "lb2")}
    told = planned(operation, release, **hosts)
    assert (told["behind"], told["state"]["live"], told["plan"]["slot"]) == ([astray], "blue", slot)
    assert told["work"] == {"slot": "blue", "release": R1["id"]}
    assert told["says"][-1] == f"{astray} has the traffic pointer green:none:0: it goes to slot blue first."


@pytest.mark.parametrize("astray", ["lb1", "lb2"], ids=["the leader", "another one"])
def test_a_host_that_has_lost_its_map_follows_the_others_first(astray: str) -> None:
    hosts = {host: begun(SECOND, **{"live": None} if host == astray else {}) for host in ("lb1", "lb2")}
    told = planned(release=R2, **hosts)
    assert (told["plan"]["converge"], told["behind"]) == (True, [astray])
    assert told["says"][-1] == f"{astray} has the traffic pointer none:none:0: it goes to slot green first."
    assert planned("roll_back", **hosts)["plan"]["slot"] == "blue"  # where it goes, all go


def test_a_share_that_nobody_takes_back_is_taken_back_first() -> None:
    told = planned(release=R3, lb1=begun(THIRD, pointer={"file": "blue:green:25", "haproxy": None}))
    assert (told["behind"], told["plan"]["slot"], told["plan"]["previous_slot"]) == (["lb1"], "green", "blue")


def test_where_nobody_is_in_the_live_slot_the_way_is_forward_for_all() -> None:
    told = planned(release=R3, lb1=begun(THIRD, live=None), lb2=begun(THIRD, **KEPT_GREEN))
    assert (told["behind"], told["plan"]["slot"], told["plan"]["previous_slot"]) == ([], "blue", "green")


def test_nobody_follows_into_the_slot_that_the_way_forward_goes_through() -> None:
    """Green is on record and dead, and blue was kept; lb2 missed that green was confirmed."""
    told = planned(release=R3, lb1=begun(SECOND, live="blue"), lb2=begun(FIRST), lb3=begun(None))
    assert (told["behind"], told["plan"]["slot"], told["plan"]["previous_slot"]) == ([], "green", "blue")


@pytest.mark.parametrize("hosts", [("lb1", "lb2"), ("lb2", "lb1")])
def test_a_first_release_that_was_kept_anywhere_is_not_replaced_under_its_users(hosts: tuple[str, str]) -> None:
    told = planned(release=R2, **dict(zip(hosts, (begun(None, live="blue"), begun(None)))))
    assert (told["behind"], told["plan"]["slot"], told["run"]["previous"]) == ([], "green", "blue")


def test_a_run_that_goes_on_sends_nobody_back_first() -> None:
    told = planned(release=R2, lb1=begun(FIRST, **resumed()), lb2=begun(FIRST), lb3=begun(FIRST, live=None))
    assert (told["resume"], told["behind"]) == (True, [])


@pytest.mark.parametrize("astray", ["lb1", "lb2"], ids=["the leader", "another one"])
@pytest.mark.parametrize(
    "last", [{}, {"unsettled": {"epoch": 8, "operation": "deploy", "step": "end", "release": "1.1"}}]
)
def test_a_roll_back_goes_to_the_live_slot_while_users_of_any_host_are_elsewhere(
    astray: str, last: dict[str, t.Any]
) -> None:
    hosts = {host: begun(THIRD, **KEPT_GREEN if host == astray else last) for host in ("lb1", "lb2")}
    told = planned("roll_back", **hosts)
    assert (told["run"]["slot"], told["run"]["release"], told["run"]["previous"]) == ("blue", R1["id"], "green")
    assert (told["behind"], told["work"]["slot"]) == ([], "blue")
    assert told["says"][-1] == f"{astray} has the traffic pointer green:none:0: it goes to slot blue, too."


@pytest.mark.parametrize(
    "pointers", list(itertools.product(["none:none:0", "blue:none:0", "green:none:0", "blue:green:25"], repeat=2))
)
@pytest.mark.parametrize("history", [THIRD, confirmed(THIRD, "blue", R1, 4, by="roll_back")], ids=["deployed", "back"])
@pytest.mark.parametrize("last", [{}, died()], ids=["settled", "died"])
def test_a_roll_back_replaces_nothing_under_users(
    pointers: tuple[str, str], history: states.State, last: dict[str, t.Any]
) -> None:
    hosts = [begun(history, pointer={"file": text, "haproxy": None}, **last) for text in pointers]
    told = planned("roll_back", lb1=hosts[0], lb2=hosts[1])
    elsewhere = any("green" in text for text in pointers)
    assert not (elsewhere and told["plan"]["slot"] == "green")
    if told["plan"]["converge"]:
        assert told["behind"] == [host for host, text in zip(("lb1", "lb2"), pointers) if text != "blue:none:0"]
