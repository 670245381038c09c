# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes and numbers: is it alive, is it ready, what is it, how does it do."""

from __future__ import annotations

import asyncio
import time
import typing as t
from collections.abc import Awaitable, Callable

import psycopg
from fastapi import APIRouter, Response
from redis.exceptions import RedisError

from .context import Context, answer
from .schema import read_migrations
from .stores import Stores, one_line

DEADLINE = 2.0  # s for one check


async def _revision(stores: Stores) -> int:
    async with stores.pool.connection(timeout=DEADLINE) as connection:
        row = await (await connection.execute("SELECT max(number) FROM schema_migrations")).fetchone()
    return int(row[0] or 0)


async def _checked(check: Callable[[], Awaitable[t.Any]]) -> tuple[dict[str, t.Any], t.Any]:
    """Returns what to tell about a check, and what the check itself returned."""
    begin = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE):
            value = await check()
    except TimeoutError:
        return _unhealthy(f"no answer within {DEADLINE:g} s"), None
    except Exception as error:  # whatever is wrong with a store is the answer
        return _unhealthy(one_line(error)), None
    return {"status": "healthy", "milliseconds": round((time.perf_counter() - begin) * 1000, 2)}, value


def _unhealthy(reason: str) -> dict[str, t.Any]:
    return {"status": "unhealthy", "reason": reason}


async def check_stores(stores: Stores, needed: int) -> dict[str, dict[str, t.Any]]:
    """Returns database, redis and schema, each with status healthy or unhealthy and the reason."""
    problem = stores.problem
    if problem is None:
        # One question answers for database and schema, so that probes stay cheap.
        asked = await asyncio.gather(_checked(stores.redis.ping), _checked(lambda: _revision(stores)))
        (cache, _pong), (database, revision) = asked
    else:
        cache, _pong = await _checked(stores.redis.ping)
        answers = not isinstance(problem, psycopg.OperationalError)
        database = {"status": "healthy"} if answers else _unhealthy(one_line(problem))
        revision = 0
    if "reason" in database:
        schema = _unhealthy("not known while the database does not answer")
    elif problem is not None:
        schema = _unhealthy(one_line(problem))
    elif revision < needed:
        schema = _unhealthy(f"revision {needed} is needed, the database has {revision}")
    else:
        schema = {"status": "healthy", "revision": revision}
    return {"database": database, "redis": cache, "schema": schema}


def routes(context: Context) -> APIRouter:
    """Returns the routes of one web process."""
    router = APIRouter()
    settings, stores, metrics = context.settings, context.stores, context.metrics
    needed = max((migration.number for migration in read_migrations()), default=0)
    health = {"status": "ok", "version": settings.version}

    def pool_numbers() -> dict[str, float]:
        now = stores.pool.get_stats()
        in_use = now.get("pool_size", 0) - now.get("pool_available", 0)
        return {
            "pool_size": stores.pool.max_size,
            "pool_in_use": in_use,
            "pool_waiting": now.get("requests_waiting", 0),
            "pool_utilization_percent": round(100 * in_use / stores.pool.max_size, 2),
        }

    @router.get("/health")
    async def _health() -> Response:
        return answer(health)

    @router.get("/health/comprehensive")
    async def _comprehensive() -> Response:
        checks = await check_stores(stores, needed)
        well = all(check["status"] == "healthy" for check in checks.values())
        return answer({"status": "healthy" if well else "unhealthy", "checks": checks}, 200 if well else 503)

    @router.get("/ready")
    async def _ready() -> Response:
        checks = await check_stores(stores, needed)
        reasons = {name: check["reason"] for name, check in checks.items() if "reason" in check}
        if context.stopping:
            reasons["process"] = "stopping"
        if settings.faults.not_ready:
            reasons["fault"] = "not_ready"
        if reasons:
            return answer({"status": "not ready", "reasons": reasons}, 503)
        return answer({"status": "ready", "version": settings.version})

    @router.get("/api/health")
    async def _api_health() -> Response:
        check = (await check_stores(stores, needed))["database"]
        if "reason" in check:
            return answer({"status": "unhealthy", "database": "unavailable"}, 503)
        return answer({"status": "healthy", "database": "connected"})

    @router.get("/version")
    async def _version() -> Response:
        return answer(settings.identity())

    @router.get("/api/v1/metrics")
    async def _numbers() -> Response:
        try:
            depth = await context.queue.depth()
        except RedisError:
            depth = None  # the other numbers are worth having without it
        return answer(
            {
                "version": settings.version,
                "requests": metrics.summary(),
                "cache": {
                    "hits": metrics.cache_hits,
                    "misses": metrics.cache_misses,
                    "hit_rate_percent": metrics.hit_rate_percent(),
                },
                "database": pool_numbers(),
                "queue": depth,
            }
        )

    @router.get("/metrics")
    async def _exposition() -> Response:
        gauges = {f"database_{name}": value for name, value in pool_numbers().items()}
        return Response(metrics.exposition(settings.identity(), gauges), media_type="text/plain; version=0.0.4")

    return router
