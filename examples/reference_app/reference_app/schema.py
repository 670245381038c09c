# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies the numbered SQL files of migrations/ that the database lacks. Several instances may try at once."""

from __future__ import annotations

import asyncio
import hashlib
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .config import ROOT

FOLDER = ROOT / "migrations"
LOCK = 7_202_611_480_221  # any number that every release of this application agrees on
LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class SchemaError(Exception):
    """The database and this release disagree about a migration."""


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Returns the migrations of this release in order; raises SchemaError when two have one number."""
    found = [
        Migration(int(path.name.split("_", 1)[0]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("[0-9]*_*.sql"))
    ]
    if len({migration.number for migration in found}) != len(found):
        raise SchemaError(f"two migrations in {folder} have the same number")
    return found


def missing(migrations: list[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Returns what is still to be applied, given number -> checksum; raises SchemaError for a changed file.

    Numbers that only the database knows belong to a newer release and are none of our business.
    """
    for migration in migrations:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise SchemaError(f"migration {migration.name} was changed after it had been applied to the database")
    return [migration for migration in migrations if migration.number not in applied]


async def apply_missing(database_url: str) -> list[str]:
    """Applies what is missing, each file in a transaction of its own; returns the names of what was applied."""
    import psycopg  # noqa: PLC0415  the planning above is used where no driver is installed

    migrations = read_migrations()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, connect_timeout=3) as connection:
        while not await _answer(connection, f"SELECT pg_try_advisory_lock({LOCK})"):
            # Polled, because a session that blocks in pg_advisory_lock deadlocks with CREATE INDEX CONCURRENTLY.
            await asyncio.sleep(0.2)
        # The lock ends with this connection, whatever happens.
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(LEDGER)
        cursor = await connection.execute("SELECT number, checksum FROM schema_migrations")
        todo = missing(migrations, dict(await cursor.fetchall()))
        for migration in todo:
            async with connection.transaction():
                await connection.execute(t.cast("t.LiteralString", migration.sql))
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                    (migration.number, migration.name, migration.checksum),
                )
    return [migration.name for migration in todo]


async def _answer(connection: t.Any, question: str) -> t.Any:
    row = await (await connection.execute(question)).fetchone()
    return row[0]
