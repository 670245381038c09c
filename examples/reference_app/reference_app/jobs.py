# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the jobs do. A job may be done twice (a worker can die between doing and saying so), so each is idempotent."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Awaitable, Callable

from .stores import Stores

STATISTICS_KEY = "reference:statistics"
STATISTICS = """
SELECT json_build_object(
    'patients', (SELECT count(*) FROM patients),
    'welcomed', (SELECT count(*) FROM patients WHERE welcomed_at IS NOT NULL),
    'at', now())
"""


async def welcome(stores: Stores, payload: dict[str, t.Any]) -> None:
    """Welcomes a new patient, once."""
    async with stores.pool.connection() as connection:
        await connection.execute(
            "UPDATE patients SET welcomed_at = now() WHERE id = %s AND welcomed_at IS NULL", (payload["patient_id"],)
        )


async def statistics(stores: Stores, payload: dict[str, t.Any]) -> None:
    """Counts patients and leaves the counts in Redis."""
    async with stores.pool.connection() as connection:
        row = await (await connection.execute(STATISTICS)).fetchone()
    await stores.redis.set(STATISTICS_KEY, json.dumps(row[0]))


KINDS: dict[str, Callable[[Stores, dict[str, t.Any]], Awaitable[None]]] = {"welcome": welcome, "statistics": statistics}
