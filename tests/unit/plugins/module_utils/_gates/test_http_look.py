# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look of a gate at HTTP: many requests to real servers that are well, wrong, slow, endless or silent."""

from __future__ import annotations

import contextlib
import http.server
import platform
import socket
import threading
import time
import tracemalloc
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import http_look, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look, Sampler
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NO_DATA,
    PASS,
)

READY = b'{"status": "ready"}'
MIB = 1024 * 1024
MEBIBYTE = b"x" * MIB
SERVER = f"Date: today, Server: BaseHTTP/0.6 Python/{platform.python_version()}"
SECRET = 'Bearer t0ken"of-the-shop'


class Handler(http.server.BaseHTTPRequestHandler):
    """A request of a Peer. What the peer does with it is the peer's own affair."""

    protocol_version = "HTTP/1.1"
    number = 0  # how many requests came before this one
    received = b""

    def do_GET(self) -> None:
        peer = t.cast("Peer", self.server)
        self.received = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with peer.asked(self), contextlib.suppress(OSError):
            peer.answer(self)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "today"

    def log_message(self, *_arguments: t.Any) -> None:
        pass

    def say(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Sends an answer; *length* is what it says about its body, 0 for a body that ends with the connection."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != 0:
            self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


Behaviour = t.Callable[[Handler], None]


class Peer(http.server.ThreadingHTTPServer):
    """Answers as *answer* does, and knows what it was asked and by how many at the same time."""

    request_queue_size = 128  # one that does not fit would come again after a second
    daemon_threads = True

    def __init__(self, answer: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[Handler] = []
        self.now = self.most = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ready"

    @contextlib.contextmanager
    def asked(self, handler: Handler) -> t.Iterator[None]:
        with self._lock:
            handler.number = len(self.requests)
            self.requests.append(handler)
            self.now += 1
            self.most = max(self.most, self.now)
        yield
        with self._lock:
            self.now -= 1

    def handle_error(self, *_arguments: t.Any) -> None:
        """A client that has gone is what many of these tests are about."""


@pytest.fixture
def peers() -> t.Iterator[t.Callable[[Behaviour], Peer]]:
    started: list[tuple[Peer, threading.Thread]] = []

    def start(answer: Behaviour) -> Peer:
        peer = Peer(answer)
        thread = threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        started.append((peer, thread))
        return peer

    yield start
    for peer, thread in started:
        peer.shutdown()
        peer.socket.close()  # without waiting for those that never answer
        thread.join(5)


Start = t.Callable[[Behaviour], Peer]


def says(body: bytes = READY, status: int = 200, length: int | None = None, **headers: str) -> Behaviour:
    return lambda handler: handler.say(body, status, length, **headers)


def bad_every(count: int) -> Behaviour:
    return lambda handler: handler.say(b"no", 503 if handler.number % count == count - 1 else 200)


def after(seconds: float, *, first: int = 0) -> Behaviour:
    """Answers the *first* ones at once, and all others after *seconds*."""

    def answer(handler: Handler) -> None:
        time.sleep(seconds if handler.number >= first else 0)
        handler.say(READY)

    return answer


def stream(handler: Handler) -> None:
    handler.say(b"", length=0)
    for _number in range(200):
        handler.wfile.write(b"x")
        time.sleep(0.02)


def huge(length: int) -> Behaviour:
    """Sends 50 MiB, and says so when *length* is told."""

    def answer(handler: Handler) -> None:
        handler.say(b"", length=length)
        for _number in range(50):
            handler.wfile.write(MEBIBYTE)
        handler.close_connection = True

    return answer


def sampler(*peers: Peer, **told: t.Any) -> Sampler:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "http", "path": "/ready", **told}]})
    return http_look.sampler(gate, [(f"web-{number}", peer.url) for number, peer in enumerate(peers, 1)])


def look(*peers: Peer, **told: t.Any) -> Look:
    return sampler(*peers, **told)(20)


HUNDRED = {"samples": 100, "concurrency": 10}


@pytest.mark.parametrize(
    ("answer", "told", "verdict", "words"),
    [
        (says(), {}, PASS, ["3 of 3 answers good"]),
        (says(), {"json": ["status == 'ready'", "length(@) == `1`"], "text": "rea"}, PASS, ["3 of 3 answers good"]),
        (says(b"", 204), {"status": [200, 204]}, PASS, ["3 of 3 answers good"]),
        (says(b"", 302, Location="/x"), {"status": 302}, PASS, ["3 of 3 answers good"]),
        (says(), {"method": "HEAD"}, PASS, ["3 of 3 answers good"]),
        (says(MEBIBYTE), {"text": "xxx"}, PASS, ["3 of 3 answers good"]),
        (says(b"no", 503), {"status": [200, 204]}, FAIL, "web-1: status 503 instead of 200 or 204"),
        (
            says(b"", 302, Location="/login?token=1"),
            {},
            FAIL,
            "web-1: status 302 instead of 200: redirect to /login is not followed",
        ),
        (says(b"<html>"), {"json": "ready"}, FAIL, "web-1: the body is not JSON (Expecting value: line 1 column 1"),
        (says(b"[" * 100_000), {"json": "ready"}, FAIL, "web-1: the body is not JSON"),
        (
            says(),
            {"json": ["status == 'ready'", "length(@) == `2`"]},
            FAIL,
            "web-1: the body assertion length(@) == `2` gave false, not true",
        ),
        (says("bereit für".encode()), {"text": "bereit fur"}, FAIL, "the text 'bereit fur' is not in the body"),
        (says("bereit für".encode()), {"text": "für"}, PASS, ["3 of 3 answers good"]),
        (huge(50 * MIB), {}, FAIL, "web-1: body larger than 1 MiB"),
        (huge(0), {}, FAIL, "web-1: body larger than 1 MiB"),
        (says(MEBIBYTE + b"x"), {"text": "xxx"}, FAIL, "web-1: body larger than 1 MiB"),
        (stream, {"samples": 1, "timeout": "300 ms"}, FAIL, "web-1: no answer within 0.3 s"),
        (says(b"short", length=100), {}, FAIL, "web-1: the connection was closed in the middle of the answer"),
        (
            bad_every(33),  # 3 of 100
            {**HUNDRED, "at_most": {"error_share": "5 %"}},
            PASS,
            ["97 of 100 answers good", "error_share 3 %, at most 5 %", "web-1: status 503 instead of 200"],
        ),
        (
            bad_every(33),
            {**HUNDRED, "at_most": {"error_share": "1 %"}},
            FAIL,
            ["97 of 100 answers good", "error_share 3 %, at most 1 %", "web-1: status 503 instead of 200"],
        ),
        (after(0.06), {"at_most": {"p95": "50 ms"}}, FAIL, "3 of 3 answers good"),
        (after(0.06), {"at_most": {"p50": "10 s", "p95": "10 s"}}, PASS, "3 of 3 answers good"),
        (says(), {"min_samples": 4}, INCONCLUSIVE, ["3 of 3 answers good", "3 samples, at least 4"]),
        (bad_every(3), {"min_samples": 4}, FAIL, "2 of 3 answers good"),  # one bad answer disproves "all are good"
        (bad_every(3), {"min_samples": 4, "at_most": {"error_share": "1 %"}}, INCONCLUSIVE, "error_share 33.3 %, "),
    ],
)
def test_a_look_says_what_it_has_seen(
    peers: Start, answer: Behaviour, told: dict[str, t.Any], verdict: str, words: list[str] | str
) -> None:
    seen = look(peers(answer), **told)
    assert seen.verdict == verdict, seen
    if isinstance(words, list):
        assert seen.words == words
    else:
        assert words in "; ".join(seen.words)


def test_one_of_two_targets_is_bad_and_is_named(peers: Start) -> None:
    seen = look(peers(says()), peers(says(b"no", 503)))
    assert seen.verdict == FAIL
    assert seen.words == [
        "3 of 6 answers good",
        "web-2: 0 of 3 good in a row",
        "web-2: status 503 instead of 200",
    ]


def test_a_target_that_never_answers_well_fails_whatever_share_of_all_answers_that_is(peers: Start) -> None:
    good = [peers(says()) for _number in range(9)]
    seen = look(*good, peers(says(b"no", 503)), at_most={"error_share": "10 %"})
    assert seen.verdict == FAIL
    assert seen.words == [
        "27 of 30 answers good",
        "no good answer of web-10",
        "error_share 10 %, at most 10 %",
        "web-10: status 503 instead of 200",
    ]


def test_a_closed_port_is_a_bad_answer(peers: Start) -> None:
    peer = peers(says())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer.server_address = listening.getsockname()
    seen = look(peer, at_most={"p95": "1 s"})
    assert seen.verdict == FAIL
    assert seen.words[2:] == ["p95 unknown, at most 1 s", "web-1: connection refused"]
    assert seen.answers[0] == f"web-1 GET {peer.url}: connection refused"


def test_never_more_than_concurrency_are_asked_at_the_same_time_each_on_its_own_connection(peers: Start) -> None:
    now = most = 0
    lock = threading.Lock()

    def answer(handler: Handler) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        handler.say(READY)

    first, second = peers(answer), peers(answer)
    assert look(first, second, samples=20, concurrency=4).verdict == PASS
    assert 1 < most <= 4
    for peer in (first, second):
        assert len({handler.client_address for handler in peer.requests}) == 20


def test_good_answers_in_a_row_are_counted_over_looks(peers: Start) -> None:
    statuses = iter([200, 200, 200, 503, 200, 200, 200])
    ask = sampler(peers(lambda handler: handler.say(READY, next(statuses))), samples=1, consecutive=3)
    seen = [ask(20) for _number in range(7)]
    assert [one.verdict for one in seen] == [
        *(INCONCLUSIVE, INCONCLUSIVE, PASS),
        *(FAIL, INCONCLUSIVE, INCONCLUSIVE, PASS),
    ]
    assert seen[1].words == ["1 of 1 answers good", "web-1: 2 of 3 good in a row"]


def test_what_the_deadline_cuts_off_is_neither_good_nor_bad(peers: Start) -> None:
    began = time.monotonic()
    seen = sampler(peers(after(8, first=1)))(1)
    assert time.monotonic() - began < 4
    assert seen.verdict == INCONCLUSIVE
    assert seen.words == [
        "1 of 1 answers good",
        "2 of 3 requests cut off by the deadline",
        "web-1: 1 of 3 good in a row",
    ]
    assert seen.answers == []


@pytest.mark.parametrize("limit", [{}, {"at_most": {"error_share": "5 %"}}])
def test_a_target_that_said_nothing_is_no_pass_whatever_it_and_others_said_before(
    peers: Start, limit: dict[str, t.Any]
) -> None:
    ask = sampler(peers(says()), peers(after(8, first=3)), concurrency=6, **limit)
    assert ask(20).verdict == PASS
    seen = ask(1.5)
    assert seen.verdict == NO_DATA
    assert "nothing known of web-2" in seen.words
    assert "3 of 6 requests cut off by the deadline" in seen.words


def test_a_look_as_long_as_the_timeout_is_no_excuse(peers: Start) -> None:
    seen = sampler(peers(after(5)), timeout="1 s")(1)
    assert seen.verdict == FAIL
    assert seen.words[0] == "0 of 1 answers good"


def test_a_resolver_that_hangs_does_not_hold_the_look(monkeypatch: pytest.MonkeyPatch, peers: Start) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: released.wait(10) and [])
    ask = sampler(peers(says()), samples=1, timeout="200 ms")
    began = time.monotonic()
    seen = ask(1.5)
    took = time.monotonic() - began
    released.set()
    assert took < 5
    assert (seen.verdict, seen.words[-1]) == (FAIL, "web-1: no answer within 0.2 s")


def test_a_sampler_that_breaks_is_an_error_and_no_exception() -> None:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "http", "path": "/ready"}]})
    seen = http_look.sampler(gate, [("web-1", "http://a..b/ready")])(5)
    assert seen.verdict == ERROR
    assert "web-1: the sampler broke: UnicodeError" in seen.words[-1]


def test_a_host_without_threads_is_an_error(monkeypatch: pytest.MonkeyPatch, peers: Start) -> None:
    ask = sampler(peers(says()))

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert ask(5) == Look(ERROR, ["the requests could not be sent: can't start new thread"])


def test_without_targets_there_is_nothing_to_judge() -> None:
    assert sampler()(5) == Look(NO_DATA, ["there is no target to ask"])


@pytest.mark.parametrize(
    ("url", "told"),
    [("ftp://10.0.0.1/", {}), ("https://10.0.0.1/", {"ca_path": "/nowhere"}), ("http://a/", {"headers": {"a b": "c"}})],
)
def test_what_can_never_be_asked_is_refused_before_anything_starts(url: str, told: dict[str, t.Any]) -> None:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "http", "path": "/ready", **told}]})
    with pytest.raises(BadInput, match="nothing was sampled"):
        http_look.sampler(gate, [("web-1", url)])


def test_the_newest_bad_answers_are_told_with_what_helps_a_person(peers: Start) -> None:
    peer = peers(
        lambda handler: handler.say(
            b"down\n%d " % handler.number + b"x" * 400,
            503,
            Content_Type="text/plain",
            Location="/login?token=t0ken",
            Allow="GET",
            Retry_After="5",
            Age="7",
            X_Request_Id="r7",
        )
    )
    seen = look(peer, samples=7)
    assert len(seen.answers) == 5
    server = SERVER.replace("Server", "Age: 7, Server")
    headers = f"Content-Type: text/plain, Location: /login, Allow: GET, Retry-After: 5, {server}, X-Request-Id: r7"
    told = f"web-1 GET {peer.url}: 503, {headers}, body: down 6 "
    assert seen.answers[-1] == f"{told}{'x' * (300 - len('down 6 ...'))}..."


def test_a_good_status_with_a_wrong_body_says_what_is_wrong_with_it(peers: Start) -> None:
    peer = peers(says(b"", Content_Type="text/html"))
    seen = look(peer, samples=1, text="ready")
    problem = "the text 'ready' is not in the body"
    assert seen.answers == [f"web-1 GET {peer.url}: 200, {problem}, Content-Type: text/html, {SERVER}, body: (empty)"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_request_has_the_method_headers_and_body_that_were_described(peers: Start, method: str) -> None:
    peer = peers(says())
    told = {"method": method, "body": '{"größe": 1}', "headers": {"content-type": "a/b", "Host": "shop.example.com"}}
    assert look(peer, samples=1, consecutive=1, secret_headers={"Content-Type": "application/json"}, **told).verdict
    (request,) = peer.requests
    assert (request.command, request.path) == (method, "/ready")
    assert request.received == '{"größe": 1}'.encode()
    assert request.headers.get_all("Content-Length") == ["14"]
    assert request.headers.get_all("Content-Type") == ["application/json"]
    assert request.headers.get_all("Host") == ["shop.example.com"]


@pytest.mark.parametrize("padding", [0, 60, 1181])
@pytest.mark.parametrize("status", [200, 302, 503])
def test_a_secret_header_is_sent_and_never_told_even_when_the_answer_repeats_it(
    peers: Start, status: int, padding: int
) -> None:
    token = SECRET.split()[1]

    def answer(handler: Handler) -> None:
        repeated = handler.headers["Authorization"]
        body = b'{"a": "%s"}' % (b" " * padding + repeated.replace('"', '\\"').encode())
        handler.say(body, status, Location=f"/{repeated}", Content_Type=token, Retry_After=repeated)

    peer = peers(answer)
    seen = look(peer, secret_headers={"Authorization": SECRET}, json="a")
    assert peer.requests[0].headers["Authorization"] == SECRET
    assert seen.verdict == FAIL
    assert seen.answers
    assert "t0ken" not in "".join([*seen.words, *seen.answers])


def test_a_secret_body_is_sent_and_never_told_even_when_the_answer_repeats_a_part_of_it(peers: Start) -> None:
    body = '{"user": "smoke-test", "password": "hidden-value", "again": ["deeper-value"], "remember": true}'
    peer = peers(lambda handler: handler.say(b"hidden-value deeper-value for smoke-test", 401))
    seen = look(peer, method="POST", secret_body=body)
    assert peer.requests[0].received.decode() == body
    assert seen.verdict == FAIL
    assert "401" in seen.answers[0]
    assert not any(word in "".join([*seen.words, *seen.answers]) for word in ("hidden", "deeper", "smoke-test"))


def test_a_large_body_needs_little_memory(peers: Start) -> None:
    behaviours = (huge(0), huge(50 * MIB), says(b'["' + b"x" * (MIB - 4) + b'"]'))
    ask = sampler(peers(lambda handler: behaviours[handler.number % 3](handler)), samples=6, concurrency=3, json="@")
    tracemalloc.start()
    try:
        seen = ask(20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen.verdict == FAIL
    assert peak < 16 * MIB


def test_certificates_are_read_once_for_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, t.Any]] = []
    monkeypatch.setattr(http_look, "tls_context", lambda **options: asked.append(options))
    (gate,) = specification.read({"bake": [{"name": "x", "type": "http", "path": "/", "validate_certs": False}]})
    http_look.sampler(gate, [("web-1", "http://10.0.0.1/"), ("web-2", "http://10.0.0.2/")])
    assert asked == []
    http_look.sampler(gate, [("web-1", "https://10.0.0.1/"), ("web-2", "https://10.0.0.2/")])
    assert asked == [{"validate": False, "ca_path": None}]


def test_samples_come_an_interval_apart_from_every_target(peers: Start) -> None:
    first, second = peers(says()), peers(says())
    began = time.monotonic()
    found = look(first, second, samples=4, concurrency=2, sample_interval="100 ms")
    assert found.verdict == PASS
    assert 0.3 <= time.monotonic() - began < 3
    assert (len(first.requests), len(second.requests)) == (4, 4)


def test_a_look_that_is_over_waits_for_no_sample_and_says_how_many_are_missing(peers: Start) -> None:
    began = time.monotonic()
    found = sampler(peers(says()), samples=10, sample_interval="2 s", deadline="30 s")(3)
    assert time.monotonic() - began < 8
    assert "8 of 10 requests cut off by the deadline" in found.words
