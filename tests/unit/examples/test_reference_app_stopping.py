# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stop ends what only waits, and loses nothing that has ended."""

from __future__ import annotations

import asyncio
import time

import pytest
from reference_app.stopping import unless_stopped


def test_work_that_ends_first_gives_its_result() -> None:
    async def story() -> str | None:
        return await unless_stopped(asyncio.Event(), asyncio.sleep(0.01, "done"))

    assert asyncio.run(story()) == "done"


def test_a_stop_ends_the_wait_at_once_and_cancels_the_work() -> None:
    cancelled = []

    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "done"

    async def story() -> str | None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        return await unless_stopped(stop, work())

    began = time.monotonic()
    assert asyncio.run(story()) is None
    assert time.monotonic() - began < 5
    assert cancelled == [True]


def test_work_that_has_ended_when_the_stop_comes_is_not_lost() -> None:
    async def story() -> int | None:
        stop = asyncio.Event()
        ended = asyncio.get_running_loop().create_future()
        ended.set_result(7)
        stop.set()
        return await unless_stopped(stop, ended)

    assert asyncio.run(story()) == 7


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise OSError("no store")

    async def story() -> None:
        await unless_stopped(asyncio.Event(), work())

    with pytest.raises(OSError, match="no store"):
        asyncio.run(story())
