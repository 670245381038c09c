# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at Prometheus through real servers: they answer well, wrongly, slowly, too much, or not at all."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import typing as t
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import prometheus, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import ERROR, FAIL, NO_DATA, PASS

Answer = t.Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def server(answer: Answer, context: ssl.SSLContext | None = None) -> t.Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *_arguments: t.Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_arguments: t.Any) -> None:
            pass

    running = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        running.socket = context.wrap_socket(running.socket, server_side=True)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def reply(body: t.Any, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def found(kind: str, result: t.Any) -> dict[str, t.Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def vector(*values: str) -> dict[str, t.Any]:
    return found(
        "vector", [{"metric": {"instance": f"app{n}"}, "value": [1.5, value]} for n, value in enumerate(values, 1)]
    )


def matrix(*values: str) -> dict[str, t.Any]:
    return found("matrix", [{"metric": {}, "values": [[number, value] for number, value in enumerate(values)]}])


def look(url: str, allowed: float = 30, **told: t.Any) -> Look:
    described = {"name": "x", "type": "prometheus", "query": "up", "at_most": {"value": 5}, **told, "url": url}
    (gate,) = specification.read({"bake": [described]})
    return prometheus.sampler(gate)(allowed)


def asked(body: t.Any, status: int = 200, **told: t.Any) -> Look:
    with server(reply(body, status)) as url:
        return look(url, **told)


@pytest.mark.parametrize(
    ("body", "verdict", "words"),
    [
        (found("scalar", [1.5, "5"]), PASS, ["value 5, at most 5"]),
        (found("scalar", [1.5, "5.5"]), FAIL, ["value 5.5, at most 5"]),
        (found("scalar", [1.5, "+Inf"]), FAIL, ["value inf, at most 5"]),
        (vector("1", "7", "2"), FAIL, ["value 7, at most 5", "worst of instance=app2"]),
        (vector("1", "2"), PASS, ["value 2, at most 5", "worst of instance=app2"]),
        (vector("1", "NaN"), NO_DATA, ["value 1, at most 5", "worst of instance=app1", "1 of 2 numbers are NaN"]),
        (vector("NaN", "7"), FAIL, ["value 7, at most 5", "worst of instance=app2", "1 of 2 numbers are NaN"]),
        (vector("NaN"), NO_DATA, ["the query gave only NaN"]),
        (vector(), NO_DATA, ["the query found nothing"]),
        (matrix("1", "9", "2"), FAIL, ["value 9, at most 5"]),
    ],
)
def test_every_number_must_keep_the_limit(body: t.Any, verdict: str, words: list[str]) -> None:
    assert asked(body) == Look(verdict, words)


def test_each_side_of_the_limits_has_its_own_worst_number() -> None:
    assert asked(vector("1", "3", "9"), at_least={"value": 2}) == Look(
        FAIL, ["value 9, at most 5", "worst of instance=app3", "value 1, at least 2", "worst of instance=app1"]
    )


def test_too_few_series_prove_nothing() -> None:
    assert asked(vector("9"), min_samples=3).verdict == "inconclusive"


def test_long_labels_are_cut() -> None:
    labels = {"path": "/" + "x" * 1000 + "\x1b[31m"}
    words = asked(found("vector", [{"metric": labels, "value": [1, "9"]}])).words
    assert len(words[1]) < 100


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse\n error"}, 400, "bad_data: parse error"),
        ({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503, "timeout: query timed out"),
        (b"<html>\n<b>Sign in</b>", 200, "the answer is not JSON: <html> <b>Sign in</b>"),
        (b"[" * 100_000, 200, "the answer is not JSON: [[["),
        (b"\xff", 200, "the answer is not JSON"),
        ({}, 200, "the answer has no numbers of Prometheus: {}"),
        ([1], 200, "the answer has no numbers of Prometheus: [1]"),
        (found("string", [1, "text"]), 200, "the answer has no numbers of Prometheus"),
        (found("vector", [{"metric": {}, "histogram": [1, {}]}]), 200, "the answer has no numbers of Prometheus"),
        (found("vector", [{"metric": {}, "value": [1, "many"]}]), 200, "the answer has no numbers of Prometheus"),
        (found("matrix", None), 200, "the answer has no numbers of Prometheus"),
        (b"Unauthorized", 401, "status 401 instead of 200"),
        (b"no healthy upstream", 502, "status 502 instead of 200"),
        (b" " * 50_000_000, 200, "larger than 1 MiB"),
    ],
)
def test_what_is_no_answer_of_prometheus_is_an_error(body: t.Any, status: int, words: str) -> None:
    seen = asked(body, status)
    assert seen.verdict == ERROR
    assert words in seen.words[0]
    assert "\n" not in seen.words[0]


def test_a_redirect_is_not_followed() -> None:
    paths = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        reply(b"", 302, Location="/login?token=hunter2")(handler)

    with server(answer) as url:
        seen = look(url)
    assert seen.verdict == ERROR
    assert "status 302" in seen.words[0]
    assert "hunter2" not in str(seen)
    assert len(paths) == 1


def test_the_query_goes_out_as_it_is_and_nothing_is_asked_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    paths = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        reply(matrix("1"))(handler)

    query = 'sum(rate(errors{job="a&b"}[5m])) / 1 > bool 0.5 + 1'
    with server(answer) as url:
        assert look(f"{url}/prometheus/", query=query).verdict == PASS
        assert look(url, query=query, range="5 min").verdict == PASS
        assert look(url, query=query, range="30 s").verdict == PASS
    instant, long, short = (urlsplit(path) for path in paths)
    assert (instant.path, long.path) == ("/prometheus/api/v1/query", "/api/v1/query_range")
    assert parse_qs(instant.query) == {"query": [query], "timeout": ["10.000"]}
    told = {name: float(value) for name, (value,) in parse_qs(long.query).items() if name != "query"}
    assert told["end"] - told["start"] == pytest.approx(300)
    assert told["end"] == pytest.approx(time.time(), abs=60)
    assert told["step"] == 5
    assert parse_qs(short.query)["step"] == ["1.000"]


def test_the_password_arrives_and_is_never_repeated() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply(f"{handler.headers['Authorization']} hunter2-hunter2".encode())(handler)

    with server(answer) as url:
        seen = look(url, user="gate", secret_password="hunter2-hunter2")
        open_url = look(url.replace("//", "//gate:hunter2-hunter2@"))
    token = base64.b64encode(b"gate:hunter2-hunter2").decode()
    assert seen.words[0].startswith("the answer is not JSON: Basic ****")
    assert open_url.verdict == ERROR
    for told in (str(seen), str(open_url)):
        assert "hunter2" not in told
        assert token not in told


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_never_ends_is_given_up_in_time(beginning: bytes) -> None:
    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(beginning)
        for _number in range(1000):
            handler.wfile.write(b"x")
            time.sleep(0.02)

    with server(drip) as url:
        began = time.monotonic()
        seen = look(url, timeout="300 ms")
        took = time.monotonic() - began
    assert seen == Look(ERROR, ["no answer within 0.3 s"])
    assert took < 5


def test_an_address_where_nothing_is_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert look(f"http://127.0.0.1:{port}") == Look(ERROR, ["connection refused"])
    assert "does not resolve" in look("http://nobody.invalid").words[0]
    assert "the scheme 'ftp'" in look("ftp://127.0.0.1").words[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Key and certificate of 127.0.0.1, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    path.write_text(path.read_text() + pathlib.Path(f"{path}.crt").read_text())
    return path


def test_a_certificate_counts_only_when_its_authority_is_known(certificate: pathlib.Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with server(reply(vector("1")), context) as url:
        unknown = look(url)
        assert look(url, ca_path=f"{certificate}.crt").verdict == PASS
        assert look(url, validate_certs=False).verdict == PASS
        assert "cannot be used" in look(url, ca_path="/nowhere/ca.pem").words[0]
    assert unknown.verdict == ERROR
    assert "the certificate is not accepted" in unknown.words[0]
