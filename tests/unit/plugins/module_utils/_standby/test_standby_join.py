# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server becomes a standby, whatever a run before has left, and is left as it is when that cannot work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.lock import Busy, exclusive
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, host, join

Site = t.Any
Server = t.Any


class Pair:
    """db1 is the primary; db2 is new, and what follows happens on it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.primary, self.member = site.server("db1", "shop"), site.server("db2", "new")
        self.make_slot("db2")
        self.member.follows(self.primary)
        self.cluster = site.on(self.member)

    def make_slot(self, member: str) -> None:
        self.primary.ask(f"SELECT pg_create_physical_replication_slot('rollout_{member}', true)")

    def join(self, *, again: bool = False, check: bool = False, deadline: float = 20, **upstream: t.Any) -> join.Joined:
        told = self.primary.upstream("db2", **upstream)
        return join.join(told, "kim", member="db2", again=again, check=check, deadline=deadline)

    def write(self, text: str) -> None:
        self.primary.ask(f"INSERT INTO told VALUES ('{text}')")

    def wait_for(self, text: str) -> None:
        for _turn in range(100):
            if text in self.member.ask("SELECT text FROM told").split():
                return
            time.sleep(0.1)
        raise AssertionError(f"{text} did not come")

    def beside(self) -> list[str]:
        """What lies beside the data folder of the member."""
        return sorted(path.name for path in self.member.folder.glob("main*"))

    def journal(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in Path(fence.JOURNAL).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pair(site: Site) -> Pair:
    return Pair(site)


def started(server: Server) -> str:
    return str(server.ask("SELECT pg_postmaster_start_time()"))


def test_a_new_server_becomes_a_standby_and_stays_one(pair: Pair) -> None:
    before = started(pair.member)
    assert pair.join(check=True) == join.Joined(True, "base_backup")
    assert (pair.beside(), started(pair.member)) == (["main"], before)

    assert pair.join() == join.Joined(True, "base_backup")
    pair.write("first")
    pair.wait_for("first")
    assert pair.primary.ask("SELECT active FROM pg_replication_slots") == "t"
    assert pair.beside() == ["main"]
    before = started(pair.member)
    for again in (False, True):
        assert pair.join(again=again) == join.Joined(False, "kept")
    assert started(pair.member) == before

    pair.member.tool("pg_ctl", "-m", "fast", "stop")
    assert pair.join(check=True) == join.Joined(True, "started")
    assert pair.join() == join.Joined(True, "started")


def test_what_cannot_work_is_refused_before_the_server_is_touched(pair: Pair) -> None:
    before = started(pair.member)
    with pytest.raises(BadInput, match=r"cannot reach its primary db1; nothing was changed.*\n.*\n  found: .*refused"):
        pair.join(port=1)
    pair.member.ask("CREATE TABLE theirs ()")
    for again in (False, True):
        with pytest.raises(BadInput, match="belongs to another cluster and holds something"):
            pair.join(again=again)
    assert (started(pair.member), pair.beside()) == (before, ["main"])


def test_a_database_in_a_tablespace_of_its_own_is_no_empty_server(pair: Pair) -> None:
    place = pair.member.folder / "place"
    place.mkdir()
    shutil.chown(place, "postgres", "postgres")
    pair.member.ask(f"CREATE TABLESPACE apart LOCATION '{place}'")
    pair.member.ask("CREATE DATABASE theirs TABLESPACE apart")
    with pytest.raises(BadInput, match="belongs to another cluster and holds something"):
        pair.join()


def test_a_standby_follows_no_standby_and_a_primary_is_not_made_one_unnamed(pair: Pair) -> None:
    pair.join()
    third = pair.site.server("db3", "new")
    pair.site.on(third)
    with pytest.raises(BadInput, match="db2 is a standby itself"):
        join.join(pair.member.upstream("db3"), "kim", member="db3", again=False, check=False, deadline=5)
    pair.site.on(pair.member)
    pair.member.ask("SELECT pg_promote()")
    with pytest.raises(BadInput, match="db2 was a primary itself: it may hold rows that db1 has not"):
        pair.join()
    assert pair.member.ask("SELECT pg_is_in_recovery()") == "f"


def test_a_copy_that_finds_no_room_or_no_place_touches_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    before = started(pair.member)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(2 << 20, 1 << 20, 1 << 20))
        with pytest.raises(BadInput, match=r"not enough room.*\n  expected: \d+ MB\n  found: 1 MB"):
            pair.join()
    with monkeypatch.context() as patched:
        patched.setattr(os.path, "ismount", lambda path: path == str(pair.member.data))
        with pytest.raises(BadInput, match="The data folder is a file system of its own"):
            pair.join(check=True)
    assert (started(pair.member), pair.beside()) == (before, ["main"])


def test_a_tablespace_that_would_be_copied_over_something_is_refused(pair: Pair) -> None:
    """Here both hosts are one machine, so what the primary has lies in the way of its copy."""
    place = pair.primary.folder / "place"
    place.mkdir()
    shutil.chown(place, "postgres", "postgres")
    pair.primary.ask(f"CREATE TABLESPACE apart LOCATION '{place}'")
    before = started(pair.member)
    with pytest.raises(BadInput, match=rf"A tablespace would be copied(.*\n)*.*mv {place}"):
        pair.join()
    assert (started(pair.member), pair.beside()) == (before, ["main"])


def test_a_data_folder_behind_a_link_is_replaced_where_it_is(pair: Pair) -> None:
    pair.member.tool("pg_ctl", "stop")
    elsewhere = pair.member.folder / "disk"
    elsewhere.mkdir()
    shutil.chown(elsewhere, "postgres", "postgres")
    pair.member.data.rename(elsewhere / "data")
    pair.member.data.symlink_to(elsewhere / "data")
    assert pair.join().way == "base_backup"
    assert pair.member.data.is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["data"]


# What a run that was cut off has left.


def cut_off(pair: Pair, monkeypatch: pytest.MonkeyPatch, where: tuple[t.Any, str], nth: int = 1) -> None:
    """Has a run die at the *nth* call of a function, as a kill or a power cut would end it."""
    module, name = where
    real, calls = getattr(module, name), 0

    def dies(*arguments: t.Any, **named: t.Any) -> t.Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, dies)
        with pytest.raises(KeyboardInterrupt):
            pair.join(again=pair.member.ask("SELECT count(*) FROM pg_class WHERE relname = 'told'") == "1")


@pytest.mark.parametrize(
    ("where", "nth", "left"),
    [
        ((join, "_be_standby"), 1, ["main", "main.coming"]),
        ((join, "_swap"), 1, ["main", "main.ready"]),
        # Between its two renames (the first one has made main.ready).
        ((os, "rename"), 3, ["main.before", "main.ready"]),
        ((join, "_run"), 1, ["main", "main.before"]),
        ((join, "wait_until_it_streams"), 1, ["main", "main.before"]),
    ],
)
def test_a_run_that_was_cut_off_anywhere_is_ended_by_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, where: tuple[t.Any, str], nth: int, left: list[str]
) -> None:
    cut_off(pair, monkeypatch, where, nth)
    assert pair.beside() == left
    assert pair.join(check=True).changed == (where[1] != "wait_until_it_streams")
    assert pair.beside() == left
    pair.join()
    assert pair.beside() == ["main"]
    pair.write("after_it")
    pair.wait_for("after_it")
    assert pair.join() == join.Joined(False, "kept")


def test_a_copy_of_another_cluster_that_was_left_is_not_taken(pair: Pair) -> None:
    pair.member.tool("pg_ctl", "-m", "fast", "stop")
    shutil.copytree(pair.member.data, f"{pair.member.data}.ready")
    assert pair.join(check=True) == join.Joined(True, "base_backup")
    assert pair.join() == join.Joined(True, "base_backup")
    assert pair.beside() == ["main"]


def test_what_was_left_replaces_nothing_that_somebody_has_used_since(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(pair, monkeypatch, (join, "_swap"))
    pair.member.ask("CREATE TABLE theirs ()")
    before = started(pair.member)
    with pytest.raises(BadInput, match="belongs to another cluster and holds something"):
        pair.join()
    assert started(pair.member) == before


def test_a_copy_ends_with_the_run_that_makes_it(pair: Pair) -> None:
    """The module is killed; what it started must not write on while the next run copies."""
    text = (
        "import os, subprocess, sys\n"
        "print(subprocess.Popen(sys.argv[1:]).pid, flush=True)\n"
        "os.kill(os.getpid(), 19)\n"  # as a module that waits
    )
    module = subprocess.Popen(
        [sys.executable, "-c", text, *host.as_postgres(["sleep", "600"])], stdout=subprocess.PIPE, text=True
    )
    assert module.stdout
    child = int(module.stdout.readline())
    wait_until(lambda: Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() == "sleep")
    module.send_signal(signal.SIGKILL)
    module.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def wait_until(true: t.Callable[[], bool], seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_settings_that_a_run_left_unread_are_read(pair: Pair) -> None:
    """Killed between its settings and the reload; and whoever receives from elsewhere does not pass."""
    pair.join()
    third = pair.site.server("db3", "new")
    pair.make_slot("db3")
    third.follows(pair.primary)
    pair.site.on(third)
    join.join(pair.primary.upstream("db3"), "kim", member="db3", again=False, check=False, deadline=20)
    pair.primary.tool("pg_ctl", "-m", "fast", "stop")
    pair.member.ask("SELECT pg_promote()")
    pair.member.ask("SELECT pg_create_physical_replication_slot('rollout_db3', true)")
    third.follows(pair.member)
    told = join.join(pair.member.upstream("db3"), "kim", member="db3", again=False, check=False, deadline=20)
    assert told == join.Joined(False, "kept")
    assert third.ask("SELECT sender_port FROM pg_stat_wal_receiver") == str(pair.member.port)


def test_a_standby_that_receives_from_elsewhere_is_told_with_where(pair: Pair) -> None:
    pair.join()
    pair.member.ask(f"ALTER SYSTEM SET primary_conninfo = 'host=localhost port={pair.primary.port} user=replicator'")
    pair.member.ask("SELECT pg_reload_conf()")
    wait_until(lambda: bool(pair.member.ask("SELECT FROM pg_stat_wal_receiver WHERE sender_host = 'localhost'") == ""))
    wait_until(lambda: pair.member.ask("SELECT sender_host FROM pg_stat_wal_receiver") == "localhost", 20)
    with pytest.raises(RolloutError, match=r"found: a stream from localhost.*\n.*\n.*ALTER SYSTEM RESET"):
        pair.join(deadline=2)


# Rejoin: its own data may go.


def diverge(pair: Pair) -> None:
    """db2 follows db1, db1 dies, db2 is promoted, and db1 comes back and takes a row that db2 has not: db2 leads."""
    pair.join()
    pair.write("shared")
    pair.wait_for("shared")
    pair.primary.tool("pg_ctl", "-m", "immediate", "stop")
    pair.member.ask("SELECT pg_promote()")
    pair.member.ask("SELECT pg_create_physical_replication_slot('rollout_db1', true)")
    pair.member.ask("INSERT INTO told VALUES ('new')")
    pair.primary.tool("pg_ctl", "start")
    pair.write("lost")
    (pair.primary.folder / "conf/conf.d/rollout_replication.conf").write_text("")
    pair.primary.follows(pair.member)
    pair.cluster = pair.site.on(pair.primary)


def rejoin(pair: Pair, deadline: float = 20, *, check: bool = False) -> join.Joined:
    told = pair.member.upstream("db1")
    return join.join(told, "kim", member="db1", again=True, check=check, deadline=deadline)


def test_an_old_primary_is_rewound(pair: Pair) -> None:
    diverge(pair)
    pair.member.ask("CHECKPOINT")
    assert rejoin(pair, check=True) == join.Joined(True, "rewind or base_backup")
    assert pair.primary.ask("SELECT pg_is_in_recovery()") == "f"
    assert rejoin(pair) == join.Joined(True, "rewind")
    assert pair.primary.ask("SELECT text FROM told ORDER BY text").split() == ["new", "shared"]
    assert [line["event"] for line in pair.journal()] == ["fenced", "joined", "unfenced"]
    assert rejoin(pair) == join.Joined(False, "kept")
    # The slots that it had as a primary keep nothing any more.
    assert pair.primary.ask("SELECT count(*) FROM pg_replication_slots") == "0"


def test_right_after_a_promotion_nothing_is_taken_for_rewound(pair: Pair) -> None:
    """Up to version 15, pg_rewind finds both on one timeline until the new primary has made a checkpoint."""
    pair.join()
    # What its checkpoint has to write out, and takes its time for.
    pair.primary.ask("CREATE TABLE much AS SELECT repeat('x', 500) FROM generate_series(1, 20000)")
    diverge(pair)
    assert pair.member.ask("SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    assert rejoin(pair, deadline=0.5).way == "base_backup"
    assert pair.journal()[1]["event"] == "not_rewound"
    assert pair.primary.ask("SELECT text FROM told ORDER BY text").split() == ["new", "shared"]


def test_a_rewind_that_was_cut_off_ends_in_a_copy_and_never_in_a_primary(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(pair)
    pair.member.ask("CHECKPOINT")
    with monkeypatch.context() as patched:

        def dies(_data: str) -> None:
            raise KeyboardInterrupt

        patched.setattr(join, "_be_standby", dies)
        with pytest.raises(KeyboardInterrupt):
            rejoin(pair)
    # Its data are another's by now, and nothing says that it is a standby: only the fence keeps it down.
    assert fence.is_closed(host.known())
    subprocess.run(["systemctl", "start", host.known().unit], check=False)
    assert not host.known().running
    with pytest.raises(BadInput, match="A rewind began here and did not end"):
        fence.lift(host.known(), "kim")
    assert rejoin(pair).way == "base_backup"
    assert pair.primary.ask("SELECT text FROM told ORDER BY text").split() == ["new", "shared"]
    assert sorted(path.name for path in pair.primary.folder.glob("main*")) == ["main"]


def test_a_second_run_beside_one_that_copies_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "LOCK_SECONDS", 0.1)
    with (
        fence.alone(check=False),
        pytest.raises(Busy, match=r"Another change of PostgreSQL on this host.*\n(.*\n)*.*rollout\.replication"),
        fence.alone(check=False),
    ):
        raise AssertionError
    with exclusive(fence.LOCK, 0, "x"), fence.alone(check=True):
        pass
