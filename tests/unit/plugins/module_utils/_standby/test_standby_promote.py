# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby becomes the primary: with all that the old one wrote, or not at all."""

from __future__ import annotations

import json
import runpy
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, host, join, look, promote


def promoted(**more: t.Any) -> promote.Promoted:
    told: dict[str, t.Any] = {
        "changed": True,
        "promoted": True,
        "received": "0/64",
        "last_commit": None,
        "missing": None,
    }
    return promote.Promoted(**{**told, "seconds": 0.1, **more})


@pytest.mark.parametrize(
    ("until", "received", "missing"),
    [
        (None, "0/64", None),
        # The record of the shutdown begins there: it must have come, too.
        ("0/64", "0/64", 1),
        ("0/64", "0/65", 0),
        ("0/64", "0/60", 4),
        ("1/0", "0/FFFFFFFF", 1),
        ("0/64", None, 100),
    ],
)
def test_what_has_not_come_is_counted(until: str | None, received: str | None, missing: int | None) -> None:
    assert promote._missing(until, received) == missing


def test_what_can_be_lost_is_one_sentence() -> None:
    assert promoted(missing=0).loss.startswith("Nothing is lost")
    told = promoted(last_commit="2026-01-31T22:10:05+00:00").loss
    assert "committed at 2026-01-31T22:10:05+00:00; the last position is 0/64" in told
    assert "an unknown time; the last position is unknown" in promoted(received=None).loss
    assert promoted(promoted=False).loss == ""


class Pair:
    """db2 follows db1, and what follows happens on db2."""

    def __init__(self, site: t.Any) -> None:
        self.site = site
        self.old, self.new = site.server("db1", "shop"), site.server("db2", "new")
        self.old.ask("SELECT pg_create_physical_replication_slot('rollout_db2', true)")
        self.new.follows(self.old)
        site.on(self.new)
        join.join(self.old.upstream("db2"), "kim", member="db2", again=False, check=False, deadline=20)

    def stop_old(self) -> str:
        """Returns where it ended."""
        self.old.tool("pg_ctl", "-m", "fast", "stop")
        self.site.on(self.old)
        ended = look.here()["lsn"]
        self.site.on(self.new)
        return str(ended)

    def promote(self, until: str | None, *, check: bool = False, deadline: float = 20) -> promote.Promoted:
        return promote.promote(
            member="db2",
            until=until,
            slots=["rollout_db1", "rollout_db3"],
            deadline=deadline,
            check=check,
            by="kim",
            reason="",
        )


@pytest.fixture
def pair(site: t.Any) -> Pair:
    return Pair(site)


def test_a_planned_switch_loses_nothing_and_has_its_slots_at_once(pair: Pair) -> None:
    pair.old.ask("INSERT INTO told VALUES ('last')")
    ended = pair.stop_old()
    told = pair.promote(ended, check=True)
    assert (told.changed, told.missing) == (True, 0)
    assert pair.new.ask("SELECT pg_is_in_recovery()") == "t"
    told = pair.promote(ended)
    assert (told.promoted, told.missing) == (True, 0)
    assert pair.new.ask("SELECT text FROM told") == "last"
    slots = (
        "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL"
    )
    assert pair.new.ask(slots) == "rollout_db1 rollout_db3"
    line = json.loads(Path(fence.JOURNAL).read_text(encoding="utf-8").splitlines()[-1])
    assert (line["event"], line["missing"]) == ("promoted", 0)
    assert (look.here()["state"], look.here()["timeline"]) == ("primary", 2)

    # Again; and once more for a run that was killed before it made the slots.
    assert pair.promote(None) == promote.Promoted(False, False, None, None, None, 0.0)
    pair.new.ask("SELECT pg_drop_replication_slot('rollout_db3')")
    for check in (True, False):
        told = pair.promote(None, check=check)
        assert (told.changed, told.promoted, told.loss) == (True, False, "")
    assert pair.new.ask(slots) == "rollout_db1 rollout_db3"


def test_a_standby_that_has_not_all_is_not_promoted(pair: Pair) -> None:
    pair.new.tool("pg_ctl", "-m", "fast", "stop")
    pair.old.ask("INSERT INTO told VALUES ('last')")
    ended = pair.stop_old()
    pair.new.tool("pg_ctl", "start")
    begun = time.monotonic()
    with pytest.raises(BadInput, match=r"has not received all(.*\n)*.*postgres_given_up=") as refused:
        pair.promote(ended)
    assert "bytes or more are missing" in str(refused.value)
    # It receives from nobody: there is nothing to wait for.
    assert time.monotonic() - begun < 10
    assert pair.new.ask("SELECT pg_is_in_recovery()") == "t"
    assert not any("promoted" in line for line in Path(fence.JOURNAL).read_text(encoding="utf-8").splitlines())
    # Once somebody says so, it is.
    told = pair.promote(None)
    assert (told.promoted, told.missing) == (True, None)
    assert told.loss.startswith("What the old primary committed and nobody received is lost")


def test_a_promotion_that_does_not_end_is_told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "_WRITES", "SELECT pg_sleep(0.1) / 0")
    with pytest.raises(RolloutError, match=r"db2 was told to become primary and did not(.*\n)*.*postgres_promote=db2"):
        pair.promote(None, deadline=2)


def test_what_is_asked_before_a_start_is_answered(pair: Pair) -> None:
    """The program that asks is a file of role postgres; what it asks is read by real servers here."""
    path = Path(__file__).parents[5] / "roles/postgres/files/postgres_before_start.py"
    program = runpy.run_path(str(path))
    told = {"user": "replicator", "passfile": "/none", "version": host.known().version, "data": str(pair.old.data)}
    system, timeline = program["own"](told)
    assert timeline == 1
    assert program["ask"]({**told, "port": pair.old.port}, "127.0.0.1") == ["f", system, "1"]
    assert program["ask"]({**told, "port": pair.new.port}, "127.0.0.1") == ["t", system, "1"]
    pair.new.ask("SELECT pg_promote()")
    there = program["ask"]({**told, "port": pair.new.port}, "127.0.0.1")
    assert there == ["f", system, "2"]
    assert program["replaced"](system, timeline, there)
    # Not yet in its control file, maybe.
    assert program["own"]({**told, "data": str(pair.new.data)}) == (system, 2)


def test_who_does_not_answer_is_not_promoted(pair: Pair) -> None:
    pair.new.tool("pg_ctl", "-m", "fast", "stop")
    with pytest.raises(host.Silent) as silent:
        pair.promote(None)
    assert silent.value.kind == "closed"


def test_a_standby_that_sleeps_tells_more_than_its_last_checkpoint(pair: Pair) -> None:
    pair.old.ask("CHECKPOINT")
    pair.old.ask("INSERT INTO told SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
    replayed = "SELECT pg_last_wal_replay_lsn()"
    written = pair.old.ask("SELECT pg_current_wal_lsn()")
    ends = time.monotonic() + 20
    while host.position(pair.new.ask(replayed)) < host.position(written):
        assert time.monotonic() < ends
    pair.new.tool("pg_ctl", "-m", "fast", "stop")
    told = look.here()
    assert (told["state"], told["standby"]) == ("stopped", True)
    assert host.position(told["lsn"]) >= host.position(written)
