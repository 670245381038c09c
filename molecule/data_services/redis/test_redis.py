# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sets of Redis servers with Sentinel, on both Debians: users, TLS, live changes, refusals, and an elected primary.

The tests of a file run in their order: what elects another primary comes last.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ... import marked_secrets

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
SETS = {"debian13": ("data1", "data2", "data3"), "debian12": ("data4", "data5", "data6")}
SERVERS = ("data1", "data2", "data4", "data5")
SECRETS = ("administrator-of-the-lab", "replication-of-the-lab", "sentinel-of-the-lab", "shop-of-the-lab")
# Asks as a client does; commands and passwords travel on standard input.
ASK = "redis-cli -h {host} -p {port} --tls --cacert /etc/redis/tls/{name}.ca"


class Played(t.NamedTuple):
    """How the playbook of this test ended, and what it wrote."""

    code: int
    output: str


def play(*arguments: str, variables: t.Mapping[str, t.Any] | None = None, playbook: str = "redis_converge") -> Played:
    """Provisions both sets as an operator does."""
    command = ["ansible-playbook", str(SCENARIO / f"{playbook}.yml"), "-i", str(SCENARIO / "inventory"), *arguments]
    command += ["-e", json.dumps(variables)] if variables else []
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_FORCE_COLOR": "0"}
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    print("$", " ".join(command), "\n", ended.stdout[-5000:], ended.stderr[-2000:])
    return Played(ended.returncode, ended.stdout + ended.stderr)


def unchanged(played: Played) -> bool:
    lines = [line for line in played.output.splitlines() if "changed=" in line]
    return played.code == 0 and bool(lines) and all("changed=0" in line for line in lines)


def ask(lab: t.Any, host: str, *commands: str, user: str = "", name: str = "redis", port: int = 6379) -> list[str]:
    """Returns the answers of the server of a host, as a user of the lab."""
    logins = {"shop": "shop-of-the-lab", "rollout": "administrator-of-the-lab", "sentinel": "sentinel-of-the-lab"}
    lines = ([f"AUTH {user} {logins[user]}"] if user else []) + list(commands)
    command = ASK.format(host=lab.address(host), name=name, port=port)
    told = lab.connect(host).run("printf '%%s' %s | " + command, "\n".join(lines) + "\n").stdout
    answers = [line for line in told.splitlines() if line]
    return answers[1:] if user else answers


def processes(lab: t.Any) -> list[str]:
    """Returns what tells one start of each server from another."""
    return [lab.connect(host).check_output("systemctl show -p MainPID redis-server") for host in SERVERS]


def each(work: t.Callable[[str], t.Any], hosts: t.Sequence[str] = SERVERS) -> None:
    """Looks at several hosts at the same time."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(work, hosts))


def test_a_second_run_changes_nothing_and_shows_no_secret(lab: t.Any) -> None:
    """Those of replication and Sentinel too; logs tell of all runs before. A checksum lets a password be guessed."""
    marks = {secret: secret for secret in SECRETS}
    marks |= {f"checksum of {secret}": hashlib.sha256(secret.encode()).hexdigest() for secret in SECRETS}
    keys = (SCENARIO / "certificates").glob("*.key")
    marks |= {key.name: key.read_text().splitlines()[1] for key in keys}
    hosts = [host for members in SETS.values() for host in members]
    with marked_secrets.sampled(lab, hosts) as arguments:
        played = play("-vvvvv", "--diff")
    assert unchanged(Played(played.code, played.output.rpartition("PLAY RECAP")[2]))
    for host in SERVERS:
        # A container may not set it; on a machine that has it already there is nothing to tell.
        has = lab.connect(host).check_output("cat /proc/sys/vm/overcommit_memory") == "1"
        told = re.search(rf"\[{host}\] =>\s+msg: .?Not set, to be set on the machine", played.output)
        assert (told is None) is has
    assert "redis_settings" in played.output, "the run was not as talkative as it should be"
    assert marked_secrets.in_text(played.output, marks) == []
    assert marked_secrets.in_command_lines(arguments, marks) == []

    def look(host: str) -> None:
        assert marked_secrets.in_logs(lab, host, marks) == []
        assert marked_secrets.in_facts(lab, host, marks) == []
        assert marked_secrets.readable(lab, host, marks) == []

    each(look, hosts)


def test_strangers_stay_out_and_applications_do_only_what_they_may(lab: t.Any) -> None:
    def look(host: str) -> None:
        assert "NOAUTH" in ask(lab, host, "PING")[0]
        primary = next(members[0] for members in SETS.values() if host in members)
        told = ask(lab, primary, "SET shop:1 x", "SET other:1 x", "FLUSHALL", "CONFIG GET *", "KEYS *", user="shop")
        assert told[0] == "OK"
        assert [line.split(" ")[0] for line in told[1:]] == ["NOPERM"] * 4

    each(look)


def test_nothing_is_said_without_tls(lab: t.Any) -> None:
    def look(host: str) -> None:
        here = lab.connect(host)
        assert "PONG" not in here.run(f"redis-cli -h {lab.address(host)} PING").stdout
        listening = here.check_output("ss -Hltnp sport = :6379")
        assert "redis-server" in listening

    each(look)


def test_settings_of_the_systems_are_in_effect(lab: t.Any) -> None:
    wanted = {
        "maxmemory": "134217728",
        "maxmemory-policy": "allkeys-lru",
        "save": "900 1 300 10 60 10000",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "tcp-backlog": "511",
        "timeout": "300",
        "protected-mode": "yes",
        "port": "0",
        "tls-cluster": "no",
        "tls-protocols": "TLSv1.2 TLSv1.3",
        "tls-replication": "yes",
    }

    def look(host: str) -> None:
        for name, value in wanted.items():
            assert ask(lab, host, f"CONFIG GET {name}", user="rollout") == [name, value]
        assert lab.connect(host).file("/var/lib/redis/appendonlydir").is_directory

    each(look)


def test_secrets_are_neither_in_processes_nor_in_files_of_everybody(lab: t.Any) -> None:
    def look(host: str) -> None:
        here = lab.connect(host)
        processes = here.check_output("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '")
        assert not [secret for secret in SECRETS if secret in processes]
        for path in ("rollout.conf", "rollout-users.acl", "redis.conf"):
            file = here.file(f"/etc/redis/{path}")
            assert (file.user, file.group, oct(file.mode)) == ("redis", "redis", "0o640")
        secret = here.file("/etc/redis/rollout-administrator")
        assert (secret.user, oct(secret.mode)) == ("root", "0o600")
        users = here.check_output("cat /etc/redis/rollout-users.acl")
        assert not [one for one in SECRETS if one in users]

    each(look)


def test_replicas_follow_by_tls_and_sentinels_agree(lab: t.Any) -> None:
    for primary, replica, third in SETS.values():
        told = ask(lab, replica, "INFO replication", user="rollout")
        assert {"role:slave", f"master_host:{lab.address(primary)}", "master_link_status:up"} <= set(told)
        for name in (primary, replica, third):
            found = ask(lab, name, "SENTINEL GET-MASTER-ADDR-BY-NAME primary", user="shop", name="sentinel", port=26379)
            assert found == [lab.address(primary), "6379"]
            assert "NOPERM" in ask(lab, name, "SENTINEL RESET *", user="shop", name="sentinel", port=26379)[0]
            assert "NOAUTH" in ask(lab, name, "PING", name="sentinel", port=26379)[0]


def test_a_live_change_restarts_nothing_and_a_check_names_it(lab: t.Any) -> None:
    before = processes(lab)
    shop = {"name": "shop", "password": "shop-of-the-lab", "keys": ["shop:*", "cart:*"]}
    changed = {
        "redis_maxmemory": "192mb",
        "redis_users": [shop],
        "redis_restart": "never",
        "redis_settings": {
            "save": "900 1 300 10 60 10000",
            "tcp-backlog": 511,
            "timeout": 250,
            "databases": 20,
        },
    }
    checked = play("--check", "--diff", variables=changed)
    assert checked.code == 0
    for part in ("maxmemory: '201326592'", "waits, for databases: 16 -> 20 (restart)", "~cart:*"):
        assert part in " ".join(checked.output.split())
    assert ask(lab, "data1", "CONFIG GET timeout", user="rollout") == ["timeout", "300"]
    done = play(variables=changed)
    assert done.code == 0
    assert "Wait for a restart of redis-server.service" in " ".join(done.output.split())
    for host in SERVERS:
        assert ask(lab, host, "CONFIG GET timeout", user="rollout") == ["timeout", "250"]
        assert lab.connect(host).run("grep -c '^timeout 250$' /etc/redis/rollout.conf").stdout.strip() == "1"
    assert ask(lab, "data1", "SET cart:1 x", user="shop") == ["OK"]
    assert processes(lab) == before


SHOP = {"name": "shop", "password": "shop-of-the-lab"}
REFUSED = {
    "a value that Redis does not know": ({"redis_maxmemory": "12q"}, "maxmemory: argument must be a memory value"),
    "a user who cannot do what the application needs": (
        {"redis_users": [{**SHOP, "keys": ["other:*"], "must_run": ["SET shop:1 x"]}]},
        "would lock out shop",
    ),
    "another password than the application has": (
        {"redis_users": [SHOP], "redis_logins": [{"user": "shop", "password": "one-that-is-old"}]},
        "WRONGPASS",
    ),
    "a command that does not exist": (
        {"redis_users": [{**SHOP, "commands": ["+nosuchcommand"]}]},
        "Unknown command or category name in ACL",
    ),
    "more memory than the host has": ({"redis_maxmemory": "900gb"}, "more memory than the host"),
    "Valkey beside Redis": ({"redis_server": "valkey"}, "redis_server is valkey"),
}


@pytest.mark.parametrize(("variables", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_and_the_server_untouched(lab: t.Any, variables: dict[str, t.Any], message: str) -> None:
    look = (
        "cat /etc/redis/rollout.conf /etc/redis/rollout-users.acl | sha256sum; systemctl show -p MainPID redis-server"
    )
    hosts = ("data1", "data4")
    before = [lab.connect(host).check_output(look) for host in hosts]
    played = play("--limit", "localhost,data1,data4", variables=variables)
    assert played.code != 0
    assert message in " ".join(played.output.split())
    assert [lab.connect(host).check_output(look) for host in hosts] == before
    assert not [secret for secret in SECRETS if secret in played.output]


def test_a_new_certificate_waits_for_settings_that_are_good(lab: t.Any, tmp_path: Path) -> None:
    subprocess.run([sys.executable, Path(__file__).parent / "certificates.py", SCENARIO, tmp_path], check=True)
    given = "{{ lookup('ansible.builtin.file', '%s/' ~ %s) }}"
    variables = {
        "redis_certificate_chain": given % (tmp_path, "inventory_hostname ~ '.crt'"),
        "redis_certificate_key": given % (tmp_path, "inventory_hostname ~ '.key'"),
        "redis_certificate_authority": given % (tmp_path, "'ca.crt'"),
        "redis_maxmemory": "12q",
    }
    look = "sha256sum /etc/redis/tls/redis.* /etc/systemd/system/redis-server.service.d/*"
    before = [lab.connect(host).check_output(look) for host in ("data1", "data4")]
    played = play("--limit", "localhost,data1,data4", variables=variables)
    assert played.code != 0
    assert "argument must be a memory value" in played.output
    assert [lab.connect(host).check_output(look) for host in ("data1", "data4")] == before


def served(lab: t.Any, host: str) -> str:
    """Returns the fingerprint of the certificate that clients get."""
    asked = f"openssl s_client -connect {lab.address(host)}:6379 </dev/null 2>&1"
    return str(lab.connect(host).check_output(f"{asked} | openssl x509 -noout -fingerprint -sha256"))


def test_a_renewed_certificate_is_served_without_a_restart(lab: t.Any, tmp_path: Path) -> None:
    """All of another authority: replicas and Sentinels, which trust it from the same run on, go on as well."""
    members = SETS["debian12"]
    before = processes(lab), [served(lab, host) for host in members[:2]]
    subprocess.run([sys.executable, Path(__file__).parent / "certificates.py", SCENARIO, tmp_path], check=True)
    given = "{{ lookup('ansible.builtin.file', '%s/' ~ %s) }}"
    variables = {
        f"{role}_certificate_{part}": given % (tmp_path, file)
        for role in ("redis", "sentinel")
        for part, file in {
            "chain": "inventory_hostname ~ '.crt'",
            "key": "inventory_hostname ~ '.key'",
            "authority": "'ca.crt'",
        }.items()
    }
    limit = ("--limit", ",".join(("localhost", *members)))
    assert play(*limit, variables=variables).code == 0
    for host, old in zip(members, before[1]):
        assert served(lab, host) != old
        assert ask(lab, host, "PING", user="shop") == ["PONG"]  # who trusts the new authority gets in
    assert processes(lab) == before[0]
    assert play(*limit).code == 0
    assert [served(lab, host) for host in members[:2]] == before[1]
    assert processes(lab) == before[0]


def test_a_replica_that_lost_its_primary_is_told_every_time(lab: t.Any) -> None:
    other = "ACL SETUSER replication resetpass >another-password"
    assert ask(lab, "data1", other, "CLIENT KILL TYPE replica", user="rollout") == ["OK", "1"]
    played = play("--limit", "localhost,data2")
    assert played.code != 0
    told = " ".join(played.output.split())
    assert "This replica has lost its primary; it was left as it is." in told
    assert "WRONGPASS" in told
    assert play("--limit", "localhost,data1,data2").code == 0  # what was changed by hand goes back first
    told = ask(lab, "data2", "INFO replication", user="rollout")
    assert "master_link_status:up" in told


def test_the_elected_primary_stays_and_the_old_one_comes_back_as_replica(lab: t.Any) -> None:
    assert play().code == 0  # back to the variables of the inventory
    firsts = [members[0] for members in SETS.values()]
    each(lambda host: lab.connect(host).check_output("systemctl stop redis-server"), firsts)
    for first, second, third in SETS.values():
        command = "printf 'AUTH shop shop-of-the-lab\\nSENTINEL GET-MASTER-ADDR-BY-NAME primary\\n' | " + ASK.format(
            host=lab.address(third), name="sentinel", port=26379
        )
        lab.wait_for(third, command, lab.address(second), seconds=30)
        assert lab.address(first) not in lab.connect(third).run(command).stdout
    state = "cat /etc/redis/rollout-sentinel-state.conf | grep -v epoch | sort | sha256sum"
    kept = {host: lab.connect(host).check_output(state) for host in ("data3", "data6")}
    survivors = play("--limit", "localhost,data2,data3,data5,data6")
    assert unchanged(survivors)
    assert f"{lab.address('data2')} is primary, says Sentinel, and stays" in survivors.output
    assert {host: lab.connect(host).check_output(state) for host in kept} == kept
    each(lambda host: lab.connect(host).check_output("systemctl start redis-server"), firsts)
    for first, second, _third in SETS.values():
        asked = "printf 'AUTH rollout administrator-of-the-lab\\nINFO replication\\n' | " + ASK.format(
            host=lab.address(first), name="redis", port=6379
        )
        lab.wait_for(first, asked, f"master_host:{lab.address(second)}", "master_link_status:up", seconds=60)
    assert unchanged(play())
    assert ask(lab, "data2", "INFO replication", user="rollout")[1] == "role:master"
