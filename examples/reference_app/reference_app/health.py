# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes and numbers: is it alive, is it ready, what is it, how does it do."""

from __future__ import annotations

import asyncio
import time
import typing as t
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from .context import Context, answer
from .schema import read_migrations
from .stores import Stores, one_line

DEADLINE = 2.0  # s for one check


async def _schema(stores: Stores, needed: int) -> None:
    async with stores.pool.connection(timeout=DEADLINE) as connection:
        row = await (await connection.execute("SELECT max(number) FROM schema_migrations")).fetchone()
    if (row[0] or 0) < needed:
        raise ValueError(f"revision {needed} is needed, the database has {row[0] or 0}")


async def _checked(check: Callable[[], Awaitable[t.Any]]) -> dict[str, t.Any]:
    begin = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE):
            await check()
    except Exception as error:  # whatever is wrong with a store is the answer
        return {"status": "unhealthy", "reason": one_line(error)}
    return {"status": "healthy", "milliseconds": round((time.perf_counter() - begin) * 1000, 2)}


async def check_stores(stores: Stores, needed: int) -> dict[str, dict[str, t.Any]]:
    """Returns database, redis and schema, each with status healthy or unhealthy and the reason."""
    if stores.problem:
        schema = {"status": "unhealthy", "reason": stores.problem}
        return {"database": schema, "redis": await _checked(stores.redis.ping), "schema": schema}
    # One question to the database answers for both, so that probes stay cheap.
    schema, cache = await asyncio.gather(_checked(lambda: _schema(stores, needed)), _checked(stores.redis.ping))
    return {"database": schema, "redis": cache, "schema": schema}


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
                "queue": await context.queue.depth(),
            }
        )

    @router.get("/metrics")
    async def _exposition() -> Response:
        gauges = {f"database_{name}": value for name, value in pool_numbers().items()}
        return Response(metrics.exposition(settings.identity(), gauges), media_type="text/plain; version=0.0.4")

    return router
