# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler process: enqueues the periodic job. Only the holder of a Redis lease acts; a second scheduler waits."""

from __future__ import annotations

import asyncio
import logging
import time

from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from .background import run_until_stopped
from .config import Settings
from .queue import Queue
from .stopping import unless_stopped
from .stores import Stores

log = logging.getLogger("scheduler")

LEASE = "reference:scheduler:lease"
LEASE_SECONDS = 15
PERIOD = 10.0  # s between two periodic jobs
TICK = 0.5  # s until a free lease is taken


def run(settings: Settings) -> int:
    """Runs the scheduler until SIGTERM; returns the exit code."""
    return asyncio.run(_main(settings))


async def _main(settings: Settings) -> int:
    stores = Stores(settings)
    queue = Queue(stores, settings.instance)
    lease = stores.redis.lock(LEASE, timeout=LEASE_SECONDS, thread_local=False)
    due = time.monotonic()
    waiting = False

    async def start() -> None:
        """Nothing to do before the first step."""

    async def step(stop: asyncio.Event) -> None:
        nonlocal due, waiting
        if not await _hold(lease):
            if not waiting:
                log.info("another scheduler holds the lease; waiting")
            waiting = True
        else:
            if waiting:
                log.info("the lease is ours now")
            waiting = False
            if time.monotonic() >= due:
                due = time.monotonic() + PERIOD
                await queue.add("statistics")
                count = await queue.requeue_lost()
                if count:
                    log.warning("%d lost jobs are waiting again", count)
        await unless_stopped(stop, asyncio.sleep(TICK))

    async def end() -> None:
        if lease.local.token is not None:
            await lease.release()

    return await run_until_stopped(settings, stores, start, step, end)


async def _hold(lease: Lock) -> bool:
    """Renews the lease when it is ours, else tries to get it; returns whether it is ours now."""
    if lease.local.token is not None:
        try:
            return bool(await lease.reacquire())
        except LockError:
            lease.local.token = None
    return bool(await lease.acquire(blocking=False))
