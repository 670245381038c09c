# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is the primary, and may somebody be promoted: one row for every thing that hosts can show."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members as members
from ansible_collections.vitalops.rollout.plugins.plugin_utils._postgres_members import Member, Refused
from hypothesis import given, settings
from hypothesis import strategies as st

ADDRESSES = {"db1": "10.0.0.1", "db2": "10.0.0.2", "db3": "10.0.0.3"}
#: What a state means besides its name, for a cluster in which db1 was the primary.
MEANS: dict[str, dict[str, t.Any]] = {
    "new": {"system": "fresh", "timeline": 1, "member": False},
    "primary": {"system": "ours", "timeline": 1, "received": 100},
    "promoted": {"state": "primary", "system": "ours", "timeline": 2, "received": 120},
    "left": {"state": "stopped", "system": "ours", "timeline": 2, "received": 120, "ended_at": "0/78"},
    "standby": {"system": "ours", "timeline": 1, "received": 100, "upstream": "db1"},
    "follower": {"state": "standby", "system": "ours", "timeline": 2, "received": 120, "upstream": "db1"},
    "ahead": {"state": "standby", "system": "ours", "timeline": 1, "received": 110, "upstream": "db1"},
    "stopped": {"system": "ours", "timeline": 1, "received": 100, "ended_at": "0/64"},
    "killed": {"state": "stopped", "system": "ours", "timeline": 1},
    "asleep": {"system": "ours", "timeline": 1, "received": 90},
    "fenced": {"system": "ours", "timeline": 1, "received": 100, "ended_at": "0/64"},
    "unclear": {"system": "ours", "timeline": 1},
    "foreign": {"state": "primary", "system": "theirs", "timeline": 1, "member": False},
    # Not asked on their own host: the others see them, or do not.
    "far primary": {"state": "primary", "asked": False, "system": "ours", "timeline": 1, "received": 100},
    "far standby": {"state": "standby", "asked": False, "system": "ours", "timeline": 1, "received": 100},
    "far unclear": {"state": "unclear", "asked": False},
    "unreachable": {"asked": False},
    "closed": {"asked": False},
}


def found(*states: str) -> dict[str, Member]:
    return {
        name: Member(name, **{"state": state, **MEANS[state]}) for name, state in zip(ADDRESSES, states, strict=False)
    }


# Provision: the primary by the inventory is db1.


@pytest.mark.parametrize(
    ("states", "primary", "does"),
    [
        # Nobody has begun: the inventory says who begins.
        (("new", "new"), "db1", {"db1": "lead", "db2": "join"}),
        (("new", "unreachable"), "db1", {"db1": "lead"}),
        # A server that was single gets a standby.
        (("primary", "new"), "db1", {"db1": "lead", "db2": "join"}),
        (("primary", "standby"), "db1", {"db1": "lead", "db2": "follow"}),
        (("primary", "asleep"), "db1", {"db1": "lead", "db2": "follow"}),
        (("primary", "unreachable"), "db1", {"db1": "lead"}),
        # The hosts have another primary than the inventory.
        (("fenced", "promoted"), "db2", {"db1": "leave", "db2": "lead"}),
        (("stopped", "promoted"), "db2", {"db1": "leave", "db2": "lead"}),
        (("killed", "promoted"), "db2", {"db1": "leave", "db2": "lead"}),
        (("unclear", "promoted"), "db2", {"db1": "leave", "db2": "lead"}),
        (("standby", "promoted"), "db2", {"db1": "follow", "db2": "lead"}),
        (("unreachable", "promoted"), "db2", {"db2": "lead"}),
        # The machine of the old primary was set up anew.
        (("new", "promoted"), "db2", {"db1": "join", "db2": "lead"}),
        # A standby whose own host is asked, and does not answer over the network.
        (("primary", "asleep"), "db1", {"db1": "lead", "db2": "follow"}),
        # A run on one host alone sees the primary over the network.
        (("far primary", "standby"), "db1", {"db2": "follow"}),
        (("far primary", "new"), "db1", {"db2": "join"}),
        # It was switched off, and everybody says that nobody took its place.
        (("stopped", "standby"), "db1", {"db1": "lead", "db2": "follow"}),
        (("killed", "standby"), "db1", {"db1": "lead", "db2": "follow"}),
        (("primary", "standby", "new"), "db1", {"db1": "lead", "db2": "follow", "db3": "join"}),
    ],
)
def test_who_leads_and_who_follows(states: tuple[str, ...], primary: str, does: dict[str, str]) -> None:
    plan = members.plan(found(*states), "db1")
    assert (plan.primary, plan.does) == (primary, does)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        (("primary", "promoted"), "db1 and db2 both say that they are the primary (db1: timeline 1, db2: timeline 2)"),
        (("far primary", "promoted"), "db1 and db2 both say"),
        # An empty machine must not become the primary of a cluster that has data elsewhere.
        (("new", "standby"), "Nobody is the primary: db1 is new, db2 is standby"),
        (("unreachable", "standby"), "Nobody is the primary"),
        (("closed", "standby"), "Nobody is the primary"),
        # Who does not answer may have been promoted.
        (("stopped", "unreachable"), "Nobody is the primary"),
        (("fenced", "standby"), "promote a standby"),
        (("unclear", "standby"), "Nobody is the primary"),
        (("unreachable", "new"), "Nobody is the primary"),
        # An old primary came back while the one that replaced it is away.
        (("primary", "left"), "db1 would be the primary, with timeline 1, but db2 (stopped) has timeline 2"),
        (("primary", "follower"), "but db2 (standby) has timeline 2: somebody was promoted in between"),
        (("stopped", "follower"), "-e postgres_promote=db2; if they shall have what db1 has, "),
        # Somebody's database stands in the way.
        (("primary", "foreign"), "db2 belongs to another cluster: system identifier theirs, expected ours"),
        (("new", "foreign"), "data folder of db2 belongs to another cluster"),
    ],
)
def test_what_nobody_can_know_is_refused(states: tuple[str, ...], says: str) -> None:
    with pytest.raises(Refused) as refused:
        members.plan(found(*states), "db1")
    assert says in str(refused.value)
    assert "Nothing was changed" in str(refused.value)
    assert "Next: " in str(refused.value)


def test_a_foreign_standby_is_refused_too() -> None:
    looks = found("primary", "standby")
    looks["db2"] = looks["db2"]._replace(system="theirs")
    with pytest.raises(Refused, match="belongs to another cluster"):
        members.plan(looks, "db1")


def test_a_standby_that_cannot_reach_a_primary_that_runs_is_refused() -> None:
    looks = found("primary", "new")
    looks["db2"] = looks["db2"]._replace(blind_to=frozenset({"db1"}))
    with pytest.raises(Refused, match="db2 cannot reach its primary db1 over the network"):
        members.plan(looks, "db1")
    # A single server that gets its first standby listens for it only after this run.
    looks["db1"] = looks["db1"]._replace(member=False)
    assert members.plan(looks, "db1").does == {"db1": "lead", "db2": "join"}


def test_every_two_states_have_a_plan_with_one_primary_or_a_reason() -> None:
    for states in itertools.product(MEANS, repeat=2):
        for promoted in (found(*states), dict(reversed(found(*states).items()))):
            try:
                plan = members.plan(promoted, "db1")
            except Refused as refused:
                assert "Next: " in str(refused)
                continue
            assert list(plan.does.values()).count("lead") <= 1
            assert promoted[plan.primary].state in ("new", "primary", "stopped")
            assert plan.primary == "db1" or promoted[plan.primary].state == "primary"


def test_equal_timelines_are_not_told_as_an_order() -> None:
    with pytest.raises(Refused, match=r"db1: timeline 1, db2: timeline 1\).* look at their rows"):
        members.plan(found("primary", "primary"), "db1")


def test_who_names_a_member_has_decided_whose_rows_go() -> None:
    assert members.plan(found("primary", "left"), "db1", rejoin="db2").does == {"db1": "lead", "db2": "join"}


def test_an_inventory_that_disagrees_is_told_in_one_line() -> None:
    told = members.plan(found("standby", "promoted"), "db1").told
    assert told == [
        "The inventory says postgres_primary: db1, the hosts say db2, and so it stays: write postgres_primary: db2."
    ]


def test_who_is_left_alone_is_told_with_what_to_type() -> None:
    told = members.plan(found("fenced", "promoted"), "db2").told
    assert len(told) == 1
    assert "db1 is fenced and is left as it is" in told[0]
    assert told[0].endswith("-e postgres_rejoin=db1")


def test_a_primary_that_is_no_member_is_refused() -> None:
    with pytest.raises(Refused, match="postgres_primary must name one of db1, db2"):
        members.plan(found("new", "new"), "db9")


# Rejoin: somebody has named who becomes a standby.


@pytest.mark.parametrize("state", ["primary", "fenced", "stopped", "killed", "standby", "asleep"])
def test_who_was_named_joins_whatever_it_says(state: str) -> None:
    plan = members.plan(found(state, "promoted"), "db1", rejoin="db1")
    assert plan.does == {"db1": "join", "db2": "lead"}


def test_the_only_primary_never_becomes_a_standby() -> None:
    for states in (("primary", "standby"), ("primary", "unreachable"), ("stopped", "asleep")):
        with pytest.raises(Refused, match="db1 has nobody to follow"):
            members.plan(found(*states), "db1", rejoin="db1")


def test_a_rejoin_of_another_cluster_is_refused() -> None:
    with pytest.raises(Refused, match="belongs to another cluster"):
        members.plan(found("foreign", "promoted"), "db2", rejoin="db1")


# Promotion of db2, which follows db1.


@pytest.mark.parametrize(
    ("states", "fence", "until"),
    [
        (("primary", "standby"), ["db1"], "db1"),
        # Proven down, and kept down.
        (("stopped", "standby"), ["db1"], "db1"),
        (("killed", "standby"), ["db1"], "db1"),
        # It runs and does not say what it is: it can be stopped all the same.
        (("unclear", "standby"), ["db1"], "db1"),
        # A promotion that was cut off after the fence goes on.
        (("fenced", "standby"), ["db1"], "db1"),
        # The machine was set up anew; it has nothing that anybody could write to.
        (("new", "standby"), [], ""),
        (("primary", "standby", "standby"), ["db1"], "db1"),
        # Another standby that is away is not the old primary.
        (("primary", "standby", "unreachable"), ["db1"], "db1"),
        (("primary", "standby", "far standby"), ["db1"], "db1"),
    ],
)
def test_whoever_could_take_writes_is_fenced_first(states: tuple[str, ...], fence: list[str], until: str) -> None:
    promotion = members.promotion(found(*states), "db2")
    assert (promotion.fence, promotion.until) == (fence, until)
    assert not (promotion.lift or promotion.done)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        (("far unclear", "standby"), "db1 still answers, and its host cannot be reached"),
        (("closed", "standby"), "db1 takes no connections, but its host cannot be reached to keep it from starting"),
        (("unreachable", "standby"), "a host that is cut off looks the same as one that is dead"),
    ],
)
def test_an_old_primary_that_is_not_proven_down_is_refused_until_somebody_says_so(
    states: tuple[str, ...], says: str
) -> None:
    with pytest.raises(Refused) as refused:
        members.promotion(found(*states), "db2")
    assert says in str(refused.value)
    assert "-e postgres_given_up=db1" in str(refused.value)
    promotion = members.promotion(found(*states), "db2", "db1", "power is off")
    assert promotion.given_up == "db1"
    assert promotion.fence == []
    assert any("power is off" in line for line in promotion.told)


def test_a_primary_that_answers_at_this_moment_is_not_given_up() -> None:
    with pytest.raises(Refused, match=r"db1 still answers as the primary.* cut its power or its network first"):
        members.promotion(found("far primary", "standby"), "db2")
    with pytest.raises(Refused, match="db1 cannot be given up: it answers other members as the primary"):
        members.promotion(found("far primary", "standby"), "db2", "db1", "nobody uses it")


def test_everybody_who_cannot_be_asked_is_given_up_by_name() -> None:
    looks = found("unreachable", "standby", "closed")
    with pytest.raises(Refused, match=r"db1 does not answer.* -e postgres_given_up=db1 "):
        members.promotion(looks, "db2")
    with pytest.raises(Refused, match=r"db3 takes no connections.* -e postgres_given_up=db1,db3 "):
        members.promotion(looks, "db2", "db1", "power is off")
    promotion = members.promotion(looks, "db2", "db1, db3", "power is off")
    assert (promotion.given_up, promotion.fence) == ("db1,db3", [])


@pytest.mark.parametrize(
    ("given_up", "reason", "says"),
    [
        ("db1", "", "needs postgres_reason"),
        ("db1", "because", "needs postgres_reason"),
        ("db2", "power is off", "must name another member"),
        ("db9", "power is off", "must name another member"),
        ("db1,db2", "power is off", "must name another member"),
    ],
)
def test_giving_up_takes_a_name_and_a_sentence(given_up: str, reason: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        members.promotion(found("unreachable", "standby"), "db2", given_up, reason)


@pytest.mark.parametrize("state", ["primary", "stopped", "unclear", "fenced"])
def test_who_can_be_stopped_is_not_given_up(state: str) -> None:
    with pytest.raises(Refused, match="can be stopped and need not be given up"):
        members.promotion(found(state, "standby"), "db2", "db1", "power is off")


@pytest.mark.parametrize("state", ["new", "asleep", "unclear", "unreachable", "closed", "far standby"])
def test_only_a_standby_that_runs_is_promoted(state: str) -> None:
    with pytest.raises(Refused, match=r"only a standby that runs|cannot be asked"):
        members.promotion(found("stopped", state), "db2")


def test_a_standby_that_has_less_than_another_is_refused() -> None:
    with pytest.raises(Refused, match=r"db3 has received more than db2: 10 bytes .*postgres_promote=db3"):
        members.promotion(found("stopped", "standby", "ahead"), "db2")
    assert members.promotion(found("stopped", "ahead", "standby"), "db2").fence == ["db1"]


def test_an_unknown_upstream_makes_everybody_who_is_away_a_suspect() -> None:
    looks = found("stopped", "standby", "unreachable")
    looks["db2"] = looks["db2"]._replace(upstream="")
    with pytest.raises(Refused, match="db3 does not answer"):
        members.promotion(looks, "db2")


@pytest.mark.parametrize("leader", ["stopped", "killed", "fenced", "new"])
def test_who_is_away_may_have_been_promoted_when_the_old_primary_is_down(leader: str) -> None:
    """The target still points at the old one: it was not asked when the third was promoted."""
    with pytest.raises(Refused, match=r"db3 does not answer.*-e postgres_given_up=db3"):
        members.promotion(found(leader, "standby", "unreachable"), "db2")


def test_a_standby_of_a_standby_does_not_hide_the_primary() -> None:
    looks = found("unreachable", "standby", "standby")
    looks["db2"] = looks["db2"]._replace(upstream="db3")
    with pytest.raises(Refused, match="db1 does not answer"):
        members.promotion(looks, "db2")
    looks["db1"] = found("primary")["db1"]
    promotion = members.promotion(looks, "db2")
    assert (promotion.fence, promotion.until) == (["db1"], "db1")
    # Two that point at each other tell nothing.
    looks = found("unreachable", "standby", "standby")
    looks["db2"], looks["db3"] = looks["db2"]._replace(upstream="db3"), looks["db3"]._replace(upstream="db2")
    with pytest.raises(Refused, match="db1 does not answer"):
        members.promotion(looks, "db2")


@pytest.mark.parametrize(
    ("later", "next_step"),
    [
        ("standby", "postgres_promote=db3"),
        ("fenced", "postgres_promote=db3 brings it back"),
        ("stopped", "start it"),
        ("primary", "postgres_rejoin=db2"),
    ],
)
def test_a_standby_that_was_left_behind_is_not_promoted(later: str, next_step: str) -> None:
    looks = found("fenced", "standby", later)
    looks["db3"] = looks["db3"]._replace(timeline=2)
    with pytest.raises(Refused, match=rf"db2 was not promoted: it has timeline 1, and db3 .* timeline 2.*{next_step}"):
        members.promotion(looks, "db2")


def test_of_another_timeline_more_is_not_more() -> None:
    looks = found("stopped", "standby", "ahead")
    looks["db1"] = looks["db1"]._replace(timeline=2)
    looks["db2"] = looks["db2"]._replace(timeline=2)
    assert members.promotion(looks, "db2").fence == ["db1"]


def test_a_primary_that_runs_tells_itself_how_much_there_is() -> None:
    """Standbys are asked one after the other while it writes: the later one always has more."""
    promotion = members.promotion(found("primary", "standby", "ahead"), "db2")
    assert (promotion.fence, promotion.until) == (["db1"], "db1")


def test_a_primary_that_runs_is_not_stopped_for_a_standby_that_cannot_catch_up() -> None:
    looks = found("primary", "standby")
    looks["db1"] = looks["db1"]._replace(received=201)
    with pytest.raises(Refused, match=r"it is 101 bytes behind db1, which runs.*rollout\.replication"):
        members.promotion(looks, "db2", most_bytes=100)
    assert members.promotion(looks, "db2", most_bytes=101).fence == ["db1"]
    looks["db2"] = looks["db2"]._replace(streams=False)
    with pytest.raises(Refused, match="it does not receive from db1, which runs"):
        members.promotion(looks, "db2")
    # Of one that is down already, the module waits for what is there.
    looks["db1"] = found("stopped")["db1"]
    assert members.promotion(looks, "db2").fence == ["db1"]


def test_who_is_primary_already_is_left_so() -> None:
    assert members.promotion(found("fenced", "promoted"), "db2").done
    assert members.promotion(found("unreachable", "promoted"), "db2").done


def test_after_a_promotion_that_failed_the_old_primary_comes_back() -> None:
    # A return that was cut off has lifted the fence, and not started the server.
    for state in ("fenced", "stopped", "killed"):
        assert members.promotion(found(state, "standby"), "db1").lift
    for other in ("promoted", "unreachable", "far standby"):
        if other == "promoted":
            with pytest.raises(Refused):
                members.promotion(found("fenced", other), "db1")
        else:
            with pytest.raises(Refused, match="may have been promoted since"):
                members.promotion(found("fenced", other), "db1")


def test_the_old_primary_comes_back_without_a_host_that_somebody_gives_up() -> None:
    """The host of the standby died right after the fence: nobody can be promoted there."""
    looks = found("fenced", "unreachable")
    with pytest.raises(Refused, match=r"postgres_promote=db1 -e postgres_given_up=db2 "):
        members.promotion(looks, "db1")
    promotion = members.promotion(looks, "db1", "db2", "its disk is gone")
    assert promotion.lift
    assert any("its disk is gone" in line for line in promotion.told)


@pytest.mark.parametrize("state", ["stopped", "killed", "unclear", "promoted"])
def test_it_does_not_come_back_beside_data_of_another_primary(state: str) -> None:
    """A new primary that died before its first checkpoint has the old timeline in its control file."""
    with pytest.raises(Refused):
        members.promotion(found("fenced", state), "db1")


# Any cluster at all: three members, whatever their hosts, their files and the others say.

ASKED = {"new": True, "stopped": True, "asleep": True, "fenced": True, "unreachable": False, "closed": False}
MEMBERS = st.fixed_dictionaries(
    {
        name: st.builds(
            Member,
            name=st.just(name),
            state=st.sampled_from(members.STATES),
            asked=st.booleans(),
            system=st.sampled_from(["ours", "ours", "ours", "theirs", ""]),
            timeline=st.integers(0, 3),
            received=st.integers(0, 3),
            upstream=st.sampled_from(["", "db1", "db2", "db3"]),
            ended_at=st.sampled_from(["", "0/64"]),
            member=st.booleans(),
            blind_to=st.frozensets(st.sampled_from(["db1", "db2", "db3"])),
        ).map(lambda one: one._replace(asked=ASKED.get(one.state, one.asked)))
        for name in ADDRESSES
    }
)
NAMES = st.sampled_from(["", *ADDRESSES])


def could_write(one: Member, target: Member) -> bool:
    """Whether *one* takes writes of the cluster of *target*, or will after a start, as far as anybody knows."""
    foreign = bool(one.system and target.system) and one.system != target.system
    return one.state in ("primary", "stopped", "unclear", "closed", "unreachable") and not foreign


@settings(max_examples=400, deadline=None)
@given(looks=MEMBERS, given_up=st.lists(NAMES, max_size=2).map(",".join), target=st.sampled_from(list(ADDRESSES)))
def test_no_promotion_leaves_two_who_take_writes(looks: dict[str, Member], given_up: str, target: str) -> None:
    """Whoever could take writes beside the target is stopped first, was given up by name, or follows a live primary."""
    try:
        promotion = members.promotion(looks, target, given_up, "power is off")
    except Refused:
        return
    new, gone = looks[target], promotion.given_up.split(",")
    assert new.asked
    rest = [one for one in looks.values() if one.name not in (target, *promotion.fence, *gone)]
    assert not any(one.state == "primary" and could_write(one, new) for one in rest)
    assert all(looks[name].asked for name in promotion.fence)
    assert not any(looks[name].asked or looks[name].state == "primary" for name in gone if name)
    if promotion.done or promotion.lift:
        assert promotion.fence == []
        assert not (promotion.lift and any(could_write(one, new) for one in rest))
        return
    assert new.state == "standby"
    # Only a primary that is seen at work, and is stopped first, clears those whom nobody can ask.
    stopped = [looks[name] for name in promotion.fence]
    if any(could_write(one, new) for one in rest):
        assert not any(one.asked and could_write(one, new) for one in rest)
        assert any(one.state == "primary" for one in stopped)
    assert not any(one.system == new.system != "" and one.timeline > new.timeline for one in [*rest, *stopped])
    assert promotion.until in ("", *promotion.fence)


@settings(max_examples=400, deadline=None)
@given(looks=MEMBERS, inventory=st.sampled_from(list(ADDRESSES)), rejoin=NAMES)
def test_no_plan_has_two_primaries_or_drops_rows_that_nobody_named(
    looks: dict[str, Member], inventory: str, rejoin: str
) -> None:
    try:
        plan = members.plan(looks, inventory, rejoin)
    except Refused as refused:
        assert str(refused)
        return
    primary = looks[plan.primary]
    assert plan.primary != rejoin
    assert [name for name, does in plan.does.items() if does == "lead"] == ([primary.name] if primary.asked else [])
    for name, does in plan.does.items():
        one = looks[name]
        assert one.asked
        # Only what is empty, or was named, is replaced; only a standby is told whom to follow.
        assert does != "join" or one.state == "new" or name == rejoin
        assert does != "follow" or one.state in ("standby", "asleep")
        if name not in (primary.name, rejoin):
            assert one.state != "primary"
        if does in ("join", "follow") and one.state != "new" and one.system and primary.system:
            assert one.system == primary.system
    if not rejoin and primary.system:
        assert not any(one.system == primary.system and one.timeline > primary.timeline for one in looks.values())


PROMOTION = {"refused": "", "target": "db2", "fence": ["db1"], "until": "db1"}


@pytest.mark.parametrize(
    ("fenced", "ended"),
    [({"ended_at": "0/64"}, "0/64"), ({"ended_at": None}, "")],
)
def test_where_the_old_primary_ended_is_known_once_it_is_stopped(fenced: dict[str, t.Any], ended: str) -> None:
    assert members.ended_at(PROMOTION, {"db1": fenced}) == ended
    assert members.ended_at({**PROMOTION, "fence": [], "until": ""}, {}) == ""


@pytest.mark.parametrize("fenced", [None, {}, {"skipped": True}, {"failed": True, "msg": "it still runs"}])
def test_nobody_is_promoted_before_the_old_primary_is_stopped(fenced: dict[str, t.Any] | None) -> None:
    with pytest.raises(Refused, match=r"db2 was not promoted: db1 must be stopped first"):
        members.ended_at(PROMOTION, {"db1": fenced})
    with pytest.raises(Refused, match="db1 does not answer"):
        members.ended_at({**PROMOTION, "refused": "db1 does not answer", "fence": []}, {})


# From what modules return to members.


def look(state: str, **more: t.Any) -> dict[str, t.Any]:
    return {"state": state, "system": "ours", "timeline": 1, "lsn": "0/64", "member": True, "members": {}, **more}


def test_a_member_that_was_not_asked_is_what_the_others_see() -> None:
    for seen in ("primary", "standby", "unclear", "closed", "unreachable"):
        looks = {"db1": None, "db2": look("standby", members={"db1": {"state": seen}})}
        told = members.members({"db1": "10.0.0.1", "db2": "10.0.0.2"}, looks)
        assert (told["db1"].state, told["db1"].asked) == (seen, False)


def test_one_who_sees_a_primary_outweighs_those_who_see_nobody() -> None:
    looks = {
        "db1": None,
        "db2": look("standby", members={"db1": {"state": "unreachable"}}),
        "db3": look("standby", members={"db1": {"state": "primary", "timeline": 1, "lsn": "0/64"}}),
    }
    assert members.members(ADDRESSES, looks)["db1"].state == "primary"


def test_a_standby_tells_whom_it_follows_even_while_nobody_sends() -> None:
    looks = {
        "db2": look("standby", receiver={"status": "streaming", "address": "10.0.0.1"}),
        "db3": look("standby", receiver=None, upstream="host=10.0.0.1 port=5432 user=replicator"),
    }
    told = members.members(ADDRESSES, looks)
    assert (told["db2"].upstream, told["db3"].upstream) == ("db1", "db1")
    assert (told["db2"].streams, told["db3"].streams) == (True, False)


def test_a_stopped_standby_sleeps_and_only_a_good_end_is_one() -> None:
    looks = {
        "db1": look("stopped", standby=False, ended_well=True),
        "db2": look("stopped", standby=True, ended_well=True),
        "db3": look("stopped", standby=False, ended_well=False),
        "db4": look("unclear", standby=True),
        "db5": look("unclear", standby=False),
    }
    told = members.members({name: f"10.0.0.{name[2]}" for name in looks}, looks)
    assert [one.state for one in told.values()] == ["stopped", "asleep", "stopped", "asleep", "unclear"]
    assert [one.ended_at for one in told.values()] == ["0/64", "", "", "", ""]


def test_looks_of_hosts_that_did_not_answer_are_none() -> None:
    hostvars = {"db1": {"look": {"unreachable": True, "msg": "no route"}}, "db2": {"look": look("primary")}}
    looks = members.looks(hostvars, ADDRESSES, "look")
    assert looks["db1"] is None
    assert looks["db3"] is None
    assert members.members(ADDRESSES, looks)["db3"].state == "unreachable"


def test_only_silence_makes_blind_and_no_refusal_of_a_login() -> None:
    for seen, blind in (("closed", True), ("unreachable", True), ("unclear", False), ("primary", False)):
        looks = {"db2": look("new", members={"db1": {"state": seen}})}
        assert ("db1" in members.members(ADDRESSES, looks)["db2"].blind_to) == blind


# What an operator sees.


def test_an_idle_slot_is_told_loudly() -> None:
    slots = [
        {"name": "rollout_db2", "active": False, "state": "extended", "retained_bytes": 48 * 2**20},
        {"name": "rollout_db3", "active": False, "state": "lost", "retained_bytes": None},
    ]
    looks = {"db1": look("primary", slots=slots, keep_at_most="64MB")}
    lines = members.replication(members.members(ADDRESSES, looks), looks)
    assert lines[0] == "db1: primary, timeline 1"
    assert any("slot rollout_db2: NOBODY USES IT, keeps 48.0 MB of WAL, at most 64MB." in line for line in lines)
    assert any("slot rollout_db3: lost" in line and "rejoin" in line for line in lines)
    assert "db3: unreachable, its host did not answer" in lines


def test_lag_is_told_in_bytes_and_seconds() -> None:
    senders = [{"name": "db2", "state": "streaming", "lag_bytes": 4096, "lag_seconds": 1.25}]
    receiver = {"status": "streaming", "address": "10.0.0.1"}
    looks = {
        "db1": look("primary", senders=senders),
        "db2": look("standby", receiver=receiver, replayed="0/60", last_commit_age=2.5),
        "db3": look("standby", receiver=None, upstream="host=10.0.0.1"),
    }
    lines = members.replication(members.members(ADDRESSES, looks), looks)
    assert "  to db2: streaming, 4096 bytes and 1.2 s behind" in lines
    assert "db2: standby of db1, timeline 1, receives, 4 bytes (2.5 s) not replayed yet" in lines
    assert "db3: standby of db1, timeline 1, receives from nobody: look at the end of its log" in lines


def test_a_copy_tells_how_far_it_is() -> None:
    copy = {"name": "db2", "state": "backup", "lag_bytes": None, "copied_bytes": 3 * 2**29, "copy_bytes": 6 * 2**30}
    looks = {"db1": look("primary", senders=[copy])}
    lines = members.replication(members.members(ADDRESSES, looks), looks)
    assert "  to db2: a copy is made, 1.5 of about 6.0 GB" in lines
    assert members.behind(looks["db1"], 0) == ["to db2: a copy is made, 1.5 of about 6.0 GB"]


def test_a_fence_is_told_with_who_and_why() -> None:
    told = {"at": "2026-01-31T22:10:05Z", "by": "kim", "for": "db2", "reason": "a disk was dying"}
    looks = {"db1": look("fenced", fence=told)}
    lines = members.replication(members.members(ADDRESSES, looks), looks)
    assert lines[1].startswith("  fenced at 2026-01-31T22:10:05Z by kim for db2: a disk was dying. To make it")


# Before the next host is updated.

STREAMING = {"name": "db2", "state": "streaming", "lag_bytes": 10, "lag_seconds": None}
RECEIVES = {"status": "streaming"}


def primary_at(lsn: str) -> dict[str, t.Any]:
    return {"db1": {"state": "primary", "lsn": lsn}}


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (look("primary", senders=[STREAMING]), None),
        (look("primary", senders=[{**STREAMING, "lag_bytes": 101}]), "101 bytes"),
        (look("primary", senders=[{**STREAMING, "state": "catchup"}]), "catchup"),
        (look("primary", slots=[{"name": "rollout_db2", "active": False}]), "rollout_db2 has no standby"),
        (look("primary"), None),
        (look("standby", receiver=None), "receives from nobody"),
        (look("standby", receiver={"status": "streaming"}), "primary does not answer"),
        (
            look("standby", receiver=RECEIVES, replayed="0/64", members=primary_at("0/64")),
            None,
        ),
        (
            look("standby", receiver=RECEIVES, replayed="0/64", members=primary_at("0/FF")),
            "155 bytes are not replayed yet",
        ),
        (look("fenced"), "the server is fenced"),
        (None, "the server is unknown"),
    ],
)
def test_who_is_behind(seen: dict[str, t.Any] | None, says: str | None) -> None:
    told = members.behind(seen, 100)
    assert (says is None and told == []) or (says is not None and says in " ".join(told))
