# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections to PostgreSQL and Redis, and the wait until both can be used."""

from __future__ import annotations

import asyncio
import logging

import psycopg
import psycopg_pool
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .config import Settings
from .schema import SchemaError, apply_missing

log = logging.getLogger("stores")


class Stores:
    """A PostgreSQL pool and a Redis client. Usable once `prepare` has ended; until then `problem` is the reason."""

    def __init__(self, settings: Settings) -> None:
        self._database_url = settings.database_url
        self.problem: Exception | None = SchemaError("the schema is not checked yet")
        self.pool = psycopg_pool.AsyncConnectionPool(
            settings.database_url,
            min_size=1,
            max_size=4,
            timeout=8,
            # Short, because the pauses between attempts grow with it: a database that is back is found at once.
            reconnect_timeout=4,
            open=False,
            # A restarted database costs no request: a dead connection is replaced before it is handed out.
            check=psycopg_pool.AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "connect_timeout": 3,
                "application_name": settings.instance[:60],
                "options": "-c statement_timeout=15s -c idle_in_transaction_session_timeout=15s",
            },
        )
        self.redis = redis.Redis.from_pool(
            redis.BlockingConnectionPool.from_url(
                settings.redis_url,
                max_connections=16,
                timeout=2,
                socket_connect_timeout=2,
                socket_timeout=5,
                health_check_interval=15,
                retry=Retry(NoBackoff(), 1),
            )
        )

    async def prepare(self) -> None:
        """Returns when the schema is up to date and the pool is open; tries again for as long as it takes."""
        while self.problem is not None:
            try:
                applied = await apply_missing(self._database_url)
                for name in applied:
                    log.info("migration %s is applied", name)
                await self.pool.open()
                self.problem = None
            except (psycopg.Error, SchemaError) as error:
                self._tell(error)
                await asyncio.sleep(1)

    def _tell(self, problem: Exception) -> None:
        if str(problem) != str(self.problem):
            log.warning("not ready: %s", one_line(problem))
        self.problem = problem

    async def close(self) -> None:
        """Closes every connection."""
        await self.pool.close()
        await self.redis.aclose()


def one_line(error: BaseException) -> str:
    """Returns the message of an error as one short line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
