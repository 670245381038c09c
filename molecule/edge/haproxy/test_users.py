# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users get: TLS as Mozilla's profile has it, one way in, headers, and a log that names the release."""

from __future__ import annotations

import contextlib
import csv
import json
import socket
import ssl
import time
import typing as t

import pytest
from sslyze import Scanner, ServerNetworkLocation, ServerScanRequest
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

from .conftest import PAIRS, Edge, LoadBalancer, both


def test_tls_keeps_to_the_profile_of_mozilla(edge: Edge) -> None:
    scanner = Scanner()
    wanted = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    places = [
        ServerNetworkLocation("shop.example.com", 443, edge.balancers[pair[0]].address) for pair in PAIRS.values()
    ]
    scanner.queue_scans(
        [ServerScanRequest(place, scan_commands=SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER) for place in places]
    )
    results = list(scanner.get_results())
    assert len(results) == len(PAIRS)
    for result in results:
        with pytest.raises(ServerNotCompliantWithTlsConfiguration) as refused:
            check_server_against_tls_configuration(result, wanted)
        # The world does not know the authority of a lab; anything else would be weaker than the profile.
        assert set(refused.value.issues) == {"certificate_path_validation"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_2_is_offered_and_the_certificate_is_about_the_name(
    edge: Edge, balancer: LoadBalancer, version: ssl.TLSVersion
) -> None:
    # What clients trust, checked as strictly as Python can.
    context = ssl.create_default_context(cadata=balancer.run("cat /etc/haproxy/certificates/shop.ca"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((balancer.address, 443), timeout=5) as connected,
        context.wrap_socket(connected, server_hostname="shop.example.com") as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
    assert (
        edge.from_client("--http2", "-o", "/dev/null", "-w", "%{http_version}", f"https://{balancer.address}/") == "2"
    )


def test_who_comes_by_http_is_sent_to_https_with_path_and_query(balancer: LoadBalancer) -> None:
    answer = balancer.ask("/a?b=c", tls=False, method="POST", headers={"Host": "shop.example.com:80"})
    assert (answer.status, answer.headers["location"]) == (308, "https://shop.example.com/a?b=c")
    # A probe from outside that knows no TLS gets its answer.
    assert balancer.ask("/health", tls=False).status == 200


def test_the_host_itself_asks_on_the_public_port_as_gates_do(balancer: LoadBalancer) -> None:
    before = balancer.counted()
    told = json.loads(balancer.run("curl -sf -H 'X-Rollout-Probe: verify' http://127.0.0.1/version"))
    assert told["release"] == "1.0.0-blue"
    assert told["headers"]["x-forwarded-proto"] == "https"
    assert balancer.counted() == before + 1


def test_every_answer_has_the_headers_and_an_application_may_have_its_own(balancer: LoadBalancer) -> None:
    wanted = {
        "strict-transport-security": "max-age=31536000",
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "content-security-policy": "frame-ancestors 'self'",
        "referrer-policy": "strict-origin-when-cross-origin",
        "permissions-policy": "camera=()",
    }
    for answer in (balancer.ask("/"), balancer.ask("/metrics"), balancer.ask("/", tls=False)):
        assert {name: answer.headers.get(name) for name in wanted} == wanted
    assert balancer.ask("/own").headers["content-security-policy"] == "default-src 'self'"
    assert "x-release-id" not in balancer.ask("/").headers


def test_the_log_is_json_with_slot_and_release(balancer: LoadBalancer) -> None:
    path = '/logged/with"quotes\\and%20more'
    balancer.ask(f"{path}?token=hidden", headers={"User-Agent": 'curl "8"\\'})
    line = balancer.log(path)
    seen = {name: line[name] for name in ("method", "status", "slot", "release", "instance", "tls", "user_agent")}
    assert seen == {
        "method": "GET",
        "status": 200,
        "slot": "blue",
        "release": "1.0.0-blue",
        "instance": "app1-web-1",
        "tls": "TLSv1.3",
        "user_agent": 'curl "8"\\',
    }
    assert "hidden" not in json.dumps(line)
    # What HAProxy answered itself is of no release.
    balancer.ask("/metrics/refused")
    refused = balancer.log("/metrics/refused")
    assert (refused["status"], refused["slot"], refused["release"]) == (401, "-", "-")


def test_haproxy_tells_prometheus_about_itself(edge: Edge, balancer: LoadBalancer) -> None:
    url = f"http://{balancer.address}:8405/metrics"
    assert 'haproxy_backend_status{proxy="shop_blue",state="UP"} 1' in edge.from_client(url)
    connection: t.Any = balancer.connect(f"{balancer.address}:8405", tls=False)
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 403


def test_balance_slow_start_and_timeouts_are_what_was_set(balancer: LoadBalancer) -> None:
    main, own = (balancer.run(f"cat /etc/haproxy/{name}") for name in ("haproxy.cfg", "rollout.d/shop.cfg"))
    timeouts = [line.split()[1:] for line in main.splitlines() if line.startswith("    timeout ")]
    assert dict(timeouts) == {
        "connect": "3s",
        "http-request": "10s",
        "queue": "12s",
        "http-keep-alive": "45s",
        "client": "50s",
        "server": "55s",
        "tunnel": "60s",
    }
    assert [line.endswith(" slowstart 5s") for line in own.splitlines() if " default-server " in line] == [True, True]
    # HAProxy itself says by what it balances.
    rows = csv.DictReader(balancer.runtime("show stat").lstrip("# ").splitlines())
    used = {row["pxname"]: row["algo"] for row in rows if row["svname"] == "BACKEND" and row["algo"]}
    assert {used["shop_blue"], used["shop_green"]} == {"leastconn"}


def test_half_a_head_is_not_waited_for_longer_than_the_timeout(edge: Edge) -> None:
    def one(debian: str) -> None:
        with contextlib.closing(edge.balancers[PAIRS[debian][0]].connect()) as connection:
            connection.connect()
            started = time.monotonic()
            connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n")
            answer = connection.sock.recv(4096)
            waited = time.monotonic() - started
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 9 < waited < 14

    both(one)
