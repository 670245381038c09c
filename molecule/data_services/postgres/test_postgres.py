# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL on each Debian: what a server is made of, what may change while people use it, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ... import marked_secrets
from .. import gates

SERVERS = {"data1": "17", "data4": "15"}
CONVERGE = "../molecule/data_services/postgres_converge"
#: The part of the role that settings and access rules take: what it refuses, it refuses in seconds.
APPLICATION = Path(__file__).parent / "application.yml"
SETTINGS = "../molecule/data_services/postgres_settings"
CHANGED = re.compile(r"^(\w+) +: ok=\d+ +changed=(\d+)", re.MULTILINE)


def sql(lab: t.Any, name: str, statement: str, database: str = "postgres") -> str:
    """Returns the answer, asked as the superuser over the socket."""
    return str(lab.connect(name).check_output("runuser -u postgres -- psql -XAtq -d %s -c %s", database, statement))


def changed(output: str) -> dict[str, int]:
    return {name: int(count) for name, count in CHANGED.findall(output)}


def converge(
    lab: t.Any, *arguments: str, hosts: str = "data1:data4", play: str = CONVERGE, **variables: t.Any
) -> t.Any:
    return lab.play(play, "--limit", hosts, "-e", json.dumps(variables), *arguments)


def settings(lab: t.Any, *arguments: str, hosts: str = "data1:data4", **variables: t.Any) -> t.Any:
    return converge(lab, *arguments, hosts=hosts, play=SETTINGS, **variables)


def alive(lab: t.Any, name: str) -> list[str]:
    """Returns what a refused run must not change: files, the running server, and what it has read."""
    settings = "/etc/postgresql/*/main/conf.d/rollout.conf /etc/postgresql/*/main/pg_hba.conf"
    files = f"sha256sum {settings} /etc/postgresql-common/certificates/*.*"
    asked = "SELECT pg_postmaster_start_time(), pg_conf_load_time()"
    return [lab.connect(name).check_output(files), sql(lab, name, asked)]


@pytest.fixture
def nothing_changes(lab: t.Any) -> t.Iterator[None]:
    before = {name: alive(lab, name) for name in SERVERS}
    yield
    assert {name: alive(lab, name) for name in SERVERS} == before


def login(
    lab: t.Any, name: str, user: str, statement: str, mode: str = "require", database: str = "clinic", trust: str = ""
) -> t.Any:
    """Logs in from client1, as an application does; the password travels on standard input. *trust* names a file."""
    code = (
        "import sys, psycopg2; host, user, mode, database, trust, asked = sys.argv[1:]; c = psycopg2.connect("
        "host=host, dbname=database, user=user, sslmode=mode, sslrootcert=trust, password=sys.stdin.read()).cursor(); "
        "c.execute(asked); print(c.fetchone()[0])"
    )
    secret = lab.hosts["vars"]["lab_redis_password" if name == "managed1" else "lab_postgres_password"]
    where = (lab.address(name), user, mode, database, trust, statement)
    return lab.connect("client1").run("printf %%s %s | python3 -c %s" + " %s" * len(where), secret, code, *where)


@pytest.mark.parametrize(("name", "version"), SERVERS.items())
def test_a_new_cluster_has_the_version_of_its_debian_checksums_and_scram(lab: t.Any, name: str, version: str) -> None:
    assert sql(lab, name, "SHOW server_version").startswith(version)
    assert sql(lab, name, "SHOW data_checksums") == "on"
    assert (
        sql(lab, name, "SELECT DISTINCT left(rolpassword, 14) FROM pg_authid WHERE rolpassword <> ''")
        == "SCRAM-SHA-256$"
    )
    assert (
        sql(lab, name, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL OR auth_method = 'trust'") == "0"
    )


@pytest.mark.parametrize("name", SERVERS)
def test_settings_follow_from_the_memory_that_was_given(lab: t.Any, name: str) -> None:
    assert sql(lab, name, "SHOW shared_buffers") == "192MB"
    assert sql(lab, name, "SHOW effective_cache_size") == "576MB"
    assert sql(lab, name, "SHOW log_min_duration_statement") == "1s"
    assert "rollout.conf" in sql(lab, name, "SELECT sourcefile FROM pg_settings WHERE name = 'work_mem'")


@pytest.mark.parametrize("name", SERVERS)
def test_from_outside_only_tls_gets_in(lab: t.Any, name: str) -> None:
    asked = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert login(lab, name, "clinic", asked).stdout.strip() == "TLSv1.3"
    refused = login(lab, name, "clinic", "SELECT 1", mode="disable")
    assert refused.rc != 0 and "no encryption" in refused.stderr
    key = lab.connect(name).file("/etc/postgresql-common/certificates/server.key")
    assert (key.mode & 0o137, key.group) == (0, "postgres")


@pytest.mark.parametrize("name", SERVERS)
def test_a_reader_reads_what_is_there_and_what_will_be_and_writes_nothing(lab: t.Any, name: str) -> None:
    sql(lab, name, "SET ROLE clinic; DROP TABLE IF EXISTS later; CREATE TABLE later AS SELECT 7 AS n", "clinic")
    assert login(lab, name, "reporter", "SELECT n FROM later").stdout.strip() == "7"
    refused = login(lab, name, "reporter", "INSERT INTO later VALUES (8) RETURNING n")
    assert "permission denied for table later" in refused.stderr
    assert "no pg_hba.conf entry" in login(lab, name, "archiver", "SELECT 1").stderr or login(
        lab, name, "archiver", "SELECT 1"
    ).stderr.count("pg_hba.conf rejects")
    assert sql(lab, name, "SELECT rolreplication FROM pg_roles WHERE rolname = 'archiver'") == "t"


@pytest.mark.parametrize("name", SERVERS)
def test_privileges_that_are_given_one_by_one_are_there(lab: t.Any, name: str) -> None:
    sql(lab, name, "SET ROLE clinic; DROP SEQUENCE IF EXISTS numbers; CREATE SEQUENCE numbers", "clinic")
    assert login(lab, name, "reporter", "SELECT last_value FROM numbers").stdout.strip() == "1"
    assert "permission denied" in login(lab, name, "reporter", "SELECT nextval('numbers')").stderr
    assert sql(lab, name, "SELECT pg_has_role('archiver', 'pg_monitor', 'MEMBER')") == "t"


def test_extensions_are_there_and_work(lab: t.Any) -> None:
    for name in SERVERS:
        assert int(sql(lab, name, "SELECT count(*) FROM pg_stat_statements", "clinic")) > 0
    assert sql(lab, "data1", "SELECT '[1,2]'::vector <-> '[1,3]'::vector", "clinic") == "1"


@pytest.mark.parametrize("name", SERVERS)
def test_the_unit_is_hardened_and_the_log_is_rotated(lab: t.Any, name: str) -> None:
    host = lab.connect(name)
    unit = f"postgresql@{SERVERS[name]}-main.service"
    exposure = re.search(
        r"Overall exposure level .*: ([0-9.]+)", host.run(f"systemd-analyze security --no-pager {unit}").stdout
    )
    assert exposure and float(exposure[1]) < 4
    assert host.check_output(f"grep NoNewPrivs /proc/$(systemctl show -P MainPID {unit})/status").split()[1] == "1"
    host.check_output("logrotate --force /etc/logrotate.d/postgresql-common")
    assert host.check_output("ls /var/log/postgresql | grep -c -- -20").strip() != "0"
    assert host.check_output("systemctl is-enabled logrotate.timer") == "enabled"


def test_an_index_that_an_interrupted_run_left_is_made_anew_and_must_be_used(lab: t.Any) -> None:
    for name in SERVERS:
        made = (
            "SET ROLE clinic; DROP TABLE IF EXISTS visits; CREATE TABLE visits AS SELECT n AS id, n % 1000 AS patient "
            "FROM generate_series(1, 20000) AS n; CREATE INDEX visits_by_patient ON visits (patient); ANALYZE visits"
        )
        sql(lab, name, made, "clinic")
        sql(
            lab,
            name,
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'visits_by_patient'::regclass",
            "clinic",
        )
    before = {name: sql(lab, name, "SELECT 'visits_by_patient'::regclass::oid", "clinic") for name in SERVERS}
    assert converge(lab).code == 0
    for name in SERVERS:
        assert sql(lab, name, "SELECT 'visits_by_patient'::regclass::oid", "clinic") != before[name]
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'visits_by_patient'::regclass"
        assert sql(lab, name, valid, "clinic") == "t"
    check = ("indexes", "--limit", "data1:data4")
    told = lab.play(*check)
    assert told.code != 0 and "visits_by_patient of database clinic was never used" in told.output
    for name in SERVERS:
        sql(lab, name, "SELECT count(*) FROM visits WHERE patient = 7; SELECT pg_sleep(1)", "clinic")
        lab.wait_for(
            name,
            "runuser -u postgres -- psql -Atd clinic -c 'SELECT idx_scan FROM pg_stat_user_indexes'",
            "1",
            seconds=10,
        )
    assert lab.play(*check).code == 0


def test_settings_change_under_load_with_a_reload_and_no_query_fails(lab: t.Any) -> None:
    host = lab.connect("data1")
    bench = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pgbench"
    host.check_output(f"{bench} -iq -s 1 postgres")
    started = sql(lab, "data1", "SELECT pg_postmaster_start_time()")
    # Two sessions that stay, and with -C one that logs in anew for every transaction: each must find the server.
    host.check_output(
        f"systemd-run --unit=bench --property=Type=exec {bench} -n -c 2 -T 40 postgres && "
        f"systemd-run --unit=bench-new --property=Type=exec {bench} -n -S -C -c 1 -T 40 postgres"
    )
    began = time.monotonic()
    played = settings(lab, hosts="data1", postgres_settings={"work_mem": "9MB"})
    wall = time.monotonic() - began
    assert played.code == 0
    host.check_output("systemctl is-active bench bench-new")  # else nobody was there to notice
    assert sql(lab, "data1", "SHOW work_mem") == "9MB"
    assert sql(lab, "data1", "SELECT pg_postmaster_start_time()") == started
    for unit in ("bench", "bench-new"):
        lab.wait_for(
            "data1", f"journalctl -u {unit} -o cat", "number of failed transactions: 0 (0.000%)", "tps =", seconds=60
        )
        assert "aborted" not in host.check_output(f"journalctl -u {unit} -o cat")
    print(f"settings change with a reload: {wall:.1f} s wall")
    assert settings(lab, hosts="data1").code == 0


def test_a_restart_waits_when_it_may_not_be_and_the_plan_names_what_for(lab: t.Any) -> None:
    started = {name: sql(lab, name, "SELECT pg_postmaster_start_time()") for name in SERVERS}
    wanted: dict[str, t.Any] = {"postgres_max_connections": 120}
    planned = settings(lab, "--check", "--diff", **wanted)
    assert planned.code == 0
    assert "restarts: max_connections" in planned.output
    held = settings(lab, **wanted, postgres_restart="never")
    assert held.code == 0
    assert "wait for a restart of PostgreSQL on data4: max_connections" in held.output
    for name in SERVERS:
        assert sql(lab, name, "SHOW max_connections") == "100"
        assert sql(lab, name, "SELECT pg_postmaster_start_time()") == started[name]
    assert settings(lab, **wanted).code == 0
    for name in SERVERS:
        assert sql(lab, name, "SHOW max_connections") == "120"
    assert settings(lab).code == 0
    assert {sql(lab, name, "SHOW max_connections") for name in SERVERS} == {"100"}


def rule(method: str, **changes: t.Any) -> dict[str, t.Any]:
    return {"type": "host", "databases": ["all"], "users": ["all"], "networks": ["all"], "method": method, **changes}


REFUSED = {
    "settings that are no settings": (
        {"data1": {"random_page_cost": "banana"}, "data4": {"no_such_setting": 1}},
        ("banana", "unrecognized configuration parameter", "nothing has changed"),
    ),
    "settings that a server would not start with": (
        {
            "data1": {"wal_level": "minimal", "max_wal_senders": 10},
            "data4": {"shared_preload_libraries": "no_such_library"},
        },
        ('WAL streaming ("max_wal_senders" > 0)', "no_such_library", "would not start with these settings"),
    ),
}


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(("by_host", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_settings_are_refused_before_the_server_is_touched(
    lab: t.Any, by_host: dict[str, t.Any], message: tuple[str, ...]
) -> None:
    played = settings(lab, bad=by_host, postgres_settings="{{ bad[inventory_hostname] }}")
    assert played.code != 0
    for part in message:
        assert part in played.output


@pytest.mark.usefixtures("nothing_changes")
def test_lock_outs_and_too_little_memory_are_refused_together(lab: t.Any) -> None:
    everybody = {"database": "clinic", "roles": ["PUBLIC"], "objects": "visits", "privileges": "SELECT"}
    played = settings(
        lab,
        postgres_access_rules=[rule("reject")],
        postgres_shared_buffers="900GB",
        postgres_privileges=[everybody],
    )
    assert played.code != 0
    for part in (
        "rule 1 would lock clinic out of clinic",
        "There is not enough memory",
        "921600 MB for shared_buffers",
        "postgres_privileges, number 1: PUBLIC is everybody",
    ):
        assert part in played.output


@pytest.mark.usefixtures("nothing_changes")
def test_an_access_rule_that_postgresql_does_not_understand_is_refused(lab: t.Any) -> None:
    """For nobody that the role knows: else it would be a lock-out, which is refused before."""
    played = settings(lab, postgres_access_rules=[rule("peer", networks=["10.0.0.0/8"], users=["somebody"])])
    assert played.code != 0
    assert "peer authentication is only supported on local sockets" in played.output
    assert "the server was not touched" in played.output


def test_rules_that_would_lock_out_who_is_connected_are_refused_unless_it_is_wanted(lab: t.Any) -> None:
    here = lab.address("client1")
    code = (
        "import psycopg2, sys, time; host, secret = sys.stdin.read().split(); c = psycopg2.connect(host=host, "
        "dbname='clinic', user='reporter', sslmode='require', password=secret); time.sleep(300)"
    )
    secret = lab.hosts["vars"]["lab_postgres_password"]
    client = lab.connect("client1")
    client.check_output(
        "printf '%%s %%s' %s %s > /run/login; chmod 600 /run/login; systemd-run --unit=reporter --collect "
        "--property=StandardInput=file:/run/login python3 -c %s",
        lab.address("data1"),
        secret,
        code,
    )
    try:
        asked = "runuser -u postgres -- psql -Atc \"SELECT usename FROM pg_stat_activity WHERE datname = 'clinic'\""
        lab.wait_for("data1", asked, "reporter", seconds=20)
        before = alive(lab, "data1")
        rules = {"postgres_access_rules": [rule("reject", users=["reporter"], networks=[f"{here}/32"])]}
        refused = settings(lab, hosts="data1", **rules)
        assert refused.code != 0
        said = " ".join(refused.output.split())
        assert f'reporter from {here} in clinic: host all "reporter" {here}/32 reject' in said
        assert "the server was not touched" in said
        assert alive(lab, "data1") == before
        assert settings(lab, hosts="data1", **rules, postgres_may_lose=[here]).code == 0
        assert "rejects" in login(lab, "data1", "reporter", "SELECT 1").stderr
        assert settings(lab, hosts="data1").code == 0
        assert login(lab, "data1", "reporter", "SELECT 1").stdout.strip() == "1"
    finally:
        client.run("systemctl stop reporter; rm -f /run/login")


def certificate(days: int) -> tuple[str, str]:
    """Returns a certificate and its key."""
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    made = f"openssl req -x509 {kind} -days {days} -keyout /dev/stdout -out /dev/stdout"
    told = subprocess.run(made.split(), check=True, capture_output=True, text=True).stdout
    begin = told.index("-----BEGIN CERTIFICATE")
    return told[begin:], told[:begin]


@pytest.mark.usefixtures("nothing_changes")
def test_a_certificate_with_the_key_of_another_or_with_few_days_is_refused(lab: t.Any) -> None:
    (chain, _key), (_chain, other) = certificate(365), certificate(365)
    by_host = {"data1": (chain, other), "data4": certificate(5)}
    played = converge(
        lab,
        bad=by_host,
        postgres_tls_chain="{{ bad[inventory_hostname][0] }}",
        postgres_tls_key="{{ bad[inventory_hostname][1] }}",
        postgres_tls_names=[],
    )
    assert played.code != 0
    said = " ".join(played.output.split())
    assert "does not belong to its certificate" in said
    assert "in 4 days" in said
    assert not [key for _chain, key in by_host.values() if key.splitlines()[1] in played.output]


def served(lab: t.Any, name: str) -> str:
    """Returns the fingerprint of the certificate that clients get."""
    asked = "openssl s_client -starttls postgres -connect 127.0.0.1:5432 </dev/null 2>&1"
    return str(lab.connect(name).check_output(f"{asked} | openssl x509 -noout -fingerprint -sha256"))


def test_a_renewed_certificate_is_served_without_a_restart(lab: t.Any) -> None:
    """Clients that trust the authority of before go on."""
    asked = "SELECT pg_postmaster_start_time()"
    before = {name: (served(lab, name), sql(lab, name, asked)) for name in SERVERS}
    short = "openssl x509 -req -in request.pem -CA authority.pem -CAkey authority_key.pem -days 5"
    short += " -copy_extensions copyall -out certificate.pem"
    for name in SERVERS:
        trusted = lab.connect(name).check_output("cat /etc/postgresql-common/certificates/server.ca")
        lab.connect("client1").check_output("printf %%s %s > /tmp/%s.crt", trusted, name)
        lab.connect(name).check_output(f"cd /etc/postgresql-common/certificates/.server/self_made && {short}")
    assert converge(lab).code == 0
    for name, (fingerprint, started) in before.items():
        assert served(lab, name) != fingerprint
        assert sql(lab, name, asked) == started
        let_in = login(lab, name, "clinic", "SELECT 1", mode="verify-full", trust=f"/tmp/{name}.crt")
        assert let_in.stdout.strip() == "1", let_in.stderr
    # A run that died before the reload owes it.
    loaded = sql(lab, "data1", "SELECT pg_conf_load_time()")
    lab.connect("data1").check_output("touch --no-dereference /etc/postgresql-common/certificates/.server/live")
    assert changed(settings(lab, hosts="data1").output)["data1"] == 1
    assert sql(lab, "data1", "SELECT pg_conf_load_time()") != loaded
    assert changed(settings(lab, hosts="data1").output)["data1"] == 0


@pytest.mark.usefixtures("nothing_changes")
def test_a_check_looks_into_nothing_that_is_not_there_yet(lab: t.Any) -> None:
    new = {"name": "new", "owner": "new", "password": "of-the-new-one", "extensions": ["pg_trgm"]}
    new["indexes"] = [{"name": "by_n", "table": "later", "columns": ["n"]}]
    reader = {"name": "reader", "password": "of-the-reader", "databases": ["new"], "read_only": True}
    checked = converge(
        lab,
        "--check",
        hosts="data1",
        postgres_databases=[new],
        postgres_users=[reader],
        postgres_privileges=[],
        postgres_access_rules=[],
        postgres_settings={"shared_preload_libraries": ["pgaudit", "pg_stat_statements"]},
    )
    assert checked.code == 0
    assert sql(lab, "data1", "SELECT count(*) FROM pg_database WHERE datname = 'new'") == "0"


@pytest.mark.usefixtures("nothing_changes")
def test_data_of_another_cluster_is_refused(lab: t.Any) -> None:
    mark = "/etc/postgresql/17/main/rollout.json"
    host = lab.connect("data1")
    host.check_output(f'cp -p {mark} /root/kept && sed -i \'s/: "[0-9]*"/: "42"/\' {mark}')
    try:
        played = settings(lab, hosts="data1", postgres_settings={"work_mem": "9MB"})
    finally:
        host.check_output(f"mv /root/kept {mark}")
    assert played.code != 0
    for part in ("The data directory belongs to another cluster", "system identifier 42"):
        assert part in played.output


def test_a_run_that_was_killed_after_writing_is_put_right_by_the_next(lab: t.Any) -> None:
    name, host = "data4", lab.connect("data4")
    path = "/etc/postgresql/15/main/conf.d/rollout.conf"
    host.check_output(f"sleep 1; touch {path}")  # written, and nobody has read it
    loaded = sql(lab, name, "SELECT pg_conf_load_time()")
    assert changed(settings(lab, hosts=name).output)[name] == 1
    assert sql(lab, name, "SELECT pg_conf_load_time()") != loaded
    assert changed(settings(lab, hosts=name).output)[name] == 0


def test_a_managed_server_has_what_was_asked_for_over_the_wire(lab: t.Any) -> None:
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'"
    assert sql(lab, "managed1", owner) == "shop"
    assert sql(lab, "managed1", "SELECT extname FROM pg_extension WHERE extname = 'pgcrypto'", "shop") == "pgcrypto"
    assert sql(lab, "managed1", "SELECT rolsuper FROM pg_roles WHERE rolname = 'administrator'") == "f"
    log = lab.connect("managed1").check_output("cat /var/log/postgresql/*.log")
    assert lab.hosts["vars"]["lab_redis_password"] not in log


def connection(lab: t.Any) -> dict[str, t.Any]:
    """Returns rollout_database as client1 has it."""
    asked = ["ansible", "client1", *lab.sources(), "-o", "-m", "ansible.builtin.debug", "-a", "var=rollout_database"]
    told = subprocess.run(asked, cwd=gates.PROJECT, check=True, capture_output=True, text=True).stdout
    found, _rest = json.JSONDecoder().raw_decode(told, told.index("{"))  # colours may follow
    return dict(found["rollout_database"])


def test_a_managed_server_gets_what_it_lacks_though_nobody_can_log_in_to_its_host(lab: t.Any) -> None:
    made = "SET ROLE shop; DROP TABLE IF EXISTS orders; CREATE TABLE orders AS SELECT 7 AS customer; CREATE SEQUENCE n"
    sql(lab, "managed1", "DROP SEQUENCE IF EXISTS n; DROP OWNED BY auditor; DROP ROLE auditor", "shop")
    sql(lab, "managed1", made, "shop")
    secrets = lab.hosts["vars"]
    marks = {"password": secrets["lab_postgres_password"], "password of the owner": secrets["lab_redis_password"]}
    marks["verifier"] = "SCRAM-SHA-256$4096:"
    with marked_secrets.sampled(lab, ["client1", "managed1"]) as arguments:
        lab.verb("cut", "managed1", "--from", "controller")
        try:
            played = converge(lab, "-vvvvv", "--diff", hosts="client")
            again = converge(lab, hosts="client")
        finally:
            lab.verb("heal", "managed1")
    assert (played.code, again.code) == (0, 0)
    assert (changed(played.output)["client1"] > 0, changed(again.output)["client1"]) == (True, 0)
    assert "postgresql_user" in played.output, "the run was not as talkative as it should be"
    assert marked_secrets.in_text(played.output, marks) == []
    assert marked_secrets.in_command_lines(arguments, marks) == []
    for name in ("client1", "managed1"):
        # Nobody but a superuser can keep a statement out of the server's log: what goes there is a verifier.
        shown = marked_secrets.in_logs(lab, name, marks)
        assert shown == (["verifier"] if name == "managed1" else [])
        assert marked_secrets.readable(lab, name, marks) == []


def test_users_of_a_managed_server_may_do_what_they_shall_and_its_indexes_are_looked_at(lab: t.Any) -> None:
    def audit(statement: str) -> t.Any:
        where = {"mode": "verify-full", "database": "shop", "trust": "/etc/ssl/rollout/postgres.crt"}
        return login(lab, "managed1", "auditor", statement, **where)

    made = "SET ROLE shop; DROP TABLE IF EXISTS later; CREATE TABLE later AS SELECT 7 AS n; DROP SEQUENCE IF EXISTS m; "
    sql(lab, "managed1", f"{made} CREATE SEQUENCE m", "shop")
    assert audit("SELECT n FROM later").stdout.strip() == "7"
    assert audit("SELECT last_value FROM m").stdout.strip() == "1"
    assert "permission denied" in audit("INSERT INTO later VALUES (8) RETURNING n").stderr
    check = ("indexes", "--limit", "client1")
    told = lab.play(*check, inventories=[APPLICATION])
    assert told.code != 0 and "orders_by_customer of database shop was never used" in told.output
    sql(
        lab, "managed1", "SET enable_seqscan = off; SELECT * FROM orders WHERE customer = 7; SELECT pg_sleep(1)", "shop"
    )
    lab.wait_for(
        "managed1",
        "runuser -u postgres -- psql -Atd shop -c 'SELECT idx_scan FROM pg_stat_user_indexes'",
        "1",
        seconds=10,
    )
    assert lab.play(*check, inventories=[APPLICATION]).code == 0


def test_a_gate_looks_at_a_managed_server_as_the_application_logs_in(lab: t.Any) -> None:
    gates.prepare(lab)
    where = connection(lab)
    assert where["host"] == lab.address("managed1")
    assert gates.verdict(lab, "postgres", where, invalid_indexes=0) == "pass"
    assert gates.verdict(lab, "postgres", {**where, "password": "x"}, invalid_indexes=0) == "error"


def test_a_managed_server_that_is_too_small_is_refused_by_name(lab: t.Any) -> None:
    least = {"max_connections": 5000, "shared_buffers": "64GB"}
    played = converge(lab, hosts="client", postgres_managed_least_settings=least, postgres_managed_least_version=99)
    assert played.code != 0
    for part in (
        "PostgreSQL is too old",
        "max_connections is too small",
        "shared_buffers is too small",
        "64GB or more",
    ):
        assert part in played.output


def test_a_second_run_changes_nothing_and_shows_no_secret(lab: t.Any) -> None:
    """The login to the managed server too."""
    played = converge(lab, "-vvvvv", "--diff", hosts="all")
    assert played.code == 0
    assert set(changed(played.output).values()) == {0}
    assert "SSH: EXEC" in played.output, "the run was not as talkative as it should be"
    secrets = ("lab_postgres_password", "lab_redis_password")
    assert [name for name in secrets if lab.hosts["vars"][name] in played.output] == []


def test_packages_come_from_another_repository_that_is_signed_by_its_key(lab: t.Any) -> None:
    client = lab.connect("client1")
    client.check_output("sh -c %s", (Path(__file__).parent / "on_host" / "repository.sh").read_text())
    play = ("../molecule/data_services/postgres_pgdg", "--limit", "client1")
    try:
        assert lab.play(*play).code == 0
        assert client.check_output("dpkg-query -W -f '${Version}' postgresql-17").endswith(".pgdg")
        assert sql(lab, "client1", "SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "1"
        assert changed(lab.play(*play).output) == {"client1": 0}
    finally:
        gone = "rm -f /etc/apt/sources.list.d/pgdg.sources; apt-get purge -qy postgresql-17; apt-get update -q"
        client.check_output(f"export DEBIAN_FRONTEND=noninteractive; {gone}")
