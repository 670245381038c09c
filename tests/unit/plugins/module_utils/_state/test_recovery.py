# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery: whatever a run left behind, there is one thing to do about it, and doing it twice or half is no harm."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._state import recovery
from ansible_collections.vitalops.rollout.plugins.module_utils._state.intent import Intent
from ansible_collections.vitalops.rollout.plugins.module_utils._state.journal import Entry
from ansible_collections.vitalops.rollout.plugins.module_utils._state.machine import (
    APPLICATION_STEPS,
    ASIDE,
    STEPS,
    standing,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._state.recovery import Action, ImpossibleState, Seen
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.module_utils._state.state import SlotRecord, State

AT = "2026-11-21T17:20:03Z"
R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "a"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "a"}
PLACES = [(None, None), *itertools.product((*STEPS, *APPLICATION_STEPS), ("begin", "end"))]
EVERYTHING = [
    Seen(step, phase, traffic, intent, confirmed)
    for (step, phase), traffic, intent, confirmed in itertools.product(
        PLACES, recovery.TRAFFIC, recovery.INTENTS, (False, True)
    )
]


def expected(seen: Seen) -> Action | None:  # noqa: PLR0911 - one reason after the other
    """What must be done, told as reasons and not as a table; None: this cannot happen."""
    place = (seen.step, seen.phase)
    untouched = seen.step in (None, "begin", "adopt")
    moved = place in (("shift", "end"), ("switch", "end"), ("confirm", "begin"))
    moving = place in (("shift", "begin"), ("switch", "begin"))
    back = place == ("revert", "begin")
    if not (untouched or moved or back or seen.step == "arm" or moving):
        return None  # it ended, or it only looks on, or it is a step of another kind of host
    if seen.intent == "none" and untouched and seen.traffic != "split":
        return Action.NOTHING if seen.step is None else Action.ABANDON
    if seen.traffic == "elsewhere":
        return None
    if seen.traffic == "target":
        if seen.confirmed:
            return Action.FINISH
        return None if place == ("arm", "end") and seen.intent == "none" else Action.REVERT
    if seen.traffic == "split":
        it_was_the_run = seen.intent != "none" or back or moved or moving
        return Action.REVERT if it_was_the_run and not seen.confirmed else Action.REPAIR
    if back:
        return Action.COMPLETE
    if moved:  # traffic is back, and nothing is written about it
        return None if seen.confirmed else Action.COMPLETE
    return Action.ABANDON if seen.intent == "none" else Action.DISARM


def test_every_cell_is_what_it_must_be() -> None:
    wrong = {seen: recovery.TABLE.get(seen) for seen in EVERYTHING if recovery.TABLE.get(seen) is not expected(seen)}
    assert wrong == {}
    assert set(recovery.TABLE) <= set(EVERYTHING)
    assert set(recovery.TABLE.values()) == set(Action)


def test_what_cannot_happen_is_refused_with_all_facts() -> None:
    for seen in EVERYTHING:
        if expected(seen) is not None:
            assert recovery.decide(seen) is expected(seen)
            continue
        with pytest.raises(ImpossibleState) as caught:
            recovery.decide(seen)
        text = str(caught.value)
        assert f"traffic {seen.traffic}" in text
        assert f"guard {seen.intent}" in text
        assert "rollout-guard status" in text
        assert "move journal.ndjson and intent.json away" in text


@pytest.mark.parametrize("word", ["somewhere", "", "Target"])
def test_a_word_that_nobody_knows_is_refused(word: str) -> None:
    with pytest.raises(ImpossibleState):
        recovery.decide(Seen("arm", "begin", word, "armed", False))


def test_a_run_goes_on_only_while_users_have_its_release_and_the_guard_watches() -> None:
    goes_on = {seen for seen in EVERYTHING if recovery.resumable(seen)}
    assert {(seen.traffic, seen.intent, seen.confirmed) for seen in goes_on} == {("target", "armed", False)}
    assert {(seen.step, seen.phase) for seen in goes_on} == {
        ("begin", "begin"),
        ("begin", "end"),
        ("arm", "begin"),
        ("arm", "end"),
        ("switch", "begin"),
        ("switch", "end"),
        ("confirm", "begin"),
    }
    assert {recovery.decide(seen) for seen in goes_on} == {Action.REVERT}


# A host that can be killed: every change of the real order is one yield, and a kill is to ask for no more of them.


def state_of(live: str | None, blue: dict[str, str] | None = None, green: dict[str, str] | None = None) -> State:
    slots = {"blue": blue, "green": green}
    records = {slot: SlotRecord(release, AT, "kim") if release else None for slot, release in slots.items()}
    return State("shop", "staging", live=live, slots=records)


def intent_of(run: Run, status: str = "armed") -> Intent:
    return Intent(
        token="secret",
        run=run,
        target=t.cast(str, run.slot),
        previous=run.previous,
        armed=AT,
        boot_id="boot:1",
        deadline_boottime=160.0,
        deadline_seconds=60.0,
        instances={},
        check={"path": "/ready", "status": 200, "host": None},
        public_url="http://127.0.0.1:80/ready",
        status=status,
    )


def entry_of(run: Run, step: str, phase: str, outcome: str | None = None, actor: str | None = None) -> Entry:
    return Entry(
        at=AT,
        boottime=100.0,
        boot_id="boot:1",
        host="lb1",
        run=run.id,
        epoch=run.epoch,
        operation=run.operation,
        step=step,
        phase=phase,
        outcome=outcome or ("done" if phase == "end" else None),
        actor=actor or run.actor,
        source=run.source,
        release=run.release,
        slot=run.slot,
        previous=run.previous,
        detail=None,
    )


Course = t.Iterator[None]


@dataclasses.dataclass
class Host:
    """A load balancer: the files and HAProxy. *dead* is a slot that does not answer, or None."""

    state: State | None
    file: str | None
    haproxy: str | None
    intent: Intent | None = None
    dead: str | None = None
    entries: list[Entry] = dataclasses.field(default_factory=list)

    def copy(self) -> Host:
        return dataclasses.replace(self, entries=list(self.entries))

    def seen(self, apart_from: str | None = None) -> tuple[Seen, Entry | None]:
        found = recovery.unfinished(self.entries, apart_from=apart_from)
        seen = recovery.look(found, state=self.state, intent=self.intent, file=self.file, haproxy=self.haproxy)
        return seen, found

    def write(self, run: Run, step: str, phase: str, outcome: str | None = None, actor: str | None = None) -> None:
        self.entries.append(entry_of(run, step, phase, outcome, actor))

    def step(
        self, run: Run, name: str, work: t.Iterable[None] = (), outcome: str = "done", actor: str = "kim"
    ) -> Course:
        self.write(run, name, "begin", actor=actor)
        yield
        yield from work
        self.write(run, name, "end", outcome, actor)
        yield

    def arm(self, run: Run) -> Course:
        self.intent = intent_of(run)
        yield

    def point(self, slot: str | None) -> Course:
        self.file = slot
        yield
        self.haproxy = slot
        yield

    def confirm(self, run: Run) -> Course:
        assert run.slot is not None
        before = self.state or State("shop", "staging")
        record = SlotRecord(R2 if run.release == R2["id"] else R1, AT, "kim")
        self.state = before._replace(live=run.slot, slots={**before.slots, run.slot: record})
        yield
        yield from self.disarm()

    def disarm(self) -> Course:
        self.intent = None
        yield

    def revert(self, run: Run, actor: str) -> Course:
        alive = self.dead is None or self.dead != run.previous
        work = itertools.chain(self.point(run.previous), self.disarm()) if alive else self.keep(run)
        return self.step(run, "revert", work, "done" if alive else "failed", actor)

    def keep(self, run: Run) -> Course:
        yield from self.point(run.slot)
        self.intent = intent_of(run, "inconsistent")
        yield

    def guard(self) -> Course:
        """What the program on the host does at its deadline or at boot."""
        if self.intent is not None and self.intent.status == "armed":
            yield from self.act(actor="guard")

    def act(self, actor: str, apart_from: str | None = None, heir: Run | None = None) -> Course:
        """Decides and does, once, and after a repair again. An *heir* writes it down as its own, and closes nothing."""
        seen, found = self.seen(apart_from)
        action = recovery.decide(seen)
        assert recovery.says(seen, action, found, self.intent).count("\n") == 0
        run = self.intent.run if self.intent else found and run_of(found)
        if run and heir:
            run = run._replace(id=heir.id, epoch=heir.epoch)
        if action is Action.REPAIR:
            self.haproxy = self.file
            yield
            yield from self.act(actor, apart_from, heir)
        elif action is Action.REVERT:
            assert run
            yield from self.revert(run, actor)
        elif action is not Action.NOTHING:
            if self.intent is not None:
                yield from self.disarm()
            if found is not None and heir is None:
                yield from self.step(run_of(found), "end", actor=actor)

    def run_begins(self, number: int, *, as_heir: bool = False) -> Course:
        """The next run: its begin takes the lease and recovers; its traffic steps are not here."""
        run = Run(f"next-{number}", 100 + number, "deploy", "lee", "AWX job 42")
        if as_heir:  # it recovers first, in its own name
            yield from self.act("lee", heir=run)
            yield from self.step(run, "begin")
            return
        self.write(run, "begin", "begin")
        yield
        yield from self.act("lee", apart_from=run.id)
        self.write(run, "begin", "end")
        yield


def run_of(found: Entry) -> Run:
    return Run(found.run, **{name: getattr(found, name) for name in Run._fields if name != "id"})


DEPLOY = Run("shop-1", 1, "deploy", "kim", "command line", R2["id"], "green", "blue")
FIRST = DEPLOY._replace(release=R1["id"], slot="blue", previous=None)
BACK = DEPLOY._replace(operation="roll_back", release=R1["id"], slot="blue", previous="green")
SAME = DEPLOY._replace(release=R1["id"], slot="blue", previous="blue")

# What the host shows before the run, and the run.
SITUATIONS: dict[str, tuple[Host, Run]] = {
    "a deploy": (Host(state_of("blue", R1), "blue", "blue"), DEPLOY),
    "a deploy while the live slot dies": (Host(state_of("blue", R1), "blue", "blue", dead="blue"), DEPLOY),
    "a first rollout": (Host(None, None, None), FIRST),
    "a roll back": (Host(state_of("green", R1, R2), "green", "green"), BACK),
    "a roll back to what is confirmed": (Host(state_of("blue", R1, R2), "green", "green"), BACK),
    "a roll back after the guard could not": (
        Host(state_of("blue", R1), "green", "green", intent_of(DEPLOY, "inconsistent")),
        BACK,
    ),
    "a run that repairs the live release": (Host(state_of("blue", R1), "blue", "blue"), SAME),
}


def goes_well(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "drain")
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", host.point(run.slot))
    yield from host.step(run, "confirm", host.confirm(run))
    yield from host.step(run, "drain")
    yield from host.step(run, "end")


def is_refused_on_the_idle_slot(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "drain")
    yield from host.step(run, "end")


def cannot_arm(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.arm(run), "failed")
    yield from host.step(run, "drain")
    yield from host.step(run, "end")


def is_refused_after_the_switch(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", host.point(run.slot))
    yield from host.step(run, "confirm", outcome="failed")
    yield from host.revert(run, "kim")
    yield from host.step(run, "drain")
    yield from host.step(run, "end")


def has_a_switch_that_fails_half_way(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", itertools.islice(host.point(run.slot), 1), "failed")
    yield from host.revert(run, "kim")
    yield from host.step(run, "end")


def cannot_even_revert(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", host.point(run.slot))
    yield from host.step(run, "revert", itertools.islice(host.point(run.previous), 1), "failed")
    yield from host.step(run, "drain")
    yield from host.step(run, "end")


def has_no_guard(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.disarm())
    yield from host.step(run, "switch", host.point(run.slot))
    yield from host.step(run, "confirm", host.confirm(run))


def is_taken_up_by_another(host: Host, run: Run) -> Course:
    """The first one dies after its switch; with rollout_recovery=resume the second goes on."""
    yield from itertools.islice(goes_well(host, run), 11)
    after = run._replace(id="shop-2", epoch=2)
    yield from host.step(after._replace(slot=None, previous=None, release=None), "begin")
    yield from host.step(after, "arm", host.arm(after))
    yield from host.step(after, "switch", host.point(after.slot))
    yield from host.step(after, "confirm", host.confirm(after))


def is_taken_up_by_another_that_cannot_arm(host: Host, run: Run) -> Course:
    yield from itertools.islice(goes_well(host, run), 11)
    after = run._replace(id="shop-2", epoch=2)
    yield from host.step(after, "begin")
    yield from host.step(after, "arm", itertools.chain(host.arm(after), host.disarm()), "failed")
    yield from host.revert(after, "kim")


def follows_the_others_first(host: Host, run: Run) -> Course:
    """This host was left behind: what the others have confirmed is where this run comes from."""
    yield from host.step(run, "begin")
    there = run._replace(slot=run.previous, previous=None)
    yield from host.step(there, "adopt", host.point(run.previous))
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", host.point(run.slot))


def drains_before_it_confirms(host: Host, run: Run) -> Course:
    yield from host.step(run, "begin")
    yield from host.step(run, "arm", host.arm(run))
    yield from host.step(run, "switch", host.point(run.slot))
    yield from host.step(run, "drain")
    yield from host.step(run, "confirm", host.confirm(run))


def meets_a_full_disk_when_the_guard_fires(host: Host, run: Run) -> Course:
    """No line and no file can be written, but HAProxy can be told, and a file removed."""
    yield from itertools.islice(goes_well(host, run), 11)
    if recovery.decide(host.seen()[0]) is Action.REVERT and host.dead != run.previous:
        host.haproxy = run.previous
        yield
        yield from host.disarm()


def is_overtaken_by_the_guard(host: Host, run: Run) -> Course:
    yield from itertools.islice(goes_well(host, run), 11)
    host.write(run, "confirm", "begin")
    yield
    guard = host.guard()
    yield from itertools.islice(guard, 2)
    host.write(run, "confirm", "end", "failed")
    yield
    yield from guard


COURSES = [
    goes_well,
    is_refused_on_the_idle_slot,
    cannot_arm,
    is_refused_after_the_switch,
    has_a_switch_that_fails_half_way,
    cannot_even_revert,
    has_no_guard,
    is_taken_up_by_another,
    is_taken_up_by_another_that_cannot_arm,
    follows_the_others_first,
    drains_before_it_confirms,
    meets_a_full_disk_when_the_guard_fires,
    is_overtaken_by_the_guard,
]


def crashes(course: t.Callable[[Host], Course], host: Host) -> t.Iterator[Host]:
    """Yields what *host* shows after a kill at every point of *course*, and at its end."""
    for after in itertools.count():
        broken = host.copy()
        more = True
        going = course(broken)
        for _number in range(after):
            more = next(going, "over") != "over"
        yield broken
        if not more:
            return


def must_be_whole(host: Host, run: Run) -> None:
    assert host.file == host.haproxy
    left = Action.ABANDON if host.intent is None else Action.REVERT
    assert recovery.decide(host.seen()[0]) is left
    confirmed = host.state is not None and host.state.live == run.slot
    if host.intent is not None:  # the one thing that nobody can mend: the slot to go back to is dead
        assert host.intent.status == "inconsistent"
        assert (host.dead, host.file) == (host.intent.previous, host.intent.target)
    elif not confirmed:
        assert host.file == run.previous
    else:
        assert host.file in (run.slot, run.previous)


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_run_killed_anywhere_is_recovered_even_when_guard_and_recovery_are_killed_too(
    situation: str, course: t.Callable[[Host, Run], Course]
) -> None:
    start, run = SITUATIONS[situation]
    for killed_at, dead in enumerate(crashes(lambda host: course(host, run), start)):
        for haproxy in (dead.haproxy, dead.file, None):  # as it was, restarted, and without the key in its map
            dead.haproxy = haproxy
            for guarded_at, guarded in enumerate(crashes(Host.guard, dead)):
                as_heir = bool((killed_at + guarded_at) % 2)
                recovers = functools.partial(Host.run_begins, number=1, as_heir=as_heir)
                for begun_at, begun in enumerate(crashes(recovers, guarded)):
                    try:
                        for _step in begun.run_begins(2, as_heir=bool(begun_at % 2)):
                            pass
                        must_be_whole(begun, run)
                    except (AssertionError, ImpossibleState) as error:
                        pytest.fail(f"kill {killed_at}, {haproxy=}, guard {guarded_at}, {begun_at=}: {error}\n{begun}")


def test_a_confirmed_release_stays_whoever_dies_after_the_record() -> None:
    start, run = SITUATIONS["a deploy"]
    for dead in crashes(lambda host: goes_well(host, run), start):
        if dead.state is None or dead.state.live != "green":
            continue
        for _step in itertools.chain(dead.guard(), dead.run_begins(1)):
            pass
        assert (dead.file, dead.haproxy, dead.intent) == ("green", "green", None)


def test_a_full_disk_lets_the_guard_turn_haproxy_only_and_users_are_not_sent_forth_again() -> None:
    host, run = SITUATIONS["a deploy"][0].copy(), DEPLOY
    for _step in itertools.islice(goes_well(host, run), 11):
        pass
    host.haproxy = "blue"
    for intent in (host.intent, None):
        host.intent = intent
        assert recovery.decide(host.seen()[0]) is Action.REVERT


# What is looked at, and how it is named.


def look(entry: Entry | None, **change: t.Any) -> Seen:
    facts = {"state": state_of("blue", R1), "intent": None, "file": "blue", "haproxy": "blue", **change}
    return recovery.look(entry, **facts)


@pytest.mark.parametrize(
    ("file", "haproxy", "traffic"),
    [
        ("blue", "blue", "previous"),
        ("green", "green", "target"),
        ("green", "blue", "split"),
        ("green", None, "split"),
        (None, None, "elsewhere"),
    ],
)
def test_traffic_is_told_relative_to_the_run(file: str | None, haproxy: str | None, traffic: str) -> None:
    assert look(entry_of(DEPLOY, "switch", "begin"), file=file, haproxy=haproxy).traffic == traffic


def test_before_a_first_rollout_no_slot_is_the_previous_one() -> None:
    assert look(entry_of(FIRST, "switch", "begin"), state=None, file=None, haproxy=None).traffic == "previous"


def test_an_end_that_failed_counts_as_begun() -> None:
    assert look(entry_of(DEPLOY, "switch", "end", "failed"))[:2] == ("switch", "begin")
    assert look(entry_of(DEPLOY, "switch", "end"))[:2] == ("switch", "end")


def test_only_the_same_release_in_the_target_is_confirmed() -> None:
    entry = entry_of(DEPLOY, "confirm", "begin")
    assert look(entry, state=state_of("green", R1, R2)).confirmed is True
    assert look(entry, state=state_of("green", R1, R1)).confirmed is False
    assert look(entry, state=state_of("blue", R1, R2)).confirmed is False
    assert look(entry, state=None).confirmed is False


def test_a_guard_left_by_an_earlier_run_is_judged_by_its_own_slots() -> None:
    left = intent_of(DEPLOY, "inconsistent")
    seen = look(entry_of(BACK, "arm", "begin"), intent=left, file="green", haproxy="green")
    assert seen == Seen("arm", "begin", "target", "inconsistent", False)


def test_a_run_that_moves_no_traffic_is_only_closed() -> None:
    retire = DEPLOY._replace(operation="retire", slot="blue", previous=None)
    entry = recovery.unfinished(
        [
            *entries("begin begin", "begin end", run=retire),
            *entries("drain begin", "drain end", "end begin", run=retire),
        ]
    )
    assert entry == entry_of(retire, "begin", "end")
    assert recovery.decide(look(entry, file="blue", haproxy="blue")) is Action.ABANDON


def test_a_host_without_any_run_is_clean_wherever_its_traffic_is() -> None:
    for pointer in ("blue", "green", None):
        for state in (None, state_of("blue", R1)):
            seen = look(None, state=state, file=pointer, haproxy=pointer)
            assert recovery.decide(seen) is Action.NOTHING


# Which run is unfinished.

NEXT = Run("shop-2", 2, "deploy", "lee", "AWX job 42")


def entries(*told: str, run: Run = DEPLOY) -> list[Entry]:
    """Returns entries from words such as "arm begin", "arm end" and "arm failed"."""
    found = []
    for text in told:
        step, phase = text.split()
        found.append(
            entry_of(run, step, "end" if phase == "failed" else phase, "failed" if phase == "failed" else None)
        )
    return found


BEGUN = entries("begin begin", "begin end")
SWITCHED = [*BEGUN, *entries("arm begin", "arm end", "switch begin", "switch end")]


@pytest.mark.parametrize(
    "closing",
    [
        entries("confirm begin", "confirm end"),
        entries("revert begin", "revert end"),
        entries("end begin", "end end"),
        entries("end end"),
        entries("confirm begin", "confirm end", "workers begin", "drain begin"),
        entries("revert begin", "revert end", "drain begin"),
        entries("confirm begin", "revert begin", "revert end", "confirm failed"),
    ],
)
def test_a_run_with_a_final_end_is_finished(closing: list[Entry]) -> None:
    assert recovery.unfinished([*SWITCHED, *closing]) is None


@pytest.mark.parametrize(
    ("tail", "last"),
    [
        ((), "switch end"),
        (("confirm begin",), "confirm begin"),
        (("confirm begin", "confirm failed"), "confirm failed"),
        (("revert begin", "revert failed"), "revert failed"),
        (("revert begin", "revert failed", "drain begin"), "revert failed"),
        (("revert begin", "revert failed", "end begin"), "revert failed"),
        (("drain begin", "drain end"), "switch end"),
        (("confirm begin", "revert begin", "confirm failed"), "revert begin"),
        (("workers begin",), "switch end"),
        (("end begin", "end end", "revert begin"), "revert begin"),
    ],
)
def test_the_last_entry_of_an_unfinished_run_is_found(tail: tuple[str, ...], last: str) -> None:
    assert recovery.unfinished([*SWITCHED, *entries(*tail)]) == entries(last)[0]


def test_an_empty_journal_and_one_of_an_application_host_have_nothing_unfinished() -> None:
    assert recovery.unfinished([]) is None
    assert recovery.unfinished(entries("stage begin", "stage end", "workers begin")) is None
    assert recovery.unfinished(entries("end begin", "end end")) is None


@pytest.mark.parametrize(
    "died",
    [("begin begin",), ("begin begin", "begin failed"), ("begin begin", "begin failed", "end begin", "end end")],
)
def test_a_run_that_died_while_it_recovered_does_not_hide_the_one_before(died: tuple[str, ...]) -> None:
    assert recovery.unfinished([*SWITCHED, *entries(*died, run=NEXT)]) == SWITCHED[-1]


def test_a_run_whose_begin_ended_well_answers_for_all_before_it() -> None:
    began = entries("begin begin", "begin end", run=NEXT)
    assert recovery.unfinished([*SWITCHED, *began]) == began[-1]
    assert recovery.unfinished([*SWITCHED, *began, *entries("end begin", "end end", run=NEXT)]) is None


def test_a_run_that_begins_does_not_find_itself() -> None:
    began = entries("begin begin", run=NEXT)
    assert recovery.unfinished([*SWITCHED, *began], apart_from=NEXT.id) == SWITCHED[-1]
    assert recovery.unfinished(began, apart_from=NEXT.id) is None


def test_a_run_that_died_in_its_begin_with_nothing_before_it_is_the_unfinished_one() -> None:
    finished = [*SWITCHED, *entries("confirm begin", "confirm end")]
    began = entries("begin begin", run=NEXT)
    assert recovery.unfinished([*finished, *began]) == began[0]


# What people read.


def test_the_line_tells_what_was_found_and_what_is_done() -> None:
    entry = entry_of(DEPLOY, "confirm", "begin")
    seen = look(entry, file="green", haproxy="green", intent=intent_of(DEPLOY))
    assert recovery.says(seen, Action.REVERT, entry) == (
        "Found deploy shop-1 of 1.1.0-bbb by kim (command line), cut off in step confirm at 2026-11-21T17:20:03Z; "
        "traffic in slot green, guard armed. Now: traffic goes back to slot blue."
    )


def test_the_line_names_the_slots_of_the_guard_that_is_there() -> None:
    left = intent_of(DEPLOY, "inconsistent")
    entry = entry_of(BACK, "arm", "begin")
    seen = look(entry, intent=left, file="green", haproxy="green")
    text = recovery.says(seen, recovery.decide(seen), entry, left)
    assert "traffic in slot green, guard inconsistent. Now: traffic goes back to slot blue if it answers again." in text
    seen = look(None, intent=left, file="green", haproxy="green")
    assert recovery.says(seen, recovery.decide(seen), None, left).startswith("Found the guard of deploy shop-1 by kim")


def test_the_line_of_a_first_rollout_names_no_slot() -> None:
    entry = entry_of(FIRST, "switch", "end")
    seen = look(entry, state=None, file="blue", haproxy="blue")
    assert "goes back to no slot, as before the first rollout" in recovery.says(seen, Action.REVERT, entry)


def test_nothing_is_said_of_nothing() -> None:
    assert recovery.says(look(None), Action.NOTHING, None) == "Nothing was left unfinished."
    assert "the load balancer follows the map file" in recovery.says(look(None, haproxy="green"), Action.REPAIR, None)


def test_the_way_out_of_a_contradiction_that_is_told_is_one() -> None:
    """Without journal and intent, a run begins from whatever traffic and state are."""
    for seen in EVERYTHING:
        recovery.decide(seen._replace(step=None, phase=None, intent="none"))


def test_every_cell_has_a_line() -> None:
    for seen, action in recovery.TABLE.items():
        entry = None if seen.step is None else entry_of(DEPLOY, seen.step, t.cast(str, seen.phase))
        text = recovery.says(seen, action, entry)
        assert text.endswith(".")
        assert "\n" not in text
        assert "None" not in text


@pytest.mark.parametrize("step", ASIDE)
@pytest.mark.parametrize("run", [DEPLOY, NEXT], ids=["of the same run", "of another run"])
def test_what_stands_aside_of_the_traffic_changes_nothing_about_it(step: str, run: Run) -> None:
    for told in ([f"{step} begin"], [f"{step} begin", f"{step} end"], [f"{step} begin", f"{step} failed"]):
        aside = entries(*told, run=run)
        confirmed = [*SWITCHED, *entries("confirm begin", "confirm end")]
        assert recovery.unfinished([*confirmed, *aside]) is None
        assert standing([*confirmed, *aside]) == confirmed[-1]
        assert recovery.unfinished([*SWITCHED, *aside]) == SWITCHED[-1]
