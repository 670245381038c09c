# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends HTTP requests at a steady rate and writes one line for each. Runs on the client host; Python 3.11 alone.

Open loop: request number n is due at start + n / rate, whether or not earlier ones have been answered, and its latency
counts from that moment. A slow server therefore meets the same rate as a fast one, and waiting is never left out.

Targets take turns: request number n belongs to target n modulo their number, before anybody knows whether that one
answers, and to no other. What a target fails is its failure; the other targets keep their rate and know nothing of it.

Usage: load_generator.py SPECIFICATION.json RESULTS.csv
The specification: {"targets": [{"name", "host", "port", "path"}], "rate" (of all together), "max_seconds", "timeout",
"mix": [{"kind", "weight", "method", "path", "body"}]}. The path of a target is put before every path of the mix, in
which {1..50} becomes a random number; in a path or body {n} becomes the number of the request.
A line: due time (s since 1970), target, kind, method, status (0: none), latency in ms, how late it was sent in ms, 1
when it was sent again on a new connection, error (empty: none). Beside it, RESULTS.progress says as JSON up to which
moment everything that was due is accounted for ("as_of"): in a line, or in the due times that are still "in_flight".
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import csv
import json
import random
import re
import resource
import select
import signal
import sys
import time
import typing as t
from pathlib import Path

MOST_CONNECTIONS = 4000
FLUSH_SECONDS = 0.2


class RequestFailed(Exception):
    """One request that did not get its whole answer; says whether any byte of an answer had come."""

    def __init__(self, reason: str, *, answer_begun: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer_begun = answer_begun


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.requests = 0
        self.keep = True
        self._answer: asyncio.Future[int] | None = None
        self._buffer = bytearray()
        self._status = 0
        self._body_start = 0
        self._length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when either side closed."""
        self.closed = True
        if self._body_start:
            reason = f"connection closed after {len(self._buffer) - self._body_start} bytes of the body"
        elif exc is not None:
            reason = f"connection reset: {type(exc).__name__}"
        else:
            reason = "connection closed before an answer"
        self._fail(RequestFailed(reason, answer_begun=bool(self._buffer)))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with a piece of an answer."""
        if self._answer is None or self._answer.done():
            self.close()  # an answer that nobody asked for
            return
        self._buffer += data
        try:
            if self._whole():
                self._answer.set_result(self._status)
        except (ValueError, IndexError):
            self._fail(RequestFailed("answer is not HTTP with a Content-Length", answer_begun=True))
            self.close()

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Sends *request*. Returns a future of the status; raises RequestFailed through it."""
        assert self.transport is not None
        self._buffer.clear()
        self._status = self._body_start = self._length = 0
        self.requests += 1
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def usable(self) -> bool:
        """Says whether the server still holds this resting connection open, as far as the kernel knows."""
        if self.closed or self.transport is None or self.transport.is_closing():
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Closes without waiting."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, failure: RequestFailed) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure)

    def _whole(self) -> bool:
        if not self._body_start:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._read_head(bytes(self._buffer[:end]))
            self._body_start = end + 4
        return len(self._buffer) >= self._body_start + self._length

    def _read_head(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        self._status = int(lines[0].split(b" ", 2)[1])
        fields = {}
        for line in lines[1:]:
            name, _colon, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip().lower()
        # Without a length nobody can say that an answer is whole, so only its status counts, and it must be an error.
        self._length = int(fields.get(b"content-length", b"0"))
        if b"content-length" not in fields and self._status == 200:
            raise ValueError
        self.keep = (
            b"content-length" in fields and fields.get(b"connection") != b"close" and lines[0].startswith(b"HTTP/1.1")
        )


class Pool:
    """Connections to one server; grows whenever all are busy. The one that rested longest works next."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.open = 0
        self._idle: collections.deque[Connection] = collections.deque()

    async def take(self, *, new: bool = False) -> Connection:
        """Returns an open connection. Raises RequestFailed."""
        while self._idle and not new:
            connection = self._idle.popleft()
            if connection.usable():
                return connection
            connection.close()
            self.open -= 1
        if self.open >= MOST_CONNECTIONS:
            raise RequestFailed(f"all {MOST_CONNECTIONS} connections are busy")
        self.open += 1
        try:
            _wire, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        except BaseException as error:
            self.open -= 1
            if isinstance(error, OSError):
                raise RequestFailed(f"connect failed: {error.strerror or error}") from error
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """Takes a connection after its request."""
        if connection.closed or not connection.keep:
            connection.close()
            self.open -= 1
        else:
            self._idle.append(connection)


class Target:
    """One server that gets its share of the requests, with connections of its own."""

    def __init__(self, name: str, host: str, port: int, path: str) -> None:
        self.name = name
        self.path = path
        self.host_header = f"{host}:{port}".removesuffix(":80")
        self.pool = Pool(host, port)


class Line(t.NamedTuple):
    """What is written for one request; the docstring of this file explains the columns."""

    due: str
    target: str
    kind: str
    method: str
    status: int
    latency: str
    late: str
    again: int
    error: str


class Generator:
    """The schedule, the requests in flight, and the results waiting to be written."""

    def __init__(self, specification: dict[str, t.Any]) -> None:
        self.specification = specification
        self.targets = [
            Target(entry["name"], entry["host"], int(entry["port"]), entry["path"])
            for entry in specification["targets"]
        ]
        self.timeout = float(specification["timeout"])
        self.lines: list[Line] = []
        self.in_flight: dict[int, float] = {}
        self.next_due = 0.0
        self.stopped = asyncio.Event()
        self._random = random.Random(specification.get("seed", 1))
        self._mix = specification["mix"]
        self._weights = [float(entry["weight"]) for entry in self._mix]

    async def run(self) -> None:
        """Sends until stopped or until max_seconds are over, then waits for what is in flight."""
        rate = float(self.specification["rate"])
        total = int(rate * float(self.specification["max_seconds"]))
        begun = time.monotonic()
        offset = time.time() - begun
        tasks: set[asyncio.Task[None]] = set()
        for number in range(total):
            due = begun + number / rate
            self.next_due = offset + due
            wait = due - time.monotonic()
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), wait)
            elif number % 50 == 0:
                await asyncio.sleep(0)
            if self.stopped.is_set():
                break
            self.in_flight[number] = offset + due
            task = asyncio.create_task(self._one(number, due, offset))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)

    def progress(self) -> dict[str, t.Any]:
        """Returns what the file RESULTS.progress says."""
        return {"as_of": min(time.time(), self.next_due), "in_flight": list(self.in_flight.values())}

    async def _one(self, number: int, due: float, offset: float) -> None:
        entry = self._random.choices(self._mix, self._weights)[0]
        method = entry["method"]
        target = self.targets[number % len(self.targets)]
        request = self._request(target, entry, number)
        sent = time.monotonic()
        status, again, reason = 0, 0, ""
        try:
            # The loop's clock is time.monotonic.
            async with asyncio.timeout_at(due + self.timeout):
                status, again = await self._send(target.pool, request, may_repeat=method == "GET")
            if not 200 <= status <= 299:
                reason = f"status {status}"
        except RequestFailed as failure:
            reason = failure.reason
        except TimeoutError:
            reason = f"no answer within {self.timeout:g} s"
        latency, late = ((moment - due) * 1000 for moment in (time.monotonic(), sent))
        del self.in_flight[number]
        self.lines.append(
            Line(
                f"{offset + due:.4f}",
                target.name,
                entry["kind"],
                method,
                status,
                f"{latency:.2f}",
                f"{late:.2f}",
                again,
                reason,
            )
        )

    async def _send(self, pool: Pool, request: bytes, *, may_repeat: bool) -> tuple[int, int]:
        """Returns the status, and 1 when the request had to be sent again.

        A server may close a connection that rests. When it does so just as a request is on its way, HTTP lets a client
        repeat that request if it is a GET and no byte of an answer has come (RFC 9110, section 9.2.2). Once, on a new
        connection to the same server, and counted. Everything else is a failure.
        """
        connection = await pool.take()
        reused = connection.requests > 0
        try:
            return await self._ask(pool, connection, request), 0
        except RequestFailed as failure:
            if not (may_repeat and reused and not failure.answer_begun):
                raise
        return await self._ask(pool, await pool.take(new=True), request), 1

    async def _ask(self, pool: Pool, connection: Connection, request: bytes) -> int:
        try:
            return await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        finally:
            pool.give_back(connection)

    def _request(self, target: Target, entry: dict[str, t.Any], number: int) -> bytes:
        path = re.sub(
            r"\{(\d+)\.\.(\d+)\}", lambda found: str(self._random.randint(int(found[1]), int(found[2]))), entry["path"]
        )
        path = target.path + path.replace("{n}", str(number))
        head = [f"{entry['method']} {path} HTTP/1.1", f"Host: {target.host_header}"]
        body = b""
        if entry.get("body") is not None:
            body = json.dumps(entry["body"]).replace("{n}", str(number)).encode()
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*head, "Accept: application/json", "", ""]).encode() + body


async def write_results(generator: Generator, file: Path, ended: asyncio.Event) -> None:
    """Appends the lines of finished requests, so that a report can be asked for at any time."""
    progress = file.with_suffix(".progress")
    beside = file.with_suffix(".new")
    with file.open("w", newline="", encoding="utf-8") as output:
        writer = csv.writer(output)
        while True:
            last = ended.is_set()
            lines, generator.lines = generator.lines, []
            beside.write_text(json.dumps(generator.progress()), encoding="utf-8")
            writer.writerows(lines)
            output.flush()
            beside.replace(progress)
            if last:
                return
            await asyncio.sleep(FLUSH_SECONDS)


async def main(specification: Path, results: Path) -> None:
    """Runs one load from its specification to the last answer."""
    generator = Generator(json.loads(specification.read_text(encoding="utf-8")))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, generator.stopped.set)
    ended = asyncio.Event()
    writing = asyncio.create_task(write_results(generator, results, ended))
    await generator.run()
    ended.set()
    await writing


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
