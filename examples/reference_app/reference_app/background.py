# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What worker and scheduler share: prepared stores, a stop at SIGTERM, and a sign of life in a file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable

import psycopg
import redis

from .config import Settings
from .faults import misbehave
from .healthcheck import heartbeat_file
from .stopping import unless_stopped
from .stores import Stores, one_line

log = logging.getLogger("background")
Step = Callable[[], Awaitable[None]]
LongStep = Callable[[asyncio.Event], Awaitable[None]]
PAUSE = 1.0  # s until a store that did not answer is asked again


async def run_until_stopped(settings: Settings, stores: Stores, start: Step, step: LongStep, end: Step) -> int:
    """Calls *start* once, *step* again and again until SIGTERM, then *end*; a step that has begun is finished.

    *step* gets the event that SIGTERM sets: what only waits in it need not be finished. A store that cannot be reached
    is waited for. Returns the exit code.
    """
    stop = asyncio.Event()

    def end_soon() -> None:
        # A process that hangs goes on with its work: for it there was no signal.
        if not settings.faults.hang_on_stop:
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end_soon)
    faults = asyncio.create_task(misbehave(settings.faults))
    beat = asyncio.create_task(_beat(settings.instance))
    try:
        await unless_stopped(stop, stores.prepare())
        started = False
        while not stop.is_set():
            try:
                if not started:
                    await start()
                    started = True
                    log.info("started %s", settings.identity())
                await step(stop)
            except (psycopg.Error, redis.RedisError, OSError) as error:
                log.warning("a store does not answer: %s", one_line(error))
                await unless_stopped(stop, asyncio.sleep(PAUSE))
        if started:
            await _quietly(end)
        log.info("stopped")
    finally:
        beat.cancel()
        faults.cancel()
        with contextlib.suppress(OSError):
            heartbeat_file(settings.instance).unlink()
        await stores.close()
    return 0


async def _quietly(end: Step) -> None:
    try:
        await end()
    except (psycopg.Error, redis.RedisError, OSError) as error:
        log.warning("could not tidy up: %s", one_line(error))


async def _beat(instance: str) -> None:
    while True:
        heartbeat_file(instance).touch()
        await asyncio.sleep(5)
