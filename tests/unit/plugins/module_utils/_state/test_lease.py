# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: one holder, a number that only grows, and no clock that can end it but the boot clock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    RolloutError,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease as leases
from ansible_collections.vitalops.rollout.plugins.module_utils._state.lease import LeaseHeld, LeaseLost
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run

KIM = Run("run-kim", 0, "deploy", "kim", "AWX job 42", "1.1.0-bbb", "green", "blue")
LEE = Run("run-lee", 0, "roll_back", "lee", "command line")


def numbered(run: Run, epoch: int) -> Run:
    """The run as it goes on with the epoch that it got."""
    return run._replace(epoch=epoch)


def at(boottime: float, boot_id: str = "kernel:1000", utc: str = "2026-11-21T17:20:03Z") -> Clock:
    """A host that has been up for *boottime* seconds; PID 1 of this boot started at 1000 ticks (10 s)."""
    return Clock(utc=lambda: utc, boottime=lambda: boottime, boot_id=lambda: boot_id)


@pytest.fixture(autouse=True)
def _ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_CLK_TCK": 100}.__getitem__)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "rollout" / "shop")


def take(folder: str, run: Run, clock: Clock, seconds: float = 60, **options: t.Any) -> Run:
    """Acquires, and returns the run with its epoch."""
    lease, _how = leases.acquire(folder, run, seconds, clock, **options)
    return numbered(run, lease.epoch)


def test_the_first_run_gets_the_lease_and_a_folder_of_its_own(folder: str) -> None:
    lease, how = leases.acquire(folder, KIM, 60, at(100))
    assert how == ""
    assert leases.read(folder) == lease
    assert json.loads(Path(folder, "lease.json").read_text()) == {
        "schema": 1,
        "id": "run-kim",
        "epoch": 1,
        "operation": "deploy",
        "actor": "kim",
        "source": "AWX job 42",
        "acquired": "2026-11-21T17:20:03Z",
        "renewed": "2026-11-21T17:20:03Z",
        "seconds": 60.0,
        "expires_boottime": 160.0,
        "boot_id": "kernel:1000",
        "released": False,
    }
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert {one.name: one.stat().st_mode & 0o777 for one in Path(folder).iterdir()} == {
        "lease.json": 0o600,
        ".lock": 0o600,
    }


def test_before_any_run_there_is_no_lease(folder: str) -> None:
    assert leases.read(folder) is None


def test_a_second_run_is_refused_at_once_and_told_who_holds_it_and_for_how_long(folder: str) -> None:
    take(folder, KIM, at(100))
    before = Path(folder, "lease.json").read_bytes()
    started = time.monotonic()
    with pytest.raises(LeaseHeld) as held:
        leases.acquire(folder, LEE, 60, at(118))
    assert time.monotonic() - started < 1
    assert held.value.what == "Another run changes shop now: deploy by kim (AWX job 42)."
    assert held.value.found == "run run-kim, deploy by kim (AWX job 42) since 2026-11-21T17:20:03Z, 42 s left"
    assert held.value.next_step == (
        "wait until it ends, or take over from it: -e rollout_break_lease=run-kim -e \"rollout_reason='why'\""
    )
    assert held.value.where == f"{folder}/lease.json"
    assert Path(folder, "lease.json").read_bytes() == before


def test_the_same_run_may_ask_again_and_keeps_its_epoch(folder: str) -> None:
    first, _how = leases.acquire(folder, KIM, 60, at(100, utc="first"))
    again, how = leases.acquire(folder, KIM, 60, at(130, utc="again"))
    assert (again.epoch, again.acquired, again.renewed, again.expires_boottime, how) == (1, "first", "again", 190, "")
    assert first.epoch == 1


def test_the_same_run_may_raise_its_epoch_to_the_newest_of_the_fleet(folder: str) -> None:
    run = take(folder, KIM, at(100))
    assert take(folder, numbered(run, 9), at(101)).epoch == 9
    assert take(folder, numbered(run, 3), at(102)).epoch == 9


def test_the_epoch_grows_with_every_other_run(folder: str) -> None:
    for epoch in range(1, 6):
        run = take(folder, KIM._replace(id=f"run-{epoch}"), at(100 + epoch))
        assert run.epoch == epoch
        leases.release(folder, run)
    assert take(folder, numbered(LEE, 40), at(200)).epoch == 40


def test_a_released_lease_is_free_and_its_epoch_stays_on_disk(folder: str) -> None:
    run = take(folder, KIM, at(100))
    assert leases.release(folder, run) is True
    assert leases.release(folder, run) is False
    stored = leases.read(folder)
    assert stored is not None
    assert (stored.released, stored.epoch, leases.remaining(stored, at(101))) == (True, 1, 0.0)
    assert leases.acquire(folder, LEE, 60, at(101))[1] == ""


def test_a_second_rollout_of_the_same_run_has_an_epoch_of_its_own(folder: str) -> None:
    first = take(folder, KIM, at(100))
    leases.release(folder, first)
    second = take(folder, KIM, at(101))
    assert (first.epoch, second.epoch) == (1, 2)
    with pytest.raises(LeaseLost):
        leases.check(folder, first, at(102))


def test_a_lease_that_ran_out_is_taken_over_and_called_stale(folder: str) -> None:
    take(folder, KIM, at(100))
    with pytest.raises(LeaseHeld):
        leases.acquire(folder, LEE, 60, at(159.9))
    lease, how = leases.acquire(folder, LEE, 60, at(160))
    assert (lease.id, lease.epoch, how) == ("run-lee", 2, "stale")


def test_an_operator_may_break_a_lease_by_its_id_with_a_reason(folder: str) -> None:
    kim = take(folder, KIM, at(100))
    lease, how = leases.acquire(folder, LEE, 60, at(101), break_id="run-kim", reason="the AWX job hangs")
    assert (lease.id, lease.epoch, how) == ("run-lee", 2, "broken")
    with pytest.raises(LeaseLost):
        leases.renew(folder, kim, 60, at(102))


@pytest.mark.parametrize(
    ("break_id", "reason", "expected"),
    [
        ("run-lou", "it hangs", "rollout_break_lease=run-kim"),
        ("", "it hangs", "rollout_break_lease=run-kim"),
        ("run-kim", "", "rollout_reason with a sentence"),
        ("run-kim", "  ", "rollout_reason with a sentence"),
    ],
)
def test_a_lease_is_not_broken_by_mistake_or_without_a_reason(
    folder: str, break_id: str, reason: str, expected: str
) -> None:
    take(folder, KIM, at(100))
    with pytest.raises(BadInput) as refused:
        leases.acquire(folder, LEE, 60, at(101), break_id=break_id, reason=reason)
    assert refused.value.expected == expected
    assert "rollout_break_lease=run-kim" in str(refused.value.next_step)
    stored = leases.read(folder)
    assert stored is not None
    assert stored.id == "run-kim"


def test_nothing_is_broken_when_nobody_is_in_the_way(folder: str) -> None:
    assert leases.acquire(folder, LEE, 60, at(101), break_id="run-kim", reason="it hangs")[1] == ""
    assert leases.acquire(folder, KIM, 60, at(161), break_id="run-lee")[1] == "stale"


@pytest.mark.parametrize("utc", ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_a_jump_of_the_wall_clock_neither_ends_nor_prolongs_a_lease(folder: str, utc: str) -> None:
    take(folder, KIM, at(100))
    stored = leases.read(folder)
    assert stored is not None
    assert leases.remaining(stored, at(120, utc=utc)) == 40
    assert leases.remaining(stored, at(161, utc=utc)) == 0
    with pytest.raises(LeaseHeld):
        leases.acquire(folder, LEE, 60, at(120, utc=utc))


@pytest.mark.parametrize(
    ("boottime", "left"),
    [(10, 60), (30, 40), (70, 0), (5000, 0), (0, 60)],
    ids=["at boot", "20 s after boot", "60 s after boot", "long after", "before PID 1"],
)
def test_after_a_reboot_the_holder_has_its_time_once_more_from_boot_and_never_more(
    folder: str, boottime: float, left: float
) -> None:
    lease, _how = leases.acquire(folder, KIM, 60, at(90_000, boot_id="kernel-before:5"))
    assert leases.remaining(lease, at(boottime)) == left


def test_a_damaged_end_never_keeps_others_out_for_longer_than_was_given(folder: str) -> None:
    lease, _how = leases.acquire(folder, KIM, 60, at(100))
    assert leases.remaining(lease._replace(expires_boottime=1e9), at(100)) == 60


def test_a_lease_that_ran_out_and_nobody_took_is_still_ours_and_renewing_revives_it(folder: str) -> None:
    kim = take(folder, KIM, at(100))
    assert leases.check(folder, kim, at(1000)).id == "run-kim"
    lease = leases.renew(folder, kim, 60, at(1000))
    assert (lease.epoch, lease.expires_boottime) == (1, 1060)
    with pytest.raises(LeaseHeld):
        leases.acquire(folder, LEE, 60, at(1001))


def test_renewing_after_a_reboot_counts_in_the_new_boot(folder: str) -> None:
    kim = take(folder, KIM, at(9000, boot_id="kernel-before:5"))
    lease = leases.renew(folder, kim, 60, at(50))
    assert (lease.boot_id, lease.expires_boottime, leases.remaining(lease, at(60))) == ("kernel:1000", 110, 50)


def test_a_run_that_was_overtaken_can_change_nothing_and_is_told_by_whom(folder: str) -> None:
    zombie = take(folder, KIM, at(100))
    lee = take(folder, LEE, at(161))
    before = Path(folder, "lease.json").read_bytes()
    for change in (
        lambda: leases.check(folder, zombie, at(162)),
        lambda: leases.renew(folder, zombie, 60, at(162)),
        lambda: leases.release(folder, zombie),
    ):
        with pytest.raises(LeaseLost) as lost:
            change()
        assert lost.value.what == "Run run-kim (deploy by kim) may not change shop any more, and changed nothing."
        assert "run run-lee with epoch 2: roll_back by lee (command line) since" in str(lost.value.found)
        assert lost.value.next_step
    assert Path(folder, "lease.json").read_bytes() == before
    assert leases.check(folder, lee, at(162)).epoch == 2


def test_an_older_incarnation_of_the_same_run_has_lost_the_lease(folder: str) -> None:
    old = take(folder, KIM, at(100))
    take(folder, numbered(old, 5), at(101))
    with pytest.raises(LeaseLost):
        leases.check(folder, old, at(102))
    with pytest.raises(LeaseLost):
        leases.release(folder, old)


def test_the_epoch_of_the_fleet_is_newer_than_the_one_of_this_host_and_renewing_notes_it(folder: str) -> None:
    run = numbered(take(folder, KIM, at(100)), 8)
    assert leases.check(folder, run, at(101)).epoch == 1
    assert leases.renew(folder, run, 60, at(101)).epoch == 8


def test_a_run_that_ended_can_change_nothing(folder: str) -> None:
    run = take(folder, KIM, at(100))
    leases.release(folder, run)
    with pytest.raises(LeaseLost, match="was released"):
        leases.renew(folder, run, 60, at(101))


def test_a_run_without_a_lease_can_change_nothing_and_makes_no_files(folder: str) -> None:
    with pytest.raises(LeaseLost, match="no lease at all"):
        leases.check(folder, KIM, at(100))
    with pytest.raises(LeaseLost, match="no lease at all"):
        leases.renew(folder, KIM, 60, at(100))
    assert leases.release(folder, KIM) is False
    assert not Path(folder).exists()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_lease_needs_a_time(folder: str, seconds: float) -> None:
    with pytest.raises(BadInput, match="cannot be given for this time"):
        leases.acquire(folder, KIM, seconds, at(100))
    assert leases.read(folder) is None


def test_check_mode_can_ask_without_touching_a_file(tmp_path: Path) -> None:
    lease, how = leases.taken(None, KIM, 60, at(100), where=str(tmp_path / "shop" / "lease.json"))
    with pytest.raises(LeaseHeld):
        leases.taken(lease, LEE, 60, at(101), where=str(tmp_path / "shop" / "lease.json"))
    assert (lease.epoch, how, list(tmp_path.iterdir())) == (1, "", [])


def test_the_epoch_goes_on_when_somebody_moved_a_damaged_lease_away(folder: str) -> None:
    run = take(folder, numbered(KIM, 12), at(100))
    journal.append(folder, run, "begin", "begin", clock=at(100))
    Path(folder, "lease.json").rename(Path(folder, "lease.json.damaged"))
    assert take(folder, LEE, at(101)).epoch == 13


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "\0\0\0\0",
        '{"schema": 1}',
        '{"schema": 2, "id": "run-kim"}',
        '{"schema": true}',
        "[" * 100_000,
        '{"schema": ' + "[" * 400 + "]" * 400 + "}",
    ],
)
def test_garbage_is_refused_by_everything_and_left_as_it_is(folder: str, content: str) -> None:
    take(folder, KIM, at(100))
    path = Path(folder, "lease.json")
    path.write_text(content)
    for change in (
        lambda: leases.read(folder),
        lambda: leases.acquire(folder, LEE, 60, at(200)),
        lambda: leases.check(folder, KIM, at(100)),
        lambda: leases.renew(folder, KIM, 60, at(100)),
        lambda: leases.release(folder, KIM),
    ):
        with pytest.raises(StateUnreadable) as refused:
            change()
        assert refused.value.where == str(path)
        assert refused.value.next_step
        assert len(str(refused.value)) < 1000
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("epoch", -1),
        ("epoch", None),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("expires_boottime", "soon"),
        ("boot_id", ""),
        ("released", 0),
        ("actor", "\ud800"),
        ("id", None),
    ],
)
def test_a_wrong_part_is_named(folder: str, part: str, value: t.Any) -> None:
    lease, _how = leases.acquire(folder, KIM, 60, at(100))
    Path(folder, "lease.json").write_text(json.dumps({**lease.to_dict(), part: value}))
    with pytest.raises(StateUnreadable, match=f"found: {part} is"):
        leases.read(folder)


@pytest.mark.parametrize("kind", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_folder_that_takes_nothing_is_an_error_of_the_system_and_nothing_is_lost(
    folder: str, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    kim = take(folder, KIM, at(100))
    before = Path(folder, "lease.json").read_bytes()
    really = os.open

    def refuse(path: t.Any, flags: int, *arguments: t.Any, **options: t.Any) -> int:
        if flags & os.O_CREAT and not str(path).endswith(".lock"):
            raise OSError(kind, os.strerror(kind), path)
        return really(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    for change in (
        lambda: leases.acquire(folder, LEE, 60, at(200)),
        lambda: leases.renew(folder, kim, 60, at(101)),
        lambda: leases.release(folder, kim),
    ):
        with pytest.raises(OSError) as refused:
            change()
        assert refused.value.errno == kind
    assert Path(folder, "lease.json").read_bytes() == before


def test_a_run_passes_the_fence_of_an_app_host_again_and_again(folder: str) -> None:
    run = numbered(KIM, 7)
    assert leases.fence(folder, run, at(100)) is True
    assert leases.fence(folder, run, at(101)) is False
    assert json.loads(Path(folder, "fence.json").read_text()) == {
        "schema": 1,
        "epoch": 7,
        "id": "run-kim",
        "at": "2026-11-21T17:20:03Z",
    }
    assert leases.fence(folder, numbered(LEE, 8), at(102)) is True


@pytest.mark.parametrize("late", [numbered(KIM, 7), numbered(KIM, 8), numbered(LEE, 7)])
def test_the_fence_stops_an_older_run_and_one_with_the_same_epoch(folder: str, late: Run) -> None:
    leases.fence(folder, numbered(LEE, 8), at(100))
    before = Path(folder, "fence.json").read_bytes()
    with pytest.raises(LeaseLost, match="run run-lee with epoch 8, on this host since 2026"):
        leases.fence(folder, late, at(101))
    assert Path(folder, "fence.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1, "epoch": 3}', '{"schema": 9}'])
def test_a_damaged_fence_lets_nobody_through(folder: str, content: str) -> None:
    leases.fence(folder, numbered(KIM, 7), at(100))
    Path(folder, "fence.json").write_text(content)
    with pytest.raises(StateUnreadable):
        leases.fence(folder, numbered(KIM, 8), at(100))
    assert Path(folder, "fence.json").read_text() == content


@pytest.mark.parametrize("before", ["nobody", "a run that died"])
def test_of_many_runs_that_start_at_once_one_wins(folder: str, before: str) -> None:
    for attempt in range(5):
        here = f"{folder}-{attempt}"
        if before != "nobody":
            take(here, KIM, at(100))
        children = [_start(lambda here=here, number=number: _compete(here, number)) for number in range(8)]
        won = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert sorted(won) == [0] + [3] * 7
        stored = leases.read(here)
        assert stored is not None
        assert stored.id == f"run-{won.index(0)}"


def _start(action: t.Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = action()
        finally:
            os._exit(code)
    return child


def _compete(folder: str, number: int) -> int:
    try:
        leases.acquire(folder, LEE._replace(id=f"run-{number}"), 60, at(1000))
    except LeaseHeld:
        return 3
    return 0


def test_a_lock_that_is_never_given_back_is_an_error_and_not_a_wait_for_ever(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LOCK_SECONDS", 0.1)
    take(folder, KIM, at(100))
    with open(Path(folder, ".lock"), "w", encoding="utf-8") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(RolloutError, match="Another change of the lease does not end") as refused:
            leases.acquire(folder, KIM, 60, at(101))
        assert "fuser" in str(refused.value.next_step)
    assert take(folder, KIM, at(102)).epoch == 1


def test_who_is_at_work_keeps_a_lease_whose_time_is_over(folder: str) -> None:
    leases.acquire(folder, KIM, 60, at(100))
    busy = {"run-kim": "at work on app1 (stage since noon)"}
    with pytest.raises(LeaseHeld, match="0 s left, at work on app1") as refused:
        leases.acquire(folder, LEE, 60, at(900), at_work=busy)
    assert "rollout_break_lease=run-kim" in str(refused.value)
    assert leases.acquire(folder, LEE, 60, at(900), at_work={"run-max": "at work on app2"})[1] == "stale"


def test_who_is_at_work_can_be_taken_over_by_name_and_with_a_reason(folder: str) -> None:
    leases.acquire(folder, KIM, 60, at(100))
    told = {"at_work": {"run-kim": "at work on app1"}, "break_id": "run-kim", "reason": "the download hangs"}
    assert leases.acquire(folder, LEE, 60, at(900), **told)[1] == "broken"


def test_epochs_go_on_from_what_is_known_elsewhere(folder: str) -> None:
    lease, _how = leases.acquire(folder, KIM, 60, at(100), floor=41)
    assert lease.epoch == 42
    lease, _how = leases.acquire(folder, LEE, 60, at(200), floor=12)
    assert lease.epoch == 43


def test_the_newest_epoch_on_an_application_host_is_known(folder: str) -> None:
    assert leases.newest(folder) == 0
    leases.fence(folder, KIM._replace(epoch=7), at(100))
    assert leases.newest(folder) == 7
