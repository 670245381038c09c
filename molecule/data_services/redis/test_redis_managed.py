# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed Redis that the application's host cannot log in to; and Valkey, which speaks the same."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

from .. import gates

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
SECRETS = ("administrator-of-the-service", "reader-of-the-service", "shop-of-the-service")


def play(playbook: str, *arguments: str, **variables: t.Any) -> tuple[int, str]:
    command = ["ansible-playbook", str(SCENARIO / f"{playbook}.yml"), "-i", str(SCENARIO / "inventory"), *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_FORCE_COLOR": "0"}
    command += ["-e", json.dumps(variables)]
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    print("$", " ".join(command), "\n", ended.stdout[-5000:], ended.stderr[-2000:])
    assert not [secret for secret in SECRETS if secret in ended.stdout + ended.stderr and secret not in str(variables)]
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


def login(lab: t.Any, user: str, password: str) -> dict[str, t.Any]:
    where = {"host": lab.address("managed1"), "port": 6379, "tls": True, "ca_path": "/etc/ssl/certs/managed-redis.pem"}
    return {**where, "user": user, "password": password}


def test_users_are_made_over_the_wire_and_a_second_run_changes_nothing(lab: t.Any) -> None:
    assert play("redis_managed", operator=True)[0] == 0
    lab.verb("cut", "managed1", "--from", "controller")
    try:
        code, told = play("redis_managed", "-vvvvv", "--diff")
    finally:
        lab.verb("heal", "managed1")
    assert code == 0
    assert "changed=0" in told.split("PLAY RECAP")[1].split("managed1")[0]


def test_the_gate_looks_by_tls_and_as_a_user(lab: t.Any) -> None:
    gates.prepare(lab)
    assert gates.verdict(lab, "redis", login(lab, "shop", "shop-of-the-service"), memory_share="90 %") == "pass"
    assert gates.verdict(lab, "redis", login(lab, "shop", "not-the-password"), memory_share="90 %") == "error"


def test_a_service_that_hides_its_settings_and_users_is_told(lab: t.Any) -> None:
    reader = login(lab, "reader", "reader-of-the-service")
    code, told = play("redis_managed", redis_managed=reader)
    assert code == 0
    assert "the service does not show its settings" in told
    assert "makes its users elsewhere; they are there and log in" in told
    code, told = play("redis_managed", redis_managed=reader, redis_users=[{"name": "missing", "password": "x" * 20}])
    assert code != 0
    assert "Users of the managed Redis cannot log in" in told


def test_a_service_that_does_not_fit_is_refused(lab: t.Any) -> None:
    code, told = play("redis_managed", redis_managed_policy="noeviction", redis_managed_least_version="99")
    assert code != 0
    assert "instead of 99 or newer; maxmemory-policy allkeys-lru instead of noeviction" in told
    plain = {**login(lab, "rollout", "administrator-of-the-service"), "ca_path": ""}
    code, told = play("redis_managed", redis_managed=plain)
    assert code != 0
    assert "with a certificate that is trusted" in told


def test_valkey_is_set_up_by_a_variable_and_follows_nobody_it_cannot_reach(lab: t.Any) -> None:
    unreachable = {"redis_address": "127.0.0.1", "redis_primary_address": "192.0.2.1"}
    client = lab.connect("client1")
    code, told = play("redis_alone", redis_server="valkey", **unreachable)
    assert code != 0
    assert "This replica cannot reach its primary; nothing was changed." in told
    assert not client.file("/etc/valkey/rollout.conf").exists
    assert play("redis_alone", redis_server="valkey")[0] == 0
    look = "sha256sum /etc/valkey/*; systemctl show -p MainPID valkey-server"
    before = client.check_output(look)
    code, told = play("redis_alone", redis_server="valkey", redis_maxmemory="99mb", **unreachable)
    assert code != 0
    assert "This replica cannot reach its primary; nothing was changed." in told
    assert client.check_output(look) == before
    command = "printf 'AUTH rollout administrator-of-the-lab\\nROLE\\n' | valkey-cli"
    assert "master" in client.check_output(command)
    started = client.check_output("systemctl show -p MainPID valkey-server")
    more = {"redis_server": "valkey", "redis_settings": {"databases": 20}}
    code, told = play("redis_alone", "--diff", **more)
    assert code == 0
    assert "now, for databases: 16 -> 20 (restart)" in told
    assert client.check_output("systemctl show -p MainPID valkey-server") != started
    code, told = play("redis_alone", **more)
    assert code == 0
    assert "changed=0" in told
    assert client.service("valkey-server").is_running
    assert "NOAUTH" in client.run("valkey-cli ping").stdout
