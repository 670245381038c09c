# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a first deploy: users are served, and every host is what its role promises."""

from __future__ import annotations

import json
import typing as t

STATE = "/var/lib/rollout/reference"


def test_users_get_the_release(lab: t.Any) -> None:
    assert lab.ask("/version")["version"] == "1.0.0"
    assert lab.ask("/health/comprehensive")["status"] == "healthy"
    assert lab.ask("/api/health")["database"] == "connected"


def test_a_write_reaches_the_database_and_is_read_back(lab: t.Any) -> None:
    code = (
        "import json,sys,urllib.request as u; r=u.Request(sys.argv[1], method='POST', "
        "data=json.dumps({'given_name': 'Ada', 'family_name': 'Example'}).encode(), "
        "headers={'content-type': 'application/json'}); print(json.load(u.urlopen(r, timeout=5))['id'])"
    )
    url = f"http://{lab.address(lab.group('load_balancer')[0])}/api/v1/patients"
    number = lab.connect("client1").check_output("python3 -c %s %s", code, url)
    assert lab.ask(f"/api/v1/patients/{number}")["family_name"] == "Example"


def test_the_load_balancer_states_what_is_live(lab: t.Any) -> None:
    state = lab.state()
    assert state["live"] == "blue"
    assert state["last_good"] == state["slots"]["blue"]["release"]["id"]
    for name in lab.group("load_balancer"):
        host = lab.connect(name)
        assert host.file(f"{STATE}/traffic.map").content_string == "reference blue:none:0\n"
        assert host.file(f"{STATE}/traffic.map").mode == 0o600
        assert host.file(f"{STATE}/state.json").mode == 0o600
        assert host.service("haproxy").is_enabled


def test_instances_run_as_asked(lab: t.Any) -> None:
    for name in lab.group("application"):
        host = lab.connect(name)
        for instance in ("web-1", "web-2", "worker-1"):
            if lab.systemd:
                process, number = instance.rsplit("-", 1)
                unit = host.service(f"reference-blue-{process}@{number}.service")
                assert unit.is_running
                assert unit.is_enabled
            else:
                inspected = json.loads(host.check_output("docker inspect %s", f"reference-blue-{instance}"))[0]
                assert inspected["State"]["Running"]
                assert "@sha256:" in inspected["Config"]["Image"]
                assert inspected["HostConfig"]["Memory"] == 256 * 1024 * 1024
                assert inspected["HostConfig"]["ReadonlyRootfs"]
                assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
                assert inspected["HostConfig"]["LogConfig"]["Config"]["max-size"]


def test_exactly_one_scheduler_runs_in_the_fleet(lab: t.Any) -> None:
    assert len(lab.running("scheduler")) == 1


def test_secrets_are_readable_by_root_only(lab: t.Any) -> None:
    for name in lab.group("application"):
        host = lab.connect(name)
        assert host.check_output("find /etc/rollout /var/lib/rollout -type f -perm /077") == ""
        assert "DATABASE_URL" in host.check_output("cat /etc/rollout/reference/*.env")


def test_postgresql_keeps_scram_verifiers_only(lab: t.Any) -> None:
    host = lab.connect(lab.group("postgres")[0])
    ask = "runuser -u postgres -- psql -Atc %s"
    verifiers = host.check_output(ask, "select left(rolpassword, 14) from pg_authid where rolname = 'reference'")
    assert verifiers == "SCRAM-SHA-256$"
    assert host.check_output(ask, "show password_encryption") == "scram-sha-256"


def test_redis_refuses_strangers_and_writes_everything_down(lab: t.Any) -> None:
    host = lab.connect(lab.group("redis")[0])
    assert "NOAUTH" in host.run("redis-cli ping").stdout
    assert host.file("/var/lib/redis/appendonlydir").is_directory
