# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What never reaches an instance: limits, protected paths and maintenance. None of it counts as an answer of a slot."""

from __future__ import annotations

import base64
import contextlib
import typing as t
from collections import Counter

import pytest

from .conftest import PAIRS, Edge, LoadBalancer


@pytest.fixture
def not_counted(balancer: LoadBalancer) -> t.Iterator[t.Callable[[int], None]]:
    """A test says how many of its requests were answered by instances; nothing else may count for gates."""
    before, reached = balancer.counted(), [0]
    yield lambda number: reached.__setitem__(0, number)
    assert balancer.counted() - before == reached[0]


def test_a_request_that_is_too_large_is_refused(balancer: LoadBalancer, not_counted: t.Callable[[int], None]) -> None:
    # Refused by what it says of itself, before its body comes.
    assert balancer.ask("/", method="POST", headers={"Content-Length": "100001"}).status == 413
    assert balancer.ask("/", method="POST", body=b"x" * 100_000).status == 200
    # One that does not say how large it is cannot be let through, one without a body can.
    with contextlib.closing(balancer.connect()) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"1\r\nx\r\n")
        assert connection.getresponse().status == 411
    assert balancer.ask("/", method="POST").status == 200
    not_counted(2)


def test_http_2_has_the_same_limit(edge: Edge, balancer: LoadBalancer, not_counted: t.Callable[[int], None]) -> None:
    asked = ["--http2", "-o", "/dev/null", "-w", "%{http_code}", f"https://{balancer.address}/"]
    assert edge.from_client("-d", "short", *asked) == "200"
    assert edge.from_client("--data-binary", "@-", *asked, piped="x" * 100_001) == "413"
    # The length of what comes through a pipe is not known before.
    assert edge.from_client("-T", "-", *asked, piped="x") == "411"
    not_counted(1)


def test_a_client_that_asks_too_often_waits(balancer: LoadBalancer, not_counted: t.Callable[[int], None]) -> None:
    # One path in all its disguises; another one has a limit of its own.
    disguises = ["/api/v1/login", "/api//v1/login", "/API/v1/Login", "/api/v1/%6cogin", "/api/v1/login/x"]
    answers = [balancer.ask(path) for path in [*disguises, *disguises]]
    assert Counter(answer.status for answer in answers) == {200: 5, 429: 5}
    assert answers[-1].headers["retry-after"] == "60"
    assert balancer.ask("/api/v1/patients").status == 200
    assert balancer.ask("/elsewhere").status == 200
    # The host itself is never refused: it asks for gates.
    assert balancer.run("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/api/v1/login") == "200"
    not_counted(8)


def test_a_path_that_hides_where_it_leads_is_refused(
    balancer: LoadBalancer, not_counted: t.Callable[[int], None]
) -> None:
    not_counted(0)
    for path in ("/x/../metrics", "/x/%2e%2e/metrics", "/./metrics"):
        assert balancer.ask(path).status == 400


def test_metrics_want_a_password(balancer: LoadBalancer, not_counted: t.Callable[[int], None]) -> None:
    def asked(path: str, password: str) -> int:
        credentials = base64.b64encode(f"prometheus:{password}".encode()).decode()
        return balancer.ask(path, headers={"Authorization": f"Basic {credentials}"}).status

    refused = balancer.ask("/metrics")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Basic realm="shop"')
    assert [asked("/metrics", "lab-metrics"), asked("/metrics", "guess"), asked("//METRICS", "guess")] == [
        200,
        401,
        401,
    ]
    # The hash is root's alone, and in no file that others read.
    assert balancer.host.file("/etc/haproxy/rollout.d/_users_shop.cfg").mode == 0o600
    assert not balancer.host.file("/etc/haproxy/rollout.d/shop.cfg").contains("edgelab")
    not_counted(1)


def test_a_path_is_for_some_networks_only(
    edge: Edge, balancer: LoadBalancer, not_counted: t.Callable[[int], None]
) -> None:
    assert balancer.ask("/internal/report").status == 403
    told = edge.from_client("-o", "/dev/null", "-w", "%{http_code}", f"https://{balancer.address}/internal/report")
    assert told == "200"
    not_counted(1)


def test_maintenance_begins_and_ends_without_a_reload(edge: Edge, balancer: LoadBalancer) -> None:
    before = balancer.counted()
    workers = balancer.run("pgrep -x haproxy")
    kept = balancer.connect()
    kept.request("GET", "/before")
    kept.getresponse().read()
    edge.maintain(balancer, "active")
    try:
        closed = balancer.ask("/")
        assert (closed.status, closed.headers["retry-after"]) == (503, "300")
        assert "We are back soon" in closed.body
        # Kept connections see it, too; probes from outside and the host itself do not.
        kept.request("GET", "/during")
        assert kept.getresponse().status == 503
        assert [balancer.ask("/health").status, balancer.ask("/health", tls=False).status] == [200, 200]
        assert '"slot": "blue"' in balancer.run("curl -sf http://127.0.0.1/")
        # The host itself has reached the application once, users have not since.
        assert balancer.counted() == before + 2
        assert balancer.run("pgrep -x haproxy") == workers
        # It outlives a reload.
        balancer.run("systemctl reload haproxy")
        assert balancer.ask("/").status == 503
    finally:
        edge.maintain(balancer, "over")
    assert balancer.ask("/").status == 200


def test_application_hosts_hear_where_users_are_whatever_is_closed(
    edge: Edge, balancer: LoadBalancer, not_counted: t.Callable[[int], None]
) -> None:
    url = f"http://{balancer.address}/_rollout/pointer"
    assert edge.from_application(url) == "blue:none:0\n"
    assert edge.from_client("-o", "/dev/null", "-w", "%{http_code}", url) == "308"
    edge.maintain(balancer, "active")
    try:
        assert edge.from_application(url) == "blue:none:0\n"
    finally:
        edge.maintain(balancer, "over")
    not_counted(0)
    balancer.point("green")
    try:
        assert edge.from_application(url) == "green:none:0\n"
    finally:
        balancer.point("blue")


def test_a_provision_begins_and_ends_maintenance_and_otherwise_leaves_it(edge: Edge) -> None:
    balancers = [edge.balancers[pair[0]] for pair in PAIRS.values()]
    limit = ("--limit", ":".join(["app1", *(one.name for one in balancers)]))
    for wanted, status in (("active", 503), ("unchanged", 503), ("over", 200)):
        assert edge.provision(*limit, "-e", f"load_balancer_maintenance={wanted}").returncode == 0
        assert [one.ask("/").status for one in balancers] == [status] * len(balancers)
