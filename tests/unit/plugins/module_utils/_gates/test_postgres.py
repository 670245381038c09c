# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at PostgreSQL with a stand-in for psycopg2, which the toolchain does not have.

It comes in through the parameter *library* of the sampler. What the SQL itself finds is for the tests on real hosts.
"""

from __future__ import annotations

import socket
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import postgres, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import ERROR, FAIL, NO_DATA, PASS

CONNECTION = {"host": "db", "port": 5432, "name": "shop", "user": "gate", "password": "hunter2-hunter2"}
Row = t.Optional[t.Sequence[t.Any]]


class Failure(Exception):
    """What psycopg2 raises: with a code when the server said it in a session."""

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.pgcode = code


class Server:
    """Stands in for psycopg2, a connection and a cursor. *says*: what a query gives, a row or a failure."""

    Error = Failure

    def __init__(self, says: t.Callable[[str], Row | Failure], refuses: Failure | None = None) -> None:
        self._says = says
        self._refuses = refuses
        self._found: Row = None
        self.options: dict[str, t.Any] = {}
        self.statements: list[str] = []
        self.closed = 0

    def connect(self, **options: t.Any) -> Server:
        self.options = options
        return self

    def poll(self) -> int:
        if self._refuses:
            raise self._refuses
        return 0

    def cursor(self) -> Server:
        return self

    def execute(self, statement: str) -> None:
        self.statements.append(statement)
        found = self._says(statement) if statement.startswith("SELECT") else self._found
        if isinstance(found, Failure):
            raise found
        self._found = found

    def fetchone(self) -> Row:
        return self._found

    def close(self) -> None:
        self.closed += 1


def look(server: t.Any, allowed: float = 30, **told: t.Any) -> Look:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "postgres", **told}]})
    return postgres.sampler(gate, CONNECTION, lambda: server)(allowed)


def measures(*values: float | None, sees_all: bool = True) -> t.Callable[[str], Row]:
    return lambda _query: ["gate", sees_all, False, 100.0, 100.0, *values]


LIMITS = {"connection_share": "80 %", "replication_lag": "5 s", "longest_transaction": "1 min", "invalid_indexes": 0}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.5, 0.0, 3.0, 0.0), PASS),
        ((0.81, 0.0, 3.0, 0.0), FAIL),
        ((0.5, 5.1, 3.0, 0.0), FAIL),
        ((0.5, 0.0, 61.0, 0.0), FAIL),
        ((0.5, 0.0, 3.0, 1.0), FAIL),
        ((0.5, None, 3.0, 0.0), NO_DATA),
    ],
)
def test_each_measure_has_its_limit(values: t.Sequence[float | None], verdict: str) -> None:
    seen = look(Server(measures(*values)), at_most=LIMITS)
    assert seen.verdict == verdict
    assert [words.split()[0] for words in seen.words] == list(LIMITS)


def test_only_what_has_a_limit_is_asked_in_a_transaction_that_changes_nothing() -> None:
    server = Server(measures(0.0))
    assert look(server, at_most={"invalid_indexes": 0}, timeout="10 s").verdict == PASS
    begin, query, rollback = server.statements
    assert begin.startswith("BEGIN READ ONLY; SET LOCAL statement_timeout = ")
    assert 1000 < int(begin.split()[-1]) <= 9000
    assert "pg_index" in query
    assert "pg_stat_activity" not in query
    assert rollback == "ROLLBACK"
    assert server.closed == 1
    assert server.options == {
        "host": "db",
        "port": 5432,
        "dbname": "shop",
        "user": "gate",
        "password": "hunter2-hunter2",
        "application_name": "rollout gate",
        "async_": True,
    }


def test_a_user_who_sees_only_its_own_sessions_cannot_pass() -> None:
    blind = measures(0.0, sees_all=False)
    seen = look(Server(blind), at_most={"connection_share": "80 %"})
    assert (seen.verdict, "GRANT pg_read_all_stats TO gate" in seen.words[0]) == (ERROR, True)
    assert look(Server(blind), at_most={"invalid_indexes": 0}).verdict == PASS


@pytest.mark.parametrize(
    ("row", "verdict", "words"),
    [
        (["7"], PASS, "query gave 7, expected 7"),
        (["8"], FAIL, "query gave 8, expected 7"),
        ([None], FAIL, "query gave NULL, expected 7"),
        (None, FAIL, "query gave no row, expected 7"),
        ([" 7"], FAIL, "query gave 7, expected 7"),
    ],
)
def test_the_answer_to_a_query_is_as_expected(row: Row, verdict: str, words: str) -> None:
    server = Server(lambda _query: row)
    assert look(server, query="select max(version) from schema_version;", expected="7") == Look(verdict, [words])
    assert "(\nselect max(version) from schema_version\n)" in server.statements[1]


def test_limits_and_the_query_are_both_told_and_the_worse_one_counts() -> None:
    def says(query: str) -> Row:
        return ["8"] if "rollout_seen" in query else ["gate", True, False, None, None, 0.0]

    seen = look(Server(says), query="select 8", expected="7", at_most={"invalid_indexes": 0})
    assert seen == Look(FAIL, ["invalid_indexes 0, at most 0", "query gave 8, expected 7"])


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        ('connection to server at "db", port 5432 failed: Connection refused\n\tIs the server running?', FAIL),
        ("FATAL:  sorry, too many clients already", FAIL),
        ("FATAL:  the database system is starting up", FAIL),
        ('could not translate host name "nobody.invalid" to address: Name or service not known', FAIL),
        ('FATAL:  password authentication failed for user "gate"', ERROR),
        ("fe_sendauth: no password supplied", ERROR),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "gate"', ERROR),
        ('FATAL:  database "shop" does not exist', ERROR),
        ("SSL error: certificate verify failed", ERROR),
        ('invalid sslmode value: "x"', ERROR),
    ],
)
def test_a_refused_connection_fails_and_a_mistake_of_the_gate_is_an_error(reason: str, verdict: str) -> None:
    server = Server(measures(0.0), Failure(reason))
    seen = look(server, at_most={"invalid_indexes": 0})
    assert seen.verdict == verdict
    assert seen.words[0].startswith("connection: refused, db: " if verdict == FAIL else "connection: db: ")
    assert "\n" not in seen.words[0]
    assert server.closed == 1


@pytest.mark.parametrize(
    ("failure", "verdict", "words"),
    [
        (Failure('relation "x" does not exist\nLINE 1: …', "42P01"), ERROR, "query: relation"),
        (Failure("canceling statement due to statement timeout", "57014"), FAIL, "query: canceling"),
        (Failure("terminating connection due to administrator command", "57P01"), FAIL, "connection: lost, term"),
        (Failure("server closed the connection unexpectedly"), FAIL, "connection: lost, server"),
        (Failure("it said hunter2-hunter2", "XX000"), ERROR, "query: it said ****"),
    ],
)
def test_a_wrong_query_is_an_error_and_a_lost_connection_fails(failure: Failure, verdict: str, words: str) -> None:
    seen = look(Server(lambda _query: failure), query="select 1", expected="1")
    assert seen.verdict == verdict
    assert seen.words[0].startswith(words)
    assert "hunter2" not in str(seen)


@pytest.mark.parametrize(("allowed", "verdict"), [(30.0, FAIL), (0.1, ERROR)])
def test_a_server_that_says_nothing_is_given_up_in_time(allowed: float, verdict: str) -> None:
    here, there = socket.socketpair()

    class Silent(Server):
        def poll(self) -> int:
            return 1  # wait until it says something

        def fileno(self) -> int:
            return here.fileno()

    server = Silent(measures())
    with here, there:
        began = time.monotonic()
        seen = look(server, allowed, at_most={"invalid_indexes": 0}, timeout="200 ms")
        took = time.monotonic() - began
    assert seen.verdict == verdict
    assert seen.words[0].startswith("connection: no answer within")
    assert took < 5
    until = time.monotonic() + 5
    while not server.closed and time.monotonic() < until:  # on a busy host its thread comes back a little later
        time.sleep(0.01)
    assert server.closed == 1


def test_a_missing_library_is_named() -> None:
    (gate,) = specification.read({"bake": [{"name": "x", "type": "postgres", "at_most": {"invalid_indexes": 0}}]})

    def missing() -> t.Any:
        raise ModuleNotFoundError("psycopg2")

    seen = postgres.sampler(gate, CONNECTION, missing)(5)
    assert (seen.verdict, "install python3-psycopg2" in seen.words[0]) == (ERROR, True)
