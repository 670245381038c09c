# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary and its standby, on both Debians side by side: what keeps them together, and that there is one primary.

The tests build on each other, in the order of this file.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ... import marked_secrets

PAIRS = (("data1", "data2"), ("data4", "data5"))
PROVISION = "../molecule/data_services/standby_provision"
#: From here on the servers are members of clusters.
MEMBERS = Path(__file__).parent / "members.yml"
PASSFILE = "/var/lib/postgresql/rollout.pgpass"


class Pair:
    """The primary and the standby of one Debian, as they are at the begin of a test."""

    def __init__(self, lab: t.Any, names: t.Iterable[str]) -> None:
        self.lab = lab
        asked = as_postgres("psql -Atc 'SELECT pg_is_in_recovery()'")
        primaries = {name: lab.connect(name).run(asked).stdout.strip() == "f" for name in names}
        assert sorted(primaries.values()) == [False, True], primaries
        self.standby, self.primary = sorted(names, key=lambda name: primaries[name])

    def play(self, verb: str, *arguments: str, only: str = "") -> t.Any:
        """Runs a playbook for these two hosts, or for one."""
        only = only or f"{self.primary},{self.standby}"
        return self.lab.play(verb, "--limit", only, *arguments, inventories=[MEMBERS])

    def write(self, text: str) -> None:
        """Writes a row on the primary."""
        query(self.lab, self.primary, f"INSERT INTO told VALUES ('{text}')", "clinic")

    def rows(self, name: str) -> list[str]:
        """Returns all rows as a host has them."""
        return query(self.lab, name, "SELECT text FROM told ORDER BY text", "clinic").split()

    def wait_for(self, name: str, row: str) -> None:
        """Waits until a host has a row."""
        command = as_postgres("psql -Atc 'SELECT text FROM told' clinic")
        self.lab.wait_for(name, command, row, seconds=30)


def as_postgres(command: str) -> str:
    return f"cd /tmp && runuser -u postgres -- {command}"


def query(lab: t.Any, name: str, statement: str, database: str = "postgres") -> str:
    return str(lab.connect(name).check_output(as_postgres("psql -v ON_ERROR_STOP=1 -qAtc %s %s"), statement, database))


def journal(lab: t.Any, name: str) -> list[dict[str, t.Any]]:
    lines = lab.connect(name).check_output("cat /var/lib/rollout/postgres/journal.ndjson").splitlines()
    return [json.loads(line) for line in lines]


def started(lab: t.Any, name: str) -> str:
    return query(lab, name, "SELECT pg_postmaster_start_time()")


def side_by_side(lab: t.Any, test: t.Callable[[Pair], None]) -> None:
    """Runs *test* for both Debians at the same time: nearly all of it is waiting."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(test, both(lab)))


def both(lab: t.Any) -> list[Pair]:
    return [Pair(lab, names) for names in PAIRS]


@pytest.fixture(scope="module", autouse=True)
def client(lab: t.Any) -> None:
    """What logs in as the application does, once for both pairs."""
    lab.connect("client1").check_output("command -v psql || apt-get install -qy postgresql-client")


def test_members_come_together_and_no_secret_shows(lab: t.Any) -> None:
    password = lab.hosts["vars"]["lab_postgres_password"]
    marks = {
        "password": password,
        "password of replication": hashlib.sha256(f"{password}replication".encode()).hexdigest(),
        # Whoever has a verifier may guess at the password.
        "verifier": "SCRAM-SHA-256$4096:",
    }
    hosts = [name for names in PAIRS for name in names]
    begun = {primary: started(lab, primary) for primary, _standby in PAIRS}
    planned = lab.play(PROVISION, "--check", "--diff", inventories=[MEMBERS])
    assert planned.code == 0
    assert planned.output.count("restarts: wal_log_hints") == len(begun)
    assert {primary: started(lab, primary) for primary in begun} == begun
    with marked_secrets.sampled(lab, hosts) as arguments:
        played = lab.play(PROVISION, "-vvvvv", "--diff", inventories=[MEMBERS])
    assert played.code == 0
    assert "postgres_standby" in played.output, "the run was not as talkative as it should be"
    assert marked_secrets.in_text(played.output, marks) == []
    assert marked_secrets.in_command_lines(arguments, marks) == []

    def look(name: str) -> None:
        assert marked_secrets.in_logs(lab, name, marks) == []
        assert marked_secrets.in_facts(lab, name, marks) == []
        assert marked_secrets.readable(lab, name, marks) == []

    with ThreadPoolExecutor() as pool:
        list(pool.map(look, hosts))


def test_rows_reach_a_standby_that_takes_none_itself(lab: t.Any) -> None:
    for pair in both(lab):
        query(lab, pair.primary, "SET ROLE clinic; CREATE TABLE IF NOT EXISTS told (text text)", "clinic")
        pair.write("first")
        pair.wait_for(pair.standby, "first")
        refused = lab.connect(pair.standby).run(as_postgres('psql -c "DELETE FROM told" clinic'))
        assert "read-only transaction" in refused.stderr
        slot = f"rollout_{pair.standby}"
        assert query(lab, pair.primary, f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'") == "t"
        assert query(lab, pair.standby, "SELECT slot_name FROM pg_stat_wal_receiver") == slot
        assert query(lab, pair.primary, "SHOW max_slot_wal_keep_size") == "64MB"


def test_the_password_is_in_one_file_alone(lab: t.Any) -> None:
    for pair in both(lab):
        for name in (pair.primary, pair.standby):
            host = lab.connect(name)
            file = host.file(PASSFILE)
            assert (file.user, file.mode) == ("postgres", 0o600)
            password = file.content_string.strip().rpartition(":")[2]
            assert len(password) >= 12
            assert password not in query(lab, name, "SHOW primary_conninfo")
            found = host.run(
                "grep -rlF %s /etc /run /tmp /var/lib /var/log /root --exclude-dir=pgdata 2>/dev/null", password
            )
            assert found.stdout.split() == [PASSFILE]
            assert password not in host.check_output("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '")


def test_a_second_run_changes_nothing(lab: t.Any) -> None:
    before = {name: started(lab, name) for names in PAIRS for name in names}
    played = lab.play(PROVISION, "--diff", inventories=[MEMBERS])
    assert played.code == 0
    assert played.output.count("changed=0 ") == len(before)
    assert {name: started(lab, name) for name in before} == before


def test_a_slot_that_nobody_uses_is_told_and_cannot_fill_the_disk(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        lab.connect(pair.standby).check_output("systemctl stop 'postgresql@*'")
        fill(lab, pair.primary, megabytes=32)
        told = pair.play("replication").output
        assert f"slot rollout_{pair.standby}: NOBODY USES IT, keeps " in told
        assert f"{pair.standby}: asleep" in told
        fill(lab, pair.primary, megabytes=160)
        # Segments with a higher name are empty ones, kept for later.
        behind = "SELECT count(*) FROM pg_ls_waldir() WHERE name < pg_walfile_name(pg_current_wal_lsn())"
        assert int(query(lab, pair.primary, behind)) * 16 <= 64 + 32
        assert f"slot rollout_{pair.standby}: lost" in pair.play("replication").output

    side_by_side(lab, check)


def fill(lab: t.Any, name: str, megabytes: int) -> None:
    """Writes that much WAL, and has what nobody needs removed."""
    message = "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20)))"
    query(lab, name, f"{message} FROM generate_series(1, {megabytes})")
    query(lab, name, "SELECT pg_switch_wal()")
    query(lab, name, "CHECKPOINT")


def test_a_standby_that_was_away_too_long_is_copied_anew_even_when_the_copy_is_killed(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        played = pair.play(PROVISION, "-e", "postgres_standby_deadline=3")
        assert played.code != 0
        assert f"The standby {pair.standby} does not receive from {pair.primary}" in played.output
        assert f"-e postgres_rejoin={pair.standby}" in played.output
        # As soon as the copy begins it is killed, and the module that waits for it.
        host = lab.connect(pair.standby)
        host.check_output("systemd-run --unit=killer --collect bash -c %s", KILLER)
        assert pair.play("rejoin", "-e", f"postgres_rejoin={pair.standby}").code != 0
        assert host.run("systemctl is-active 'postgresql@*-main'").stdout.strip() != "active"
        host.check_output("ls -d /var/lib/postgresql/*/main.coming")

        assert pair.play("rejoin", "-e", f"postgres_rejoin={pair.standby}").code == 0
        assert journal(lab, pair.standby)[-2]["way"] == "base_backup"
        assert host.check_output("ls /var/lib/postgresql/*/") == "main"
        pair.write("after_the_copy")
        pair.wait_for(pair.standby, "after_the_copy")

    side_by_side(lab, check)


KILLER = """
until ls -d /var/lib/postgresql/*/main.coming/base && pids=$(pgrep -x pg_basebackup); do sleep 0.02; done
kill -KILL $(ps -o ppid= -p ${pids%% *}) $pids
"""


def test_somebody_elses_database_is_never_replaced(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        host = lab.connect(pair.standby)
        version = host.check_output("pg_lsclusters -h | cut -d' ' -f1")
        new = f"pg_dropcluster --stop {version} main && pg_createcluster {version} main --start"
        host.check_output(new)
        query(lab, pair.standby, "CREATE DATABASE theirs")
        before = started(lab, pair.standby)
        played = pair.play(PROVISION)
        assert played.code != 0
        assert f"The data folder of {pair.standby} belongs to another cluster: system identifier" in " ".join(
            played.output.split()
        )
        assert "pg_createcluster" in played.output
        assert started(lab, pair.standby) == before
        assert query(lab, pair.standby, "SELECT count(*) FROM pg_database WHERE datname = 'theirs'") == "1"

        # With nothing of its own in it, it may become a standby; but not while it cannot reach its primary.
        host.check_output(new)
        before = started(lab, pair.standby)
        lab.verb("cut", pair.primary, "--from", pair.standby)
        played = pair.play(PROVISION)
        lab.verb("heal", pair.primary)
        assert played.code != 0
        assert f"{pair.standby} cannot reach its primary {pair.primary} over the network" in " ".join(
            played.output.split()
        )
        assert started(lab, pair.standby) == before
        assert pair.play(PROVISION).code == 0
        pair.wait_for(pair.standby, "after_the_copy")

    side_by_side(lab, check)


def test_a_dead_primary_is_replaced_only_when_somebody_says_that_it_is_dead(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        pair.write("before_the_power_went")
        pair.wait_for(pair.standby, "before_the_power_went")
        lab.verb("kill", pair.primary, "--host")
        promote = ("promote", "-e", f"postgres_promote={pair.standby}")
        played = pair.play(*promote)
        assert played.code != 0
        assert f"{pair.standby} was not promoted: {pair.primary} does not answer" in " ".join(played.output.split())
        assert query(lab, pair.standby, "SELECT pg_is_in_recovery()") == "t"

        given_up = ("-e", f"postgres_given_up={pair.primary}", "-e", "postgres_reason='its power is off'")
        played = pair.play(*promote, *given_up)
        assert "The last transaction that came was committed at 20" in " ".join(played.output.split())
        assert query(lab, pair.standby, "SELECT pg_is_in_recovery()") == "f"
        told = journal(lab, pair.standby)[-1]
        assert (told["event"], told["reason"]) == ("promoted", "its power is off")
        # The application goes on.
        log_in(lab, pair.standby, "INSERT INTO told VALUES ('after_the_promotion')")
        assert {"before_the_power_went", "after_the_promotion"} <= set(pair.rows(pair.standby))

        played = pair.play(PROVISION, only=pair.standby)
        assert played.code == 0
        assert "changed=0 " in played.output
        if (pair.primary, pair.standby) in PAIRS:
            assert f"write postgres_primary: {pair.standby}" in " ".join(played.output.split())

    side_by_side(lab, check)


def log_in(lab: t.Any, name: str, statement: str) -> str:
    """Asks as the application does, from another host."""
    client = lab.connect("client1")
    password = lab.hosts["vars"]["lab_postgres_password"]
    target = f"host={lab.address(name)} user=clinic dbname=clinic"
    command = f"umask 077; echo '*:*:*:*:{password}' > /root/.pgpass; psql -v ON_ERROR_STOP=1 -qAt %s -c %s"
    return str(client.check_output(command, target, statement))


def test_the_old_primary_comes_back_as_a_standby_and_only_when_it_is_named(lab: t.Any) -> None:
    def check(names: tuple[str, str]) -> None:
        old = next(name for name in names if not alive(lab, name))
        lab.verb("start", old)
        pair = Pair(lab, names)
        assert pair.standby == old
        host = lab.connect(old)
        lab.wait_for(
            old, "journalctl -u 'postgresql@*'", f"{pair.primary} was promoted while this host was away", seconds=30
        )
        played = pair.play(PROVISION)
        assert played.code == 0
        assert f"{old} is stopped and is left as it is" in " ".join(played.output.split())

        # Somebody starts it by hand, past the unit: two primaries, and one has a row that the other has not.
        cluster = host.check_output("pg_lsclusters -h | cut -d' ' -f1,2")
        host.check_output(f"pg_ctlcluster --skip-systemctl-redirect {cluster} start")
        query(lab, old, "INSERT INTO told VALUES ('lost')", "clinic")
        played = pair.play(PROVISION)
        assert played.code != 0
        said = " ".join(played.output.split())
        assert "both say that they are the primary" in said
        assert f"if users shall have {pair.primary}, " in said
        assert f"postgres_rejoin={old}" in said

        assert pair.play("rejoin", "-e", f"postgres_rejoin={old}").code == 0
        assert [one["way"] for one in journal(lab, old) if one["event"] == "joined"][-1] == "rewind"
        pair.write("after_the_rewind")
        pair.wait_for(old, "after_the_rewind")
        assert "lost" not in pair.rows(old)

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, PAIRS))


def alive(lab: t.Any, name: str) -> bool:
    return any(line.split()[:1] == [name] and " running " in line for line in lab.verb("status").splitlines())


def test_a_planned_switch_loses_nothing(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        pair.write("right_before_the_switch")
        played = pair.play("promote", "-e", f"postgres_promote={pair.standby}")
        assert played.code == 0
        assert "Nothing is lost" in played.output
        assert "right_before_the_switch" in pair.rows(pair.standby)
        old = lab.connect(pair.primary)
        assert (
            "masked"
            in old.run(
                "systemctl is-enabled 'postgresql@*-main' 2>&1; systemctl list-unit-files | grep postgresql@"
            ).stdout
        )
        cluster = old.check_output("pg_lsclusters -h | cut -d' ' -f1,2")
        assert "disabled" in old.run(f"pg_ctlcluster {cluster} start").stderr.lower()
        assert pair.play("rejoin", "-e", f"postgres_rejoin={pair.primary}").code == 0
        again = pair.play("promote", "-e", f"postgres_promote={pair.standby}")
        assert again.code == 0
        assert again.output.count("changed=0 ") == 2

    side_by_side(lab, check)


def test_an_update_goes_through_the_standby_first(lab: t.Any) -> None:
    def check(pair: Pair) -> None:
        for name in (pair.standby, pair.primary):
            make_older(lab, name)
        played = pair.play("update")
        assert played.code == 0
        assert started(lab, pair.standby) < started(lab, pair.primary)
        for name in (pair.primary, pair.standby):
            assert (
                "upgradable"
                not in lab.connect(name).run("apt list --upgradable 2>/dev/null | grep '^postgresql-1'").stdout
            )
        pair.write("after_the_update")
        pair.wait_for(pair.standby, "after_the_update")
        again = pair.play("update")
        assert again.code == 0
        assert again.output.count("changed=0 ") == 2

    side_by_side(lab, check)


OLDER = """
set -e
package=$(dpkg-query -Wf '${Package}\\n' 'postgresql-1[0-9]')
older=$(apt-cache madison $package | awk '{print $3}' | sort -V | head -1)
now=$(dpkg-query -Wf '${Version}' $package)
if [ "$older" != "$now" ]; then
  apt-get install -qy --allow-downgrades $package=$older
else
  cd /tmp && rm -rf older && apt-get download -q $package && dpkg-deb -R ${package}_*.deb older
  sed -i "s/^Version: .*/Version: ${now%%-*}-0~older/" older/DEBIAN/control
  dpkg-deb -Zgzip -z1 -b older older.deb && dpkg -i --force-downgrade older.deb
fi
"""


def make_older(lab: t.Any, name: str) -> None:
    """Installs the older version that the mirror has, or the same one under an older number."""
    lab.connect(name).check_output("bash -c %s", OLDER)
