# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on a PostgreSQL server: its load, its standbys, and a query with an expected answer. PRIVATE.

It is asked without ever blocking: the time limit of libpq ends when it is connected, and does not end a server that
stands still.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import select
import time
import typing as t

from . import measured
from .bounded import Bounded, one_line
from .look import Look, Sampler, broken
from .masking import Hide, Masking
from .postgres_measures import Measures
from .specification import GateSpecification
from .verdict import FAIL, PASS, combine

_READY, _READABLE, _WRITABLE = 0, 1, 2  # what psycopg2 waits for: POLL_OK, POLL_READ, POLL_WRITE
_LAST = 0.9  # share of the time left after which the server ends a query by itself: then it also says so
_SEEN = 1000  # characters of the answer to the query
#: What is wrong with the gate and not with the server, in the words of libpq and of the server.
_MISTAKES = re.compile(
    r'authentication failed|no password|pg_hba\.conf|" does not exist|certificate|not support SSL'
    r"|invalid (\w+ value|port|dsn)"
)


def _psycopg2() -> t.Any:
    return importlib.import_module("psycopg2")


def sampler(
    gate: GateSpecification, connection: t.Mapping[str, t.Any], library: t.Callable[[], t.Any] = _psycopg2
) -> Sampler:
    """Returns what looks at the server of *connection*: host, port, name, user, password, sslmode, sslrootcert.

    A server that refuses a connection or says nothing has failed; a mistake of the gate, such as a wrong password, is
    an error. *library* returns psycopg2, or what a test puts in its place.
    """
    look = functools.partial(_look, gate, Measures(gate.at_most), connection, library)
    return Bounded(look, gate.fields["timeout"], silence=FAIL)


def _look(
    gate: GateSpecification,
    measures: Measures,
    connection: t.Mapping[str, t.Any],
    library: t.Callable[[], t.Any],
    allowed: float,
) -> Look:
    ends = time.monotonic() + allowed
    hide = Masking([str(connection.get("password") or "")])
    try:
        driver = library()
    except ImportError:
        return broken("the Python library psycopg2 is missing on this host: install python3-psycopg2")
    with contextlib.ExitStack() as opened:
        try:
            session = _Session(driver.connect(**_options(connection)), ends)
            opened.callback(session.close)
            session.wait()
        except driver.Error as error:
            return _refused(connection.get("host"), one_line(error, hide))
        try:
            return _judge(gate, measures, session, hide)
        except driver.Error as error:
            return _failed(error, hide)


def _options(connection: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    told = {key: connection.get(key) for key in ("host", "port", "user", "password", "sslmode", "sslrootcert")}
    told["dbname"] = connection.get("name")
    used = {key: value for key, value in told.items() if value is not None}
    return {**used, "application_name": "rollout gate", "async_": True}


class _Session:
    """A connection that psycopg2 opened with ``async_``; everything on it raises TimeoutError at the moment *ends*."""

    def __init__(self, connection: t.Any, ends: float) -> None:
        self._connection = connection
        self._ends = ends
        self.close: t.Callable[[], None] = connection.close

    def wait(self) -> None:
        while (state := self._connection.poll()) != _READY:
            readable = [self._connection] if state == _READABLE else []
            writable = [self._connection] if state == _WRITABLE else []
            select.select(readable, writable, [], self.left())

    def row(self, query: str) -> t.Sequence[t.Any] | None:
        """Returns the first row that *query* gives, None without one."""
        cursor = self._connection.cursor()
        milliseconds = max(1, int(self.left() * _LAST * 1000))
        for statement in (f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}", query):
            cursor.execute(statement)
            self.wait()
        found: t.Sequence[t.Any] | None = cursor.fetchone()
        cursor.execute("ROLLBACK")
        self.wait()
        return found

    def left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _judge(gate: GateSpecification, measures: Measures, session: _Session, hide: Hide) -> Look:
    judged = measured.judge(gate, measures.take(session.row, session.left()), 1)
    if gate.fields["query"] is None:
        return Look(*judged)
    verdict, words = _answered(gate, session, hide)
    return Look(combine([judged.verdict, verdict]), [*judged.words, words])


def _answered(gate: GateSpecification, session: _Session, hide: Hide) -> tuple[str, str]:
    """The server itself makes the answer a short text: however large it is, it never comes here."""
    query, expected = gate.fields["query"].strip().rstrip(";"), gate.fields["expected"]
    row = session.row(
        f"SELECT left(rollout_seen::text, {_SEEN}) FROM (\n{query}\n) AS asked(rollout_seen) LIMIT 1"  # noqa: S608
    )
    seen = "no row" if row is None else "NULL" if row[0] is None else one_line(row[0], hide)
    kept = row is not None and row[0] == expected
    return PASS if kept else FAIL, f"query gave {seen}, expected {expected}"


def _refused(host: str | None, reason: str) -> Look:
    if _MISTAKES.search(reason):
        return broken(f"connection: {host}: {reason}")
    return Look(FAIL, [f"connection: refused, {host}: {reason}"])


def _failed(error: t.Any, hide: Hide) -> Look:
    """Tells an error of SQL, which has a code, from the end of the connection: without one, or of class 57P.

    A query that the server ended after its time (57014) is one that was not answered.
    """
    code, reason = error.pgcode, one_line(error, hide)
    if code == "57014":
        return Look(FAIL, [f"query: {reason}"])
    if code is None or code.startswith("57P"):
        return Look(FAIL, [f"connection: lost, {reason}"])
    return broken(f"query: {reason}")
