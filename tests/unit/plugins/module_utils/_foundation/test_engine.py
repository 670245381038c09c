# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the Docker engine, on real sockets: what it says is told, and nobody waits for it for ever."""

from __future__ import annotations

import socket
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import engine
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed


def head(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (head("200 OK") + b'[{"Id": "abc"}]', engine.Answer(200, [{"Id": "abc"}])),
        (head("200 OK") + b"OK", engine.Answer(200, "OK")),
        (head("304 Not Modified"), engine.Answer(304, "")),
    ],
)
def test_an_accepted_answer_is_returned(scripted_engine: t.Any, said: bytes, answer: engine.Answer) -> None:
    path = scripted_engine.says(said)
    assert engine.ask("GET", "/x", deadline=5, accepted=(200, 304), engine_socket=path) == answer


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (head("404 Not Found") + b'{"message": "No such container: x"}', "No such container: x"),
        (head("500 Oops") + b"plain words", "plain words"),
        (head("500 Oops"), "no reason"),
        (b"nonsense", "nonsense"),
        (b"", "closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[", "more expected"),
    ],
)
def test_any_other_answer_is_an_error_that_says_why(scripted_engine: t.Any, said: bytes, told: str) -> None:
    with pytest.raises(CommandFailed, match=told) as failed:
        engine.ask(
            "POST",
            "/containers/x/start",
            deadline=5,
            next_step="docker logs x",
            engine_socket=scripted_engine.says(said),
        )
    assert "POST /containers/x/start" in str(failed.value.where)
    assert failed.value.next_step == "docker logs x"


def test_an_engine_that_is_gone_or_silent_is_an_error_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "engine")
    with pytest.raises(CommandFailed, match="does not answer"):
        engine.ask("GET", "/_ping", deadline=5, engine_socket=path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(CommandFailed, match=r"timed out(.|\n)*next: is the engine up"):
            engine.ask("GET", "/_ping", deadline=0.1, engine_socket=path)


def test_a_question_is_put_as_the_engine_expects_it(scripted_engine: t.Any) -> None:
    image = "/images/registry.test:5000/shop@sha256:abc/json"
    path = scripted_engine.says(head("200 OK"))
    engine.ask("GET", image, query={"filters": '{"a": ["b=c"]}'}, deadline=5, engine_socket=path)
    wanted = f"GET {image}?filters=%7B%22a%22%3A+%5B%22b%3Dc%22%5D%7D HTTP/1.1\r\n"
    assert scripted_engine.asked[0].decode().startswith(wanted)
