# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: does one job at a time. At SIGTERM it finishes the job in hand and takes no other."""

from __future__ import annotations

import asyncio
import logging

from .background import run_until_stopped
from .config import Settings
from .jobs import KINDS
from .queue import TIMEOUT, Job, Queue
from .stopping import unless_stopped
from .stores import Stores, one_line

log = logging.getLogger("worker")

WAIT = 0.5  # s for a job to come; a delayed one can be so late


def run(settings: Settings) -> int:
    """Runs the worker until SIGTERM; returns the exit code."""
    return asyncio.run(_main(settings))


async def _main(settings: Settings) -> int:
    stores = Stores(settings)
    queue = Queue(stores, settings.instance)

    async def start() -> None:
        count = await queue.recover()
        if count:
            log.info("%d jobs that an earlier life had in hand are waiting again", count)

    async def step(stop: asyncio.Event) -> None:
        await queue.wake_delayed()
        # A stop need not wait for a job to come. What comes at that moment is in the list of this worker: see end().
        number = await unless_stopped(stop, queue.take(WAIT))
        job = await queue.claim(number) if number is not None else None
        if job:
            await _attempt(settings, stores, queue, job)

    async def end() -> None:
        await queue.recover()

    return await run_until_stopped(settings, stores, start, step, end)


async def _attempt(settings: Settings, stores: Stores, queue: Queue, job: Job) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.sleep(settings.faults.latency_ms / 1000)
            if settings.faults.strikes():
                raise RuntimeError("fault error_share")
            await KINDS[job.kind](stores, job.payload)
    except Exception as error:
        # Whatever a job does, the worker lives on and the attempt is counted.
        log.warning("attempt %d of job %d (%s) failed: %s", job.attempts, job.number, job.kind, one_line(error))
        await queue.failed(job, one_line(error))
    else:
        await queue.done(job)
