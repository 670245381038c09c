# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP sampler against real servers: plain sockets that behave well, badly, slowly or not at all."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.assertion import BodyAssertion
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.http_check import (
    MAXIMUM_BODY,
    HttpCheck,
    excerpt,
    tls_context,
)

READY = b'{"status": "ready"}'
Answer = t.Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def server(answer: Answer) -> t.Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *_arguments: t.Any) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}/ready"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


@contextlib.contextmanager
def raw_server(talk: t.Callable[[socket.socket], None]) -> t.Iterator[str]:
    """Accepts one connection and lets *talk* do what it wants with it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            accepted = listening.accept()[0]
            with accepted:
                talk(accepted)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/ready"
    finally:
        listening.close()
        thread.join(5)


def reply(body: bytes = READY, status: int = 200, **headers: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_good_answer_has_status_latency_and_body() -> None:
    with server(reply()) as url:
        sample = HttpCheck(url, body=BodyAssertion("status == 'ready'"))(2)
    assert (sample.outcome, sample.status, sample.problem, sample.body) == ("good", 200, None, READY.decode())
    assert sample.latency is not None
    assert 0 < sample.latency < 2000


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (reply(status=503), "status 503 instead of 200"),
        (reply(status=302, Location="/x?a=b"), "status 302 instead of 200: redirect to /x is not followed"),
        (reply(b'{"status": "starting"}'), "the body assertion status == 'ready' gave false, not true"),
        (reply(b"hello"), "the body is not JSON"),
        (reply(b" " * (MAXIMUM_BODY + 1)), "body larger than 1 MiB"),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(answer: Answer, problem: str) -> None:
    with server(answer) as url:
        sample = HttpCheck(url, body=BodyAssertion("status == 'ready'"))(5)
    assert sample.outcome == "bad"
    assert sample.problem is not None
    assert problem in sample.problem
    assert sample.latency is not None


def test_without_an_assertion_the_body_is_not_looked_at() -> None:
    with server(reply(b"", 204)) as url:
        assert HttpCheck(url, status=204)(2).outcome == "good"
        assert HttpCheck(url, status=[200, 204])(2).outcome == "good"
    with server(reply(b"x" * (MAXIMUM_BODY + 1))) as url:
        assert HttpCheck(url)(2).outcome == "good"
        assert HttpCheck(url, whole=True)(2).problem == "body larger than 1 MiB"


def test_all_addresses_of_a_name_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, contextlib.ExitStack() as filled:
        for _number in range(4):  # the queue is full: who knocks now hears nothing
            knocking = filled.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listening.getsockname())
        found = socket.getaddrinfo(*listening.getsockname(), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found * 5)
        began = time.monotonic()
        sample = HttpCheck("http://shop.example.com/")(0.4)
    assert sample.problem == "no answer within 0.4 s"
    assert time.monotonic() - began < 1


def test_a_head_request_is_answered_without_body() -> None:
    with server(reply()) as url:
        sample = HttpCheck(url, method="HEAD")(2)
    assert (sample.outcome, sample.body) == ("good", "")


def test_headers_host_and_query_arrive_and_each_sample_uses_a_new_connection() -> None:
    seen: list[tuple[str, dict[str, str], tuple[str, int]]] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, dict(handler.headers), handler.client_address))
        reply()(handler)

    with server(answer) as url:
        check = HttpCheck(f"{url}?deep=1", headers={"X-Token": "t0ken"}, host_header="shop.example.com")
        assert [check(2).outcome, check(2).outcome] == ["good", "good"]
    path, headers, _client = seen[0]
    assert path == "/ready?deep=1"
    assert headers["X-Token"] == "t0ken"
    assert headers["Host"] == "shop.example.com"
    assert headers["Connection"] == "close"
    assert seen[0][2] != seen[1][2]


def test_a_closed_port_is_a_refused_connection() -> None:
    sample = HttpCheck(f"http://127.0.0.1:{free_port()}/")(2)
    assert (sample.outcome, sample.problem, sample.latency) == ("bad", "connection refused", None)


def test_a_name_that_does_not_resolve_is_named() -> None:
    sample = HttpCheck("http://nobody.invalid/")(5)
    assert (sample.outcome, sample.problem) == ("bad", "the host name nobody.invalid does not resolve")


def slow(_connection: socket.socket) -> None:
    time.sleep(1)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _number in range(100):
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_headers(connection: socket.socket) -> None:
    for _number in range(100):
        connection.sendall(b"H")
        time.sleep(0.05)


@pytest.mark.parametrize("talk", [slow, drip, drip_headers])
@pytest.mark.parametrize(("cut", "outcome"), [(False, "bad"), (True, "cut")])
def test_an_answer_that_does_not_end_is_given_up_in_time(
    talk: t.Callable[[socket.socket], None], cut: bool, outcome: str
) -> None:
    with raw_server(talk) as url:
        began = time.monotonic()
        sample = HttpCheck(url)(0.3, cut=cut)
        took = time.monotonic() - began
    assert (sample.outcome, sample.problem) == (outcome, "no answer within 0.3 s")
    assert took < 0.8


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "closed in the middle of the answer"),
    ],
)
def test_what_is_no_http_answer_is_said(said: bytes, problem: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with raw_server(talk) as url:
        sample = HttpCheck(url, body=BodyAssertion("@"))(2)
    assert sample.outcome == "bad"
    assert problem in str(sample.problem)


def test_a_server_without_tls_is_no_https_target() -> None:
    with server(reply()) as url:
        sample = HttpCheck(url.replace("http:", "https:"), context=tls_context(validate=True, ca_path=None))(2)
    assert sample.outcome == "bad"
    assert sample.status is None


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ftp://10.0.0.1/", "the scheme 'ftp'"),
        ("10.0.0.1:80/ready", "the scheme"),
        ("http:///ready", "no host"),
        ("http://10.0.0.1:99999/", "Port"),
        ("http://10.0.0.1:0/", "port 0"),
        ("http://10.0.0.1/a b", "white space"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(url: str, found: str) -> None:
    with pytest.raises(BadInput) as refused:
        HttpCheck(url)
    assert found in str(refused.value)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as refused:
        HttpCheck("http://admin:hunter2@10.0.0.1/")
    assert "secret_headers" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"": "1"}, {"X-A": "\u20ac"}])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(headers: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="A header cannot be sent") as refused:
        HttpCheck("http://10.0.0.1/", headers=headers)
    assert "X-B" not in str(refused.value)


def test_a_missing_file_of_authorities_is_named() -> None:
    with pytest.raises(BadInput, match="No such file") as refused:
        tls_context(validate=True, ca_path="/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"one\r\n  two\tthree", "one two three"),
        (b"a\x1b[31mb\xff", "a?[31mb\ufffd"),
        (b"x" * 300, "x" * 300),
        (b"x" * 301, "x" * 297 + "..."),
    ],
)
def test_an_excerpt_is_short_printable_and_on_one_line(content: bytes, shown: str) -> None:
    assert excerpt(content) == shown
