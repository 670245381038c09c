# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web process: uvicorn around the API, with faults at its edge and a stop that finishes what it began."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
import time
import typing as t
from collections.abc import AsyncIterator

import psycopg
import uvicorn
from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

from . import admin, api, health, login
from .config import Settings
from .context import Context, answer
from .faults import misbehave
from .metrics import Metrics
from .queue import Queue
from .stores import Stores, one_line

log = logging.getLogger("web")

# Longer than a load balancer keeps an idle connection, so that it is never us who closes under a request.
KEEP_ALIVE = 75
BACKLOG = 1024
LAST_CALL = 0.5  # s for the queue to run empty, and for a new connection to bring its request
# Slow or failing answers are for users: a release that hurts them can look healthy to every probe.
PROBES = ("/health", "/ready", "/metrics", "/admin/faults")
WRONG_BODY = json.dumps({"unexpected": "this is not the answer you asked for"})


def run(settings: Settings) -> int:
    """Serves until SIGTERM; returns the exit code."""
    stores = Stores(settings)
    context = Context(settings, stores, Queue(stores, settings.instance), Metrics())
    config = uvicorn.Config(
        Edge(context, build(context)),
        host="0.0.0.0",  # noqa: S104  containers and load balancers reach it from outside
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    listener = socket.create_server((config.host, config.port), backlog=BACKLOG)
    Server(context, config).run([listener])
    return 0


def build(context: Context) -> FastAPI:
    """Returns the API. It answers at once; /ready says when the stores can be used."""

    @contextlib.asynccontextmanager
    async def lifespan(_api: FastAPI) -> AsyncIterator[None]:
        log.info("started %s on port %d", context.settings.identity(), context.settings.port)
        tasks = [asyncio.create_task(context.stores.prepare()), asyncio.create_task(misbehave(context.settings.faults))]
        yield
        for task in tasks:
            task.cancel()
        await context.stores.close()
        log.info("stopped after %d requests", context.metrics.summary()["total"])

    async def unavailable(_request: Request, error: Exception) -> Response:
        log.warning("a store does not answer: %s", one_line(error))
        return answer({"error": "a store does not answer"}, 503)

    app = FastAPI(title="Reference application", lifespan=lifespan, openapi_url=None)
    app.add_exception_handler(psycopg.OperationalError, unavailable)
    app.add_exception_handler(RedisError, unavailable)
    for room in (health, login, api):
        app.include_router(room.routes(context))
    if context.settings.admin_token:
        app.include_router(admin.routes(context))
    return app


class Edge:
    """Wraps the API: measures, injects faults, and while stopping asks each client to come back on a new connection."""

    def __init__(self, context: Context, app: t.Any) -> None:
        self._context = context
        self._app = app

    async def __call__(self, scope: t.Any, receive: t.Any, send: t.Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, status, begin = self._context, 500, time.perf_counter()

        async def measured(message: t.Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # The load balancer logs which release answered, and keeps it from users.
                headers = [*message.get("headers", ()), (b"x-release-id", context.settings.release.encode())]
                message["headers"] = [*headers, (b"connection", b"close")] if context.stopping else headers
            await send(message)

        context.metrics.in_flight += 1
        try:
            app = await self._faulty(scope["path"]) or self._app
            await app(scope, receive, measured)
        finally:
            context.metrics.in_flight -= 1
            context.metrics.count(scope["method"], status, time.perf_counter() - begin)

    async def _faulty(self, path: str) -> Response | None:
        """Returns the answer that a fault gives in place of the API, or None."""
        faults = self._context.settings.faults
        if faults.wrong_body and not path.startswith("/admin/"):
            return answer(WRONG_BODY)
        if path in PROBES:
            return None
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 1000)
        return answer({"error": "fault error_share"}, 500) if faults.strikes(path) else None


class Server(uvicorn.Server):
    """Stops in two steps: /ready turns 503 while requests are still served, then no connection is accepted any more."""

    def __init__(self, context: Context, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._context = context
        self._stop_at = 0.0

    def handle_exit(self, sig: int, frame: t.Any) -> None:
        if not self._context.stopping:
            self._context.stopping = True
            self._stop_at = time.monotonic() + self._context.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        due = self._context.stopping and time.monotonic() >= self._stop_at
        if due and not self._context.settings.faults.hang_on_stop:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Closing a listener resets the connections that wait in its queue. So let the queue run empty first: whoever
        # comes now tries again, and is refused as a connection, never as a request.
        last_call = time.monotonic() + LAST_CALL
        for listener in sockets or []:
            listener.listen(0)
            while _waiting(listener) and time.monotonic() < last_call:
                await asyncio.sleep(0.002)
        for server in self.servers:
            server.close()
        # A connection that was made just before may have its request on the way: it is still answered.
        last_call = time.monotonic() + LAST_CALL
        while self.server_state.connections and time.monotonic() < last_call:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def _waiting(listener: socket.socket) -> int:
    """Returns how many connections wait to be accepted. For a listener, Linux tells it as tcpi_unacked (at byte 24)."""
    return int(struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])
