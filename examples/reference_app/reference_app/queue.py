# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job queue: rows in PostgreSQL are the truth, Redis lists say whose turn it is.

A job is in exactly one of: `waiting` (list), `delayed` (sorted by the time of the next attempt), or the list of the
worker that has it in hand. A copy too many does no harm, because a worker must claim the row first; a copy too few is
found by the scheduler (`requeue_lost`).
"""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    from .stores import Stores

ATTEMPTS = 3
TIMEOUT = 5.0  # s for one attempt
LOST_AFTER = 60  # s after which a job that nobody seems to have is given out again
KEPT = "1 hour"  # finished jobs are forgotten after this

WAITING = "reference:jobs:waiting"
DELAYED = "reference:jobs:delayed"

CLAIM = """
UPDATE jobs SET state = 'running', worker = %(worker)s, attempts = attempts + 1, started_at = now()
WHERE id = %(job)s AND (state = 'queued' OR state = 'running' AND worker = %(worker)s)
RETURNING kind, payload, attempts
"""
FINISH = """
UPDATE jobs SET state = %s, error = %s, due_at = now() + %s * interval '1 second', ended_at = now() WHERE id = %s
"""
LOST = """
UPDATE jobs SET state = 'queued', due_at = now()
WHERE state = 'queued' AND due_at < now() - %(after)s * interval '1 second'
   OR state = 'running' AND started_at < now() - %(after)s * interval '1 second'
RETURNING id
"""
FORGET = "DELETE FROM jobs WHERE state IN ('done', 'failed') AND ended_at < now() - %s::interval"


def next_attempt_after(attempts: int) -> float | None:
    """Returns the seconds to wait after so many failed attempts (1 s, 4 s), or None when it was the last one."""
    return None if attempts >= ATTEMPTS else float(attempts**2)


class Job(t.NamedTuple):
    """A job in hand."""

    number: int
    kind: str
    payload: dict[str, t.Any]
    attempts: int


class Queue:
    """Gives out jobs and takes them back. *worker* names the list of jobs in hand."""

    def __init__(self, stores: Stores, worker: str) -> None:
        self._pool = stores.pool
        self._redis = stores.redis
        self._worker = worker
        self._in_hand = f"reference:jobs:in_hand:{worker}"

    async def add(self, kind: str) -> int:
        """Adds a job without payload; returns its number."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("INSERT INTO jobs (kind) VALUES (%s) RETURNING id", (kind,))
            row = await cursor.fetchone()
        await self.push(row[0])
        return int(row[0])

    async def push(self, *numbers: int) -> None:
        """Puts jobs that have a row already into the waiting list."""
        if numbers:
            await self._redis.lpush(WAITING, *numbers)

    async def recover(self) -> int:
        """Puts back what an earlier life of this worker had in hand; returns how many jobs that were."""
        count = 0
        while await self._redis.lmove(self._in_hand, WAITING, "LEFT", "RIGHT"):
            count += 1
        return count

    async def wake_delayed(self) -> None:
        """Puts jobs whose next attempt is due into the waiting list."""
        due = await self._redis.zrangebyscore(DELAYED, 0, time.time(), start=0, num=100)
        if due:
            async with self._redis.pipeline(transaction=True) as pipe:
                await pipe.lpush(WAITING, *due).zrem(DELAYED, *due).execute()

    async def take(self, wait: float) -> int | None:
        """Takes the next job in hand, waiting *wait* seconds for one; returns its number, None when there is none."""
        number = await self._redis.blmove(WAITING, self._in_hand, wait, "RIGHT", "LEFT")
        return None if number is None else int(number)

    async def claim(self, number: int) -> Job | None:
        """Claims the job in hand before it is done; None when it is done already, or in other hands."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(CLAIM, {"worker": self._worker, "job": number})
            row = await cursor.fetchone()
        if row is None:
            await self._redis.lrem(self._in_hand, 1, str(number))
            return None
        return Job(number, *row)

    async def done(self, job: Job) -> None:
        """Records that the job is done."""
        await self._finish(job, "done", None, 0)
        await self._redis.lrem(self._in_hand, 1, str(job.number))

    async def failed(self, job: Job, error: str) -> None:
        """Records a failed attempt, and plans the next one when there is one."""
        delay = next_attempt_after(job.attempts)
        await self._finish(job, "failed" if delay is None else "queued", error, delay or 0)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrem(self._in_hand, 1, str(job.number))
            if delay is not None:
                pipe.zadd(DELAYED, {str(job.number): time.time() + delay})
            await pipe.execute()

    async def _finish(self, job: Job, state: str, error: str | None, delay: float) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(FINISH, (state, error, delay, job.number))

    async def requeue_lost(self) -> int:
        """Gives out again the jobs that a dead worker or Redis has lost, and forgets old ones; returns how many."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(LOST, {"after": LOST_AFTER})
            numbers = [row[0] for row in await cursor.fetchall()]
            await connection.execute(FORGET, (KEPT,))
        await self.push(*numbers)
        return len(numbers)

    async def depth(self) -> dict[str, int]:
        """Returns how many jobs wait, and how many wait for their next attempt."""
        return {"waiting": await self._redis.llen(WAITING), "delayed": await self._redis.zcard(DELAYED)}
