# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits that a stop ends. Standard library only."""

from __future__ import annotations

import asyncio
import typing as t
from collections.abc import Awaitable

_T = t.TypeVar("_T")


async def unless_stopped(stop: asyncio.Event, work: Awaitable[_T]) -> _T | None:
    """Returns the result of *work*, or None when *stop* is set first; *work* is cancelled then.

    Work that has ended counts, even when the stop comes at the same moment. Raises what it raises.
    """
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return None
