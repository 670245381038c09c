# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator counts what users would see: against small servers that misbehave in one way each."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import typing as t

import pytest
from ansible_collections.vitalops.rollout.tests.lab.load_generator import Generator

Answer = t.Callable[[bytes, int, asyncio.StreamWriter], t.Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def target(port: int, name: str = "server", path: str = "") -> dict[str, t.Any]:
    return {"name": name, "host": "127.0.0.1", "port": port, "path": path}


def send(answer: Answer, *, method: str = "GET", count: int = 4, rate: float = 50.0, timeout: float = 0.5) -> Generator:
    """Runs a generator against a server that calls *answer* with each request and its number on the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while not writer.is_closing():
            try:
                request = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            number += 1
            await answer(request, number, writer)
        writer.close()

    async def run() -> Generator:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        mix = [{"kind": "only", "weight": 1, "method": method, "path": "/things/{3..3}?n={n}"}]
        port = server.sockets[0].getsockname()[1]
        generator = Generator(
            {
                "targets": [target(port)],
                "rate": rate,
                "max_seconds": count / rate,
                "timeout": timeout,
                "mix": mix,
            }
        )
        await generator.run()
        server.close()
        return generator

    return asyncio.run(run())


def errors(generator: Generator) -> collections.Counter[str]:
    return collections.Counter(line.error for line in generator.lines)


def test_good_answers_share_a_connection_and_paths_are_filled_in() -> None:
    seen: list[tuple[int, bytes]] = []

    async def answer(request: bytes, number: int, writer: asyncio.StreamWriter) -> None:
        seen.append((number, request.split(b"\r\n")[0]))
        writer.write(GOOD)

    assert errors(send(answer)) == {"": 4}
    assert seen[-1] == (4, b"GET /things/3?n=3 HTTP/1.1")


@pytest.mark.parametrize(("method", "expected"), [("GET", ""), ("POST", "connection closed before an answer")])
def test_only_a_get_on_a_used_connection_is_sent_again_and_counted(method: str, expected: str) -> None:
    async def answer(_request: bytes, number: int, writer: asyncio.StreamWriter) -> None:
        if number == 2:
            writer.close()  # took the request, gave no byte
        else:
            writer.write(GOOD)

    lines = send(answer, method=method, count=2).lines
    assert [line.error for line in lines] == ["", expected]
    assert [line.again for line in lines] == [0, 1 if method == "GET" else 0]


def test_a_fresh_connection_that_closes_is_a_failure_even_for_a_get() -> None:
    async def answer(_request: bytes, _number: int, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert errors(send(answer)) == {"connection closed before an answer": 4}


def test_a_connection_that_was_closed_while_it_rested_is_not_used_for_a_post() -> None:
    async def answer(_request: bytes, _number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD)
        await writer.drain()
        writer.close()

    lines = send(answer, method="POST").lines
    assert {(line.error, line.again) for line in lines} == {("", 0)}


def test_a_short_body_is_a_failure() -> None:
    async def answer(_request: bytes, _number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234")
        writer.close()

    assert errors(send(answer)) == {"connection closed after 4 bytes of the body": 4}


@pytest.mark.parametrize("status", [302, 404, 503])
def test_every_status_outside_200_to_299_is_a_failure(status: int) -> None:
    async def answer(_request: bytes, _number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    assert errors(send(answer)) == {f"status {status}": 4}


def test_silence_is_a_failure_and_does_not_slow_the_schedule() -> None:
    async def answer(_request: bytes, _number: int, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    generator = send(answer, count=10, rate=100.0, timeout=0.3)
    assert errors(generator) == {"no answer within 0.3 s": 10}
    due = sorted(float(line.due) for line in generator.lines)
    assert due[-1] - due[0] == pytest.approx(0.09, abs=0.001)


def test_latency_counts_from_the_moment_a_request_was_due() -> None:
    async def answer(_request: bytes, _number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(GOOD)

    generator = send(answer, count=5, rate=100.0, timeout=5.0)
    assert all(float(line.latency) >= 100 for line in generator.lines)
    assert not generator.in_flight


def test_nobody_listening_is_a_failure_of_each_request() -> None:
    specification = {"targets": [target(1)], "rate": 100, "max_seconds": 0.03, "timeout": 1}
    generator = Generator({**specification, "mix": [{"kind": "x", "weight": 1, "method": "GET", "path": "/"}]})
    asyncio.run(generator.run())
    assert [line.error.startswith("connect failed") for line in generator.lines] == [True] * 3


def send_to_two(*, second_answers: bool) -> tuple[Generator, dict[str, list[bytes]]]:
    """Runs a generator against two servers, the second of which may listen and close every connection instead."""
    seen: dict[str, list[bytes]] = {"lb1": [], "lb2": []}

    def serve(name: str) -> t.Callable[[asyncio.StreamReader, asyncio.StreamWriter], t.Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    seen[name].append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
                    if name == "lb2" and not second_answers:
                        break
                    writer.write(GOOD)
            writer.close()

        return answer

    async def run() -> Generator:
        servers = {name: await asyncio.start_server(serve(name), "127.0.0.1", 0) for name in seen}
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        mix = [{"kind": "only", "weight": 1, "method": "GET", "path": "/{n}"}]
        load = {"targets": [target(port, name, f"/{name}") for name, port in ports.items()], "mix": mix}
        generator = Generator({**load, "rate": 100, "max_seconds": 0.2, "timeout": 1})
        await generator.run()
        for server in servers.values():
            server.close()
        return generator

    return asyncio.run(run()), seen


def test_targets_take_turns_and_have_paths_of_their_own() -> None:
    generator, seen = send_to_two(second_answers=True)
    assert seen["lb1"] == [f"GET /lb1/{number} HTTP/1.1".encode() for number in range(0, 20, 2)]
    assert seen["lb2"] == [f"GET /lb2/{number} HTTP/1.1".encode() for number in range(1, 20, 2)]
    assert collections.Counter((line.target, line.error) for line in generator.lines) == {
        ("lb1", ""): 10,
        ("lb2", ""): 10,
    }


def test_no_other_target_steps_in_for_one_that_fails() -> None:
    generator, seen = send_to_two(second_answers=False)
    assert collections.Counter((line.target, line.error) for line in generator.lines) == {
        ("lb1", ""): 10,
        ("lb2", "connection closed before an answer"): 10,
    }
    assert len(seen["lb1"]) == 10
