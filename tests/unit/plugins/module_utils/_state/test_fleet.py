# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several load balancers: the newest confirmation leads, and who has something else live follows first."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._state import fleet
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "a"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "a"}
R3 = {"id": "1.2.0-ccc", "version": "1.2.0", "digest": "sha256:3", "artefact": "a"}
EMPTY = states.State("shop", "staging")
DAY = "2026-01-0{}T00:00:00Z"


def confirmed(
    state: states.State, slot: str, release: dict[str, str], day: int, *, epoch: int | None = None, by: str = "deploy"
) -> states.State:
    """The state after a confirmation; without *epoch*, that is the day's number, as clocks that are right would say."""
    at, number = DAY.format(day), day if epoch is None else epoch
    return states.confirmed(state, operation=by, slot=slot, release=release, by="kim", at=at, epoch=number)[0]


def refused(state: states.State, day: int) -> states.State:
    return states.refused(
        state, operation="deploy", slot="green", release=R3, by="kim", at=DAY.format(day), reason="it failed"
    )[0]


FIRST = confirmed(EMPTY, "blue", R1, 1)
SECOND = confirmed(FIRST, "green", R2, 2)
TENTH = confirmed(FIRST, "green", R3, 1, epoch=10)


def without_epochs(state: states.State) -> states.State:
    """What a file says that was written before epochs were kept."""
    content = state.to_dict()
    for record in content["slots"].values():
        (record or {}).pop("epoch", None)
    return states.from_dict(content, "state.json")


def view(state: states.State | None, epoch: int | None = 7, **change: t.Any) -> dict[str, t.Any]:
    return {
        "application": "shop",
        "environment": "staging",
        "state": None if state is None else state.to_dict(),
        "pointer": {"file": None, "haproxy": None},
        "intent": None,
        "lease": None if epoch is None else {"id": "shop-2", "epoch": epoch, "remaining": 0.0},
        "unfinished": None,
        **change,
    }


def test_a_fleet_that_agrees_has_nobody_behind() -> None:
    found = fleet.agree({"lb2": view(SECOND), "lb1": view(SECOND)})
    assert (found.application, found.environment, found.epoch) == ("shop", "staging", 7)
    assert (found.leader, found.state, found.behind) == ("lb1", SECOND, ())
    assert found.says == ("lb1, lb2 agree: each has release 1.1.0-bbb live in slot green.",)


def test_one_load_balancer_is_a_fleet_too() -> None:
    found = fleet.agree({"lb1": view(FIRST)})
    assert (found.leader, found.behind) == ("lb1", ())
    assert found.says == ("lb1 has release 1.0.0-aaa live in slot blue.",)


def test_before_the_first_rollout_nobody_leads_and_nobody_is_behind() -> None:
    found = fleet.agree({"lb1": view(None, None), "lb2": view(EMPTY, None)})
    assert (found.epoch, found.leader, found.state, found.behind) == (0, None, None, ())
    assert found.says == ("No load balancer has a confirmed release: this is the first rollout.",)


@pytest.mark.parametrize("epochs", [(7, 7), (7, 9), (9, 7)])
def test_who_reverted_alone_follows_who_confirmed_the_new_release(epochs: tuple[int, int]) -> None:
    found = fleet.agree({"lb1": view(SECOND, epochs[0]), "lb2": view(FIRST, epochs[1])})
    assert (found.leader, found.state, found.behind, found.epoch) == ("lb1", SECOND, ("lb2",), max(epochs))
    assert found.says[0] == (
        "lb1 leads: it has release 1.1.0-bbb live in slot green, confirmed at 2026-01-02T00:00:00Z (epoch 2)."
    )
    assert found.lags == {"lb2": "is behind and has release 1.0.0-aaa live in slot blue"}


def test_a_refusal_is_no_confirmation_however_new_it_is() -> None:
    found = fleet.agree({"lb1": view(SECOND), "lb2": view(refused(FIRST, 9), 8)})
    assert (found.leader, found.behind) == ("lb1", ("lb2",))


def test_a_newer_roll_back_leads_over_the_newer_release() -> None:
    back = confirmed(SECOND, "blue", R1, 3, by="roll_back")
    found = fleet.agree({"lb1": view(SECOND), "lb2": view(back)})
    assert (found.leader, found.behind) == ("lb2", ("lb1",))


@pytest.mark.parametrize("empty", [None, EMPTY])
def test_a_new_load_balancer_follows_first(empty: states.State | None) -> None:
    found = fleet.agree({"lb1": view(None, None), "lb2": view(SECOND), "lb3": view(empty, None)})
    assert (found.leader, found.behind) == ("lb2", ("lb1", "lb3"))
    assert found.lags["lb1"] == "is new and has no state"


def test_the_same_release_in_the_other_slot_is_behind_too() -> None:
    other = confirmed(confirmed(EMPTY, "green", R1, 1), "blue", R2, 1)
    assert fleet.agree({"lb1": view(SECOND), "lb2": view(other)}).behind == ("lb2",)


def test_another_release_in_the_same_slot_is_behind_too() -> None:
    assert fleet.agree({"lb1": view(SECOND), "lb2": view(confirmed(FIRST, "green", R3, 3))}).behind == ("lb1",)


@pytest.mark.parametrize("by", ["deploy", "roll_back"])
def test_a_clock_that_runs_ahead_does_not_lead(by: str) -> None:
    """lb1 is days ahead and has missed the newest confirmation: users of lb2 must not be sent back from it."""
    ahead = confirmed(FIRST, "green", R2, 9, epoch=6)
    newest = confirmed(confirmed(FIRST, "green", R2, 1, epoch=6), "blue", R3, 2, epoch=7, by=by)
    found = fleet.agree({"lb1": view(ahead, 9), "lb2": view(newest, 7)})
    assert (found.leader, found.state, found.behind) == ("lb2", newest, ("lb1",))
    assert found.says[0].endswith("confirmed at 2026-01-02T00:00:00Z (epoch 7).")


def test_epochs_are_compared_as_numbers() -> None:
    found = fleet.agree({"lb1": view(confirmed(FIRST, "green", R2, 2, epoch=9)), "lb2": view(TENTH)})
    assert found.leader == "lb2"


def test_a_load_balancer_that_was_rebuilt_leads_with_what_it_confirmed_since() -> None:
    """Its own numbers start again, but it records that of the run, which is the highest of the fleet."""
    rebuilt = confirmed(EMPTY, "blue", R3, 1, epoch=8)
    found = fleet.agree({"lb1": view(rebuilt, 1), "lb2": view(confirmed(FIRST, "green", R2, 2, epoch=7), 7)})
    assert (found.leader, found.behind) == ("lb1", ("lb2",))


def test_with_the_same_epoch_the_later_one_leads_and_then_the_first_name() -> None:
    """One command that deploys and then rolls back is one run."""
    deployed, back = confirmed(FIRST, "green", R2, 2, epoch=7), confirmed(FIRST, "green", R3, 3, epoch=7)
    assert fleet.agree({"lb1": view(deployed, 8), "lb2": view(back, 7)}).leader == "lb2"
    same_second = confirmed(FIRST, "green", R3, 2, epoch=7)
    assert fleet.agree({"lb1": view(deployed, 7), "lb2": view(same_second, 8)}).leader == "lb1"


def test_files_without_epochs_lead_by_their_clock_but_never_before_one_with_an_epoch() -> None:
    older, newer = without_epochs(FIRST), without_epochs(SECOND)
    assert fleet.agree({"lb1": view(older), "lb2": view(newer)}).leader == "lb2"
    assert fleet.agree({"lb1": view(newer), "lb2": view(FIRST)}).leader == "lb2"


@pytest.mark.parametrize("garbage", [3, 0, -5, None, "12", 9.5, True, [], {}])
def test_an_epoch_that_is_lower_or_garbage_lowers_nothing(garbage: t.Any) -> None:
    lost = view(SECOND, lease={"epoch": garbage})
    found = fleet.agree({"lb1": view(SECOND, 7), "lb2": lost})
    assert (found.epoch, found.leader, found.behind) == (7, "lb1", ())


def test_a_host_that_missed_runs_is_named() -> None:
    found = fleet.agree({"lb1": view(SECOND, 7), "lb2": view(SECOND, 3)})
    assert found.says[1:] == ("lb2 saw epoch 3 last, the fleet is at 7: it missed runs.",)


def test_an_unfinished_run_tells_an_epoch_as_well() -> None:
    assert fleet.agree({"lb1": view(SECOND, None, unfinished={"epoch": 11})}).epoch == 11


def test_a_history_that_forgot_the_confirmation_is_helped_by_the_slot() -> None:
    long_refused = SECOND._replace(history=tuple(refused(SECOND, 3).history[-1:]) * 20)
    found = fleet.agree({"lb1": view(FIRST), "lb2": view(long_refused)})
    assert (found.leader, found.behind) == ("lb2", ("lb1",))
    assert "confirmed at 2026-01-02T00:00:00Z" in found.says[0]


def test_the_order_of_the_views_changes_nothing() -> None:
    views = {"lb1": view(SECOND), "lb2": view(FIRST, 9), "lb3": view(None, None)}
    first, *others = [fleet.agree({host: views[host] for host in order}) for order in itertools.permutations(views)]
    assert all(other == first for other in others)
    assert all("\n" not in line for line in first.says)


def test_once_the_ones_behind_have_followed_the_fleet_agrees() -> None:
    views = {"lb1": view(SECOND), "lb2": view(FIRST), "lb3": view(None, None)}
    found = fleet.agree(views)
    assert found.state is not None
    for host in found.behind:
        known = FIRST if host == "lb2" else EMPTY
        views[host] = view(confirmed(known, "green", R2, 5))
    assert fleet.agree(views).behind == ()


@pytest.mark.parametrize("change", [{"application": "blog"}, {"environment": "production"}])
def test_load_balancers_of_different_things_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadInput) as caught:
        fleet.agree({"lb1": view(None), "lb2": view(None, **change)})
    text = str(caught.value)
    assert "lb1: shop in staging; lb2: " in text
    assert next(iter(change.values())) in text


def test_a_state_of_something_else_is_refused() -> None:
    other = SECOND._replace(environment="production")
    with pytest.raises(BadInput, match="The state on lb2 belongs to something else"):
        fleet.agree({"lb1": view(SECOND), "lb2": view(other)})


def test_no_load_balancer_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="no load balancer"):
        fleet.agree({})


def test_a_state_that_cannot_be_understood_is_refused_with_its_host() -> None:
    with pytest.raises(StateUnreadable, match=r"state.json of shop on lb2"):
        fleet.agree({"lb1": view(SECOND), "lb2": {**view(None), "state": {"live": "red"}}})
