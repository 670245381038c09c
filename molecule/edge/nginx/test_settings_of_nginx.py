# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx honours of the settings at the edge, on both Debians at once: TLS, headers, limits, paths, log."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
import yaml

from ... import marked_secrets

# Whoever has it may guess at the password, which is "lab-metrics"; nothing but this test knows it.
PASSWORD_HASH = "$5$edgelab$Qh2UkhAvLwHqDe49pS1Nd9Q.9hYSFPLYgwE3kdX6Wg8"
EDGE = {
    "load_balancer_tls": True,
    "load_balancer_names": ["shop.example.com"],
    "load_balancer_headers": {"Permissions-Policy": "camera=()"},
    "load_balancer_access_log": True,
    "load_balancer_request_limit_bytes": 1000,
    "load_balancer_probe_path": "/health",
    "load_balancer_rate_limits": [{"path": "/api/v1/auth", "requests": 5, "seconds": 60}],
    "load_balancer_protected_paths": [
        {"path": "/metrics", "users": {"prometheus": PASSWORD_HASH}},
        {"path": "/api/v1/metrics", "networks": ["192.0.2.0/24"]},
    ],
}


class Edge(t.NamedTuple):
    """A load balancer as client1 meets it."""

    fleet: t.Any
    name: str

    def curl(self, path: str, *options: str, scheme: str = "https") -> str:
        url = f"{scheme}://{self.fleet.lab.address(self.name)}{path}"
        return self.fleet.on("client1", f"curl -sk {' '.join(options)} '{url}'")

    def status(self, path: str, *options: str, scheme: str = "https") -> str:
        return self.curl(
            path, "-o /dev/null -w '%{http_code} %{http_version} %{redirect_url}'", *options, scheme=scheme
        )


class Seen(t.NamedTuple):
    """What a talkative provision wrote, and the command lines that ran meanwhile, by host."""

    output: str
    arguments: dict[str, list[str]]


@pytest.fixture(scope="module")
def seen(fleet: t.Any, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Everything is on, as an inventory has it: what is given in the command line shows there."""
    inventory = tmp_path_factory.mktemp("edge") / "edge.yml"
    inventory.write_text(yaml.safe_dump({"all": {"vars": EDGE}}))
    with marked_secrets.sampled(fleet.lab, fleet.names) as arguments:
        played = fleet.lab.play("provision", "-vvvvv", "--diff", inventories=[inventory])
    assert played.code == 0
    return Seen(played.output, arguments)


@pytest.fixture(scope="module")
def hardened(fleet: t.Any, seen: Seen) -> t.Any:
    return fleet


@pytest.fixture(params=[0, 1], ids=["the first nginx", "the second nginx"])
def edge(hardened: t.Any, request: pytest.FixtureRequest) -> Edge:
    return Edge(hardened, hardened.names[request.param])


def test_users_come_by_https_and_http_2(edge: Edge) -> None:
    assert edge.status("/version").split()[:2] == ["200", "2"]
    moved = edge.status("/version?a=b", scheme="http").split()
    assert (moved[0], moved[2]) == ("308", f"https://{edge.fleet.lab.address(edge.name)}/version?a=b")
    assert edge.status("/health", scheme="http").startswith("200")
    # The host itself: gates and checks ask by HTTP.
    assert edge.fleet.on(edge.name, "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/version") == "200"


def test_application_hosts_hear_where_users_are_by_http(edge: Edge) -> None:
    url = f"http://{edge.fleet.lab.address(edge.name)}/_rollout/pointer"
    assert edge.fleet.on("app1", f"curl -s {url}") == "blue:none:0"
    assert edge.status("/_rollout/pointer", scheme="http").startswith("308")


def test_only_modern_tls_is_spoken(edge: Edge) -> None:
    assert edge.status("/version", "--tls-max 1.2").startswith("200")
    old = "curl -sk --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0"
    failed = edge.fleet.lab.connect("client1").run(f"{old} https://{edge.fleet.lab.address(edge.name)}/")
    assert failed.rc != 0
    weak = f"-k --tls-max 1.2 --ciphers AES128-SHA256 https://{edge.fleet.lab.address(edge.name)}/"
    assert edge.fleet.lab.connect("client1").run(f"curl -s {weak}").rc != 0


def test_answers_carry_the_headers_once(edge: Edge) -> None:
    told = edge.curl("/version", "-o /dev/null -D -").lower()
    for header in (
        "strict-transport-security: max-age=31536000",
        "x-frame-options: sameorigin",
        "permissions-policy: camera=()",
    ):
        assert told.count(header) == 1
    assert "retry-after" not in told


def test_a_request_that_is_too_large_is_refused(edge: Edge) -> None:
    assert edge.status("/api/v1/login", "--data-binary @/usr/bin/env").startswith("413")


def test_a_client_that_asks_too_often_is_told_so(edge: Edge) -> None:
    # Quickly, in one command: with time the bucket leaks.
    url = f"https://{edge.fleet.lab.address(edge.name)}/API/v1//auth/status"
    asked = f"for i in $(seq 12); do curl -sk --http1.1 -o /dev/null -D - '{url}'; done"
    told = edge.fleet.on("client1", asked).lower()
    statuses = re.findall(r"^http/1.1 (\d+)", told, re.MULTILINE)
    assert len(statuses) == 12
    assert statuses[0] != "429"
    assert statuses.count("429") >= 5
    assert told.count("retry-after: 60") == statuses.count("429")
    assert edge.status("/version").startswith("200")


def test_protected_paths_ask_who_comes(edge: Edge) -> None:
    assert edge.status("/metrics").startswith("401")
    assert edge.status("/METRICS/").startswith("401")
    assert edge.status("/metrics", "-H 'Connection: Upgrade' -H 'Upgrade: websocket' --http1.1").startswith("401")
    assert edge.status("/metrics", "-u prometheus:lab-metrics").startswith("200")
    assert edge.status("/api/v1/metrics").startswith("403")
    assert edge.fleet.on(edge.name, "stat -c %a /etc/nginx/rollout_users/reference_0") == "640"


def test_the_hash_of_a_password_shows_nowhere(fleet: t.Any, seen: Seen) -> None:
    marks = {"hash of a password": PASSWORD_HASH}
    assert "nginx_users" in seen.output, "the run was not as talkative as it should be"
    assert marked_secrets.in_text(seen.output, marks) == []
    assert marked_secrets.in_command_lines(seen.arguments, marks) == []
    for name in fleet.names:
        fleet.on(name, f"grep -qF '{PASSWORD_HASH}' /etc/nginx/rollout_users/reference_0")
        assert marked_secrets.in_logs(fleet.lab, name, marks) == []
        assert marked_secrets.in_facts(fleet.lab, name, marks) == []
        assert marked_secrets.readable(fleet.lab, name, marks) == []


def test_a_line_of_the_log_names_release_slot_and_instance(edge: Edge) -> None:
    answered = json.loads(edge.curl("/version?token=secret"))
    lines = edge.fleet.on(edge.name, "tail -n 50 /var/log/nginx/reference.log").splitlines()
    line = [json.loads(one) for one in lines if '"path":"/version"' in one][-1]
    assert answered["release"]
    assert (line["release"], line["slot"], line["status"], line["tls"]) == (
        answered["release"],
        edge.fleet.pointers(edge.name)[0].split(":")[0],
        200,
        "TLSv1.3",
    )
    assert ":18" in line["instance"]
    assert "secret" not in "".join(lines)


def test_a_second_provision_changes_nothing_and_the_settings_go_as_they_came(hardened: t.Any) -> None:
    played = hardened.play("provision", "-e", json.dumps(EDGE))
    assert played.code == 0
    assert not re.search("changed=[1-9]", played.output)
    assert hardened.play("provision").code == 0
    for name in hardened.names:
        assert hardened.asked(name)["version"]
