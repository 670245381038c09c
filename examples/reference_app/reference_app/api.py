# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users come for: patients (read through a cache, written with a job), a slow answer, and the list of jobs."""

from __future__ import annotations

import asyncio
import datetime
import logging
import typing as t

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from .context import Context, answer
from .stores import one_line

log = logging.getLogger("api")

CACHE_SECONDS = 60
# PostgreSQL writes the JSON: no row passes through Python objects.
LIST = """
SELECT coalesce(json_agg(p), '[]')::text
FROM (SELECT id, given_name, family_name, birth_date, provider_id FROM patients ORDER BY id DESC LIMIT %s) p
"""
ONE = "SELECT row_to_json(p)::text FROM (SELECT * FROM patients WHERE id = %s) p"
# The patient and the job are one statement, so there is never one without the other.
ADD = """
WITH patient AS (
    INSERT INTO patients (tenant_id, provider_id, given_name, family_name, birth_date)
    VALUES (1, 1, %s, %s, %s) RETURNING *
), job AS (
    INSERT INTO jobs (kind, payload) SELECT 'welcome', jsonb_build_object('patient_id', id) FROM patient RETURNING id
)
SELECT row_to_json(patient)::text, job.id FROM patient, job
"""
JOBS = """
SELECT coalesce(json_agg(j), '[]')::text
FROM (SELECT id, kind, state, attempts, worker, error, created_at, ended_at FROM jobs ORDER BY id DESC LIMIT %s) j
"""
Limit = t.Annotated[int, Query(ge=1, le=100)]


class NewPatient(BaseModel):
    """Body of a registration."""

    given_name: str = Field(min_length=1, max_length=80)
    family_name: str = Field(min_length=1, max_length=80)
    birth_date: datetime.date = datetime.date(1980, 1, 1)


def routes(context: Context) -> APIRouter:
    """Returns the routes of one web process."""
    router = APIRouter(prefix="/api/v1")
    stores, metrics = context.stores, context.metrics

    async def ask(question: t.LiteralString, *values: t.Any) -> t.Any:
        async with stores.pool.connection() as connection:
            return await (await connection.execute(question, values)).fetchone()

    @router.get("/patients")
    async def _list(limit: Limit = 20) -> Response:
        return answer((await ask(LIST, limit))[0])

    @router.get("/patients/{number}")
    async def _one(number: t.Annotated[int, Path(ge=1, lt=2**63)]) -> Response:
        key = f"reference:patient:{number}"
        try:
            cached = await stores.redis.get(key)
        except RedisError:  # the cache makes it faster, not possible
            cached = None
        if cached is not None:
            metrics.cache_hits += 1
            return answer(cached)
        metrics.cache_misses += 1
        row = await ask(ONE, number)
        if row is None:
            return answer({"error": f"no patient {number}"}, 404)
        try:
            await stores.redis.set(key, row[0], ex=CACHE_SECONDS)
        except RedisError as error:
            log.warning("the cache does not answer: %s", one_line(error))
        return answer(row[0])

    @router.post("/patients")
    async def _add(patient: NewPatient) -> Response:
        row = await ask(ADD, patient.given_name, patient.family_name, patient.birth_date)
        try:
            await context.queue.push(row[1])
        except RedisError as error:  # the row is there, and the scheduler finds it
            log.warning("job %d waits for the scheduler: %s", row[1], one_line(error))
        return answer(row[0], 201)

    @router.get("/slow")
    async def _slow(seconds: t.Annotated[float, Query(ge=0, le=10)] = 1.0) -> Response:
        # Waits here and not in pg_sleep, so that slow requests do not use up the pool.
        await asyncio.sleep(seconds)
        await ask("SELECT 1")
        return answer({"waited": seconds})

    @router.get("/jobs")
    async def _jobs(limit: Limit = 20) -> Response:
        return answer((await ask(JOBS, limit))[0])

    return router
