# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a server and the words of libpq mean."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, host, look

LISTED = """\
15 main 5433 down,binaries_missing <unknown> /srv/old /var/log/postgresql/postgresql-15-main.log
17 main 5432 online,recovery postgres /var/lib/postgresql/17/main /var/log/postgresql/postgresql-17-main.log
"""


def cluster_in(folder: Path) -> host.Cluster:
    return host.Cluster("17", "main", 5432, False, str(folder), str(folder / "log"))


def test_clusters_are_read_from_what_debian_lists() -> None:
    old, new = host.parse(LISTED)
    assert (old.running, new.running) == (False, True)
    assert (new.folder, new.unit) == ("/etc/postgresql/17/main", "postgresql@17-main.service")
    assert (old.data, old.program("psql")) == ("/srv/old", "/usr/lib/postgresql/15/bin/psql")


@pytest.mark.parametrize(("text", "number"), [("0/0", 0), ("0/3000148", 0x3000148), ("2/1", (2 << 32) + 1)])
def test_a_position_is_a_number(text: str, number: int) -> None:
    assert host.position(text) == number


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("psql: error: connection to server at 10.0.0.1, port 5432 failed: Connection refused", "closed"),
        ("connection to server on socket /run/.s.PGSQL.5432 failed: No such file or directory", "closed"),
        ("connection to server at 10.0.0.1, port 5432 failed: timeout expired", "unreachable"),
        ("connection to server at 10.0.0.1, port 5432 failed: No route to host", "unreachable"),
        ("connection to server at 10.0.0.1, port 5432 failed: Network is unreachable", "unreachable"),
        ("FATAL:  the database system is starting up", "unclear"),
        ('FATAL:  password authentication failed for user "replicator"', "unclear"),
        ("FATAL:  sorry, too many clients already", "unclear"),
        ("no reason", "unclear"),
    ],
)
def test_what_libpq_says_tells_whether_somebody_lives_there(said: str, kind: str) -> None:
    assert host.kind_of(said) == kind


@pytest.mark.parametrize(
    ("made", "holds"),
    [
        ([], False),
        (["base/1/1259", "base/5/13400", "base/5/13400_fsm", "base/5/pg_internal.init", "base/pgsql_tmp/x"], False),
        (["base/5/16384"], True),
        (["base/16385/1259"], True),
        (["base/5/1259", "pg_replslot/rollout_db2/state"], True),
        (["base/5/1259", "pg_tblspc/16400"], True),
    ],
)
def test_files_tell_whether_somebody_made_something(tmp_path: Path, made: list[str], holds: bool) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert host.holds_something(cluster_in(tmp_path)) == holds


def test_no_data_are_no_cluster_of_anybody(tmp_path: Path) -> None:
    cluster = cluster_in(tmp_path / "none")
    assert host.control(cluster) == {}
    assert not host.holds_something(cluster)
    assert not host.is_standby(cluster)
    assert look.newest_timeline(cluster) == 0
    assert host.last_words(cluster) == "no log"


def test_the_log_is_told_by_its_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "".join(f"line {number}\n" for number in range(1000)) + "not \udcff utf-8\n", "utf-8", "surrogateescape"
    )
    assert host.last_words(cluster_in(tmp_path), 2) == "line 999\n    not \ufffd utf-8"


def test_a_promotion_is_known_by_its_file_before_the_first_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "pg_wal").mkdir()
    for name in ("00000002.history", "0000000A.history", "0000000B0000000000000001", "0000000C.history.tmp"):
        (tmp_path / "pg_wal" / name).write_text("")
    assert look.newest_timeline(cluster_in(tmp_path)) == 10


def test_a_password_is_in_no_argument() -> None:
    told = host.conninfo("10.0.0.1", 5432, "replicator", "/var/lib/postgresql/rollout.pgpass")
    assert "passfile=/var/lib/postgresql/rollout.pgpass" in told
    assert "password" not in told


def test_who_has_no_file_with_the_password_is_not_asked(tmp_path: Path) -> None:
    told = look.member("10.0.0.1", 5432, "replicator", str(tmp_path / "none"))
    assert told == {"state": "unclear", "reason": "no password to ask with yet"}


# With real servers.


@dataclasses.dataclass
class Here:
    """A server, and its host."""

    server: t.Any
    cluster: host.Cluster


@pytest.fixture
def shop(site: t.Any) -> Here:
    server = site.server("db1", "shop")
    return Here(server, site.on(server))


def test_a_server_that_hangs_is_unclear_and_not_unknown(shop: Here) -> None:
    with pytest.raises(host.Silent) as silent:
        host.ask(shop.cluster, "SELECT to_json(pg_sleep(30))", deadline=0.5)
    assert (silent.value.kind, "did not end in time" in str(silent.value)) == ("unclear", True)
    postmaster = int((shop.server.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        # It takes the connection, and no more.
        assert look.here()["state"] == "unclear"
        assert look.member("127.0.0.1", shop.server.port, "replicator", str(shop.server.folder / "pass"))["state"] == (
            "unreachable"
        )
    finally:
        os.kill(postmaster, signal.SIGCONT)


def test_a_host_tells_what_it_is(site: t.Any, shop: Here) -> None:
    told = look.here()
    assert (told["state"], told["standby"], told["timeline"], told["holds_something"]) == ("primary", False, 1, True)
    new = site.server("db2", "new")
    site.on(new)
    told = look.here()
    assert (told["state"], told["holds_something"], told["senders"], told["slots"]) == ("new", False, [], [])
    new.tool("pg_ctl", "stop")
    assert look.here()["state"] == "new"
    site.on(shop.server)
    shop.server.tool("pg_ctl", "-m", "fast", "stop")
    told = look.here()
    assert (told["state"], told["ended_well"]) == ("stopped", True)
    shop.server.tool("pg_ctl", "start")
    shop.server.tool("pg_ctl", "-m", "immediate", "stop")
    assert (look.here()["state"], look.here()["ended_well"]) == ("stopped", False)


def test_a_copy_tells_how_far_it_is(shop: Here) -> None:
    target = f"host=127.0.0.1 port={shop.server.port} user=replicator application_name=db2"
    slow = ["pg_basebackup", f"--dbname={target}", "--pgdata=-", "--format=tar", "--wal-method=none", "--max-rate=1M"]
    copying = subprocess.Popen(slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 20
        while not (senders := [one for one in look.here()["senders"] if (one["copied_bytes"] or 0) > 0]):
            assert time.monotonic() < ends
    finally:
        copying.kill()
        copying.wait()
    assert (senders[0]["name"], senders[0]["state"]) == ("db2", "backup")
    assert senders[0]["copied_bytes"] <= senders[0]["copy_bytes"] < 1 << 30


def test_data_that_were_promoted_before_they_died_are_not_new(site: t.Any) -> None:
    new = site.server("db2", "new")
    site.on(new)
    new.tool("pg_ctl", "-m", "immediate", "stop")
    (new.data / "pg_wal/00000002.history").write_text("1\t0/1\tno reason\n")
    told = look.here()
    assert (told["state"], told["timeline"]) == ("stopped", 2)


def test_a_fence_keeps_a_server_down_until_it_is_lifted(shop: Here) -> None:
    fence.close(shop.cluster, "kim", "db2 becomes the primary", "db2")
    assert look.here()["state"] == "fenced"
    assert host.control(shop.cluster)["Database cluster state"] == "shut down"
    told = fence.read() or {}
    assert (told["by"], told["for"], told["reason"]) == ("kim", "db2", "db2 becomes the primary")
    with pytest.raises(RolloutError, match=r"was started and does not run.*\n(.*\n)*  next: correct"):
        host.start(shop.cluster)
    # Whoever fences it again does not change who did it first, and why.
    fence.close(host.known(), "lee", "again", "db3")
    assert fence.read() == told

    fence.lift(host.known(), "kim")
    assert (fence.read(), look.here()["state"]) == (None, "stopped")
    host.start(host.known())
    assert look.here()["state"] == "primary"


@pytest.mark.parametrize("step", ["_set_start_mode", "stop"])
def test_a_fence_that_was_cut_in_half_is_none(shop: Here, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def dies(*_arguments: t.Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fence if step == "_set_start_mode" else host, step, dies)
        with pytest.raises(KeyboardInterrupt):
            fence.close(shop.cluster, "kim", "db2 becomes the primary", "db2")
    assert look.here()["state"] == "primary"
    fence.close(host.known(), "kim", "db2 becomes the primary", "db2")
    assert look.here()["state"] == "fenced"


def test_a_lift_that_was_cut_off_is_told_as_what_it_is(shop: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    fence.close(shop.cluster, "kim", "db2 becomes the primary", "db2")
    with monkeypatch.context() as patched:
        patched.setattr(fence.durable, "remove", lambda _path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fence.lift(host.known(), "kim")
    told = look.here()
    assert (told["state"], bool(told["fence"])) == ("stopped", True)
    fence.lift(host.known(), "kim")
    assert fence.read() is None


def test_a_stop_that_stops_nothing_is_told(shop: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Started by hand, and its file of process ids is gone: neither its unit nor Debian's tool knows it."""
    for name in ("pg_ctlcluster", "systemctl"):
        tool = tmp_path / "idle" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'idle'}:{os.environ['PATH']}")
    with pytest.raises(RolloutError, match="was stopped and still runs"):
        fence.close(shop.cluster, "kim", "db2 becomes the primary", "db2")
    events = Path(fence.JOURNAL).read_text() if Path(fence.JOURNAL).exists() else ""
    assert "fenced" not in events


def test_a_server_that_does_not_end_is_stopped_hard(
    shop: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "slow" / "pg_ctlcluster"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    begun = time.monotonic()
    host.stop(shop.cluster, seconds=1)
    assert time.monotonic() - begun < 20
    assert host.control(shop.cluster)["Database cluster state"] == "in production"
    shutil.rmtree(slow.parent)


def test_more_than_one_cluster_is_refused(site: t.Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "two" / "pg_lsclusters"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    with pytest.raises(BadInput, match=r"more than one cluster.*\n.*\n  found: 15/main, 17/main"):
        host.find()
