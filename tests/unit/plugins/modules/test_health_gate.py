# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module health_gate, run as a program the way Ansible runs it, against a real server."""

from __future__ import annotations

import http.server
import os
import socket
import sys
import threading
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.tests.unit.plugins.modules import as_ansible

QUICK = {"consecutive": 3, "interval": 0.05, "timeout": 0.5, "deadline": 0.8}


class Service(http.server.ThreadingHTTPServer):
    """Answers each request with the next of *answers* (status, body), and the last one for ever."""

    daemon_threads = True

    def __init__(self, *answers: tuple[int, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.requests: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/ready"

    def __enter__(self) -> Service:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        service = t.cast(Service, self.server)
        service.requests.append(dict(self.headers))
        status, body = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
        self.send_response(status)
        self.send_header("Retry-After", "5")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: t.Any) -> None:
        pass


def run(
    *urls: str, check: bool = False, environment: dict[str, str] | None = None, **options: t.Any
) -> dict[str, t.Any]:
    targets = [{"name": f"web-{number}", "url": url} for number, url in enumerate(urls, start=1)]
    arguments = {"targets": targets, **QUICK, **options, "_ansible_check_mode": check}
    told, written = as_ansible.run("health_gate", arguments, environment)
    return {**told, "__all": written}


def closed_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/ready"


def test_ready_instances_pass() -> None:
    with Service((200, '{"status": "ready"}')) as one, Service((503, "starting"), (200, '{"status": "ready"}')) as two:
        told = run(one.url, two.url, body="status == 'ready'")
    assert (told["changed"], told["verdict"]) == (False, "pass")
    assert [target["samples"] for target in told["targets"]] == [3, 4]
    assert told["targets"][1]["first_failure"]["body"] == "starting"
    assert [line.split(":")[:2] for line in told["summary"]] == [["web-1", " pass"], ["web-2", " pass"]]


def test_a_broken_instance_fails_the_gate_with_everything_a_person_needs() -> None:
    with Service((200, '{"status": "ready"}')) as one, Service((200, '{"status": "starting"}')) as two:
        began = time.monotonic()
        told = run(one.url, two.url, body="status == 'ready'")
        took = time.monotonic() - began
    assert took < QUICK["deadline"] + 20, "it hangs"
    assert (told["failed"], told["verdict"]) == (True, "fail")
    message = told["msg"]
    assert message.startswith("The gate did not pass (fail): 1 of 2 targets did not give the evidence.")
    assert "expected: 3 answers in a row with status 200 and status == 'ready' true on the body" in message
    assert "web-2: fail: 0 of 3 good in a row" in message
    assert "the body assertion status == 'ready' gave false, not true" in message
    (answer,) = [line for line in message.splitlines() if "last answer: status 200, Retry-After: 5, Date: " in line]
    assert answer.endswith(', body: {"status": "starting"}')
    assert told["targets"][1]["last_headers"][0] == "Retry-After: 5"
    assert f"curl -si -m 0.5 '{two.url}', then read the log of web-2" in message
    assert [target["verdict"] for target in told["targets"]] == ["pass", "fail"]
    assert told["error"]["next"].startswith("on this host: curl")


def test_nobody_there_fails_by_the_deadline() -> None:
    told = run(closed_url())
    assert (told["verdict"], told["targets"][0]["last_status"]) == ("fail", None)
    assert "last: connection refused" in told["msg"]


def test_a_bad_expression_is_refused_before_anything_is_asked() -> None:
    with Service((200, "{}")) as service:
        told = run(service.url, body="status = 'ready'")
        assert service.requests == []
    assert "unexpected '=' at character 8" in told["msg"]


def test_headers_are_merged_and_secret_ones_never_shown() -> None:
    with Service((500, "your token is s3cr3t-value")) as service:
        told = run(
            service.url,
            headers={"X-One": "1", "x-token": "public"},
            secret_headers={"X-Token": "s3cr3t-value"},
            host_header="shop.example.com",
        )
    sent = service.requests[0]
    assert (sent["X-One"], sent["X-Token"], sent["Host"]) == ("1", "s3cr3t-value", "shop.example.com")
    assert "-H 'Host: shop.example.com'" in told["msg"]
    assert "s3cr3t-value" not in told["__all"]


def test_masked_values_never_show_when_an_answer_repeats_them() -> None:
    with Service((500, "cannot log in as shop with s3cr3t-value")) as service:
        told = run(service.url, masked=["s3cr3t-value"])
    assert told["verdict"] == "fail"
    assert "cannot log in as shop with ********" in told["msg"]
    assert "s3cr3t-value" not in told["__all"]


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({}, "Check mode samples nothing."),
        ({"body": "status = 'ready'"}, "unexpected '=' at character 8"),
        ({"ca_path": "/nowhere/ca.pem"}, "Check mode samples nothing."),
        ({"consecutive": 0}, "consecutive of 1 or more"),
    ],
)
def test_check_mode_asks_nobody_and_never_fails(options: dict[str, t.Any], note: str) -> None:
    with Service((200, "{}")) as service:
        told = run(service.url, check=True, **options)
        assert service.requests == []
    assert (told.get("failed", False), told["changed"], told["verdict"]) == (False, False, "no_data")
    assert note in told["note"]


def test_without_jmespath_a_run_says_what_to_install_and_check_mode_goes_on(tmp_path: t.Any) -> None:
    (tmp_path / "jmespath.py").write_text("raise ImportError\n")
    hidden = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    told = run(closed_url(), body="status == 'ready'", environment=hidden)
    assert "install python3-jmespath: role gate does" in told["msg"]
    assert run(closed_url(), body="status == 'ready'", environment=hidden, check=True)["verdict"] == "no_data"
    with Service((200, "{}")) as service:
        assert run(service.url, environment=hidden)["verdict"] == "pass"
