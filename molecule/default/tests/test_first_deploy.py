# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a first deploy: users are served, and every host is what its role promises."""

from __future__ import annotations

import json

import testinfra

Host = testinfra.host.Host
FOLDER = "/var/lib/rollout/reference"


def ask(host: Host, url: str) -> dict[str, object]:
    code = "import sys,urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    return json.loads(host.check_output("python3 -c %s %s", code, url))


def address(host: Host) -> str:
    return host.check_output("hostname -I").split()[0]


def test_users_get_the_release(client: Host, load_balancer: Host) -> None:
    url = f"http://{address(load_balancer)}"
    assert ask(client, f"{url}/version")["version"] == "1.0.0"
    assert ask(client, f"{url}/health/comprehensive")["status"] == "healthy"
    assert ask(client, f"{url}/api/health")["database"] == "connected"


def test_a_write_reaches_the_database_and_is_read_back(client: Host, load_balancer: Host) -> None:
    code = (
        "import json,sys,urllib.request; r=urllib.request.Request(sys.argv[1]+'/api/v1/patients', method='POST', "
        "data=json.dumps({'given_name': 'Ada', 'family_name': 'Example'}).encode(), "
        "headers={'content-type': 'application/json'}); "
        "print(json.load(urllib.request.urlopen(r, timeout=5))['id'])"
    )
    url = f"http://{address(load_balancer)}"
    number = client.check_output("python3 -c %s %s", code, url)
    assert ask(client, f"{url}/api/v1/patients/{number}")["family_name"] == "Example"


def test_the_load_balancer_states_what_is_live(load_balancer: Host) -> None:
    with load_balancer.sudo():
        state = json.loads(load_balancer.file(f"{FOLDER}/state.json").content_string)
        pointer = load_balancer.file(f"{FOLDER}/traffic.map")
        assert state["live"] == "blue"
        assert state["last_good"] == state["slots"]["blue"]["release"]["id"]
        assert pointer.content_string == "reference blue:none:0\n"
        assert pointer.mode == 0o600
        assert load_balancer.file(f"{FOLDER}/state.json").mode == 0o600
    assert load_balancer.service("haproxy").is_enabled


def test_instances_run_as_asked(application_host: Host, systemd_runtime: bool) -> None:
    for instance in ("web-1", "web-2", "worker-1"):
        if systemd_runtime:
            process, number = instance.rsplit("-", 1)
            unit = application_host.service(f"reference-blue-{process}@{number}.service")
            assert unit.is_running
            assert unit.is_enabled
        else:
            inspected = json.loads(application_host.check_output("docker inspect %s", f"reference-blue-{instance}"))[0]
            assert inspected["State"]["Running"]
            assert "@sha256:" in inspected["Config"]["Image"]
            assert inspected["HostConfig"]["Memory"] == 256 * 1024 * 1024
            assert inspected["HostConfig"]["ReadonlyRootfs"]
            assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
            assert inspected["HostConfig"]["LogConfig"]["Config"]["max-size"]


def test_exactly_one_scheduler_runs_in_the_fleet(systemd_runtime: bool) -> None:
    from conftest import connect, hosts_of  # noqa: PLC0415 - the fleet as a whole, not one host of it

    command = (
        "systemctl list-units --state=running --plain --no-legend 'reference-*-scheduler@*'"
        if systemd_runtime
        else "docker ps --quiet --filter label=rollout.process=scheduler"
    )
    running = [line for host in hosts_of("application") for line in connect(host).check_output(command).splitlines()]
    assert len(running) == 1


def test_secrets_are_readable_by_root_only(application_host: Host) -> None:
    found = application_host.check_output("find /etc/rollout /var/lib/rollout -type f -perm /077")
    assert found == ""
    assert "DATABASE_URL" in application_host.check_output("cat /etc/rollout/reference/*.env")


def test_postgresql_takes_scram_logins_only(data_host: Host) -> None:
    ask_postgres = "runuser -u postgres -- psql -Atc %s"
    stored = data_host.check_output(
        ask_postgres, "select left(rolpassword, 14) from pg_authid where rolname = 'reference'"
    )
    assert stored == "SCRAM-SHA-256$"
    assert data_host.check_output(ask_postgres, "show password_encryption") == "scram-sha-256"


def test_redis_refuses_strangers_and_keeps_what_it_is_told(data_host: Host) -> None:
    assert "NOAUTH" in data_host.run("redis-cli ping").stdout
    assert data_host.file("/var/lib/redis/appendonlydir").is_directory
