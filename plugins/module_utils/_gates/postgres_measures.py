# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the limits of a PostgreSQL gate are about, in SQL, and what a standby has to replay still. PRIVATE."""

from __future__ import annotations

import time
import typing as t

from .._foundation.errors import RolloutError

_APART = 1.0  # s between the two readings of a first look that finds a standby behind
_MOST = 1000  # positions that are remembered of a standby that stands still; the oldest ones tell for how long
#: A base backup and an archiver (pg_receivewal) replay nothing, and are no standbys.
_STANDBYS = (
    "pg_stat_replication WHERE state IS DISTINCT FROM 'backup' AND (replay_lsn IS NOT NULL OR write_lsn IS NULL)"
)
# What a primary says about a standby stays as it is when nothing more is written. On a standby the age of what it
# replayed last matters only while there is more to replay, or while nothing can come.
_REPLICATION_LAG = f"""CASE WHEN pg_is_in_recovery() THEN (
    SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
            AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 0
        ELSE greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END
) ELSE (
    SELECT CASE WHEN bool_and(lag IS NOT NULL) THEN max(lag) END
    FROM (
        SELECT CASE WHEN replay_lsn >= pg_current_wal_lsn() THEN 0 ELSE extract(epoch FROM replay_lag) END AS lag
        FROM {_STANDBYS}
    ) AS standbys
) END"""  # noqa: S608 - nothing in it comes from outside
#: What each limit is about; a duration is in s.
_EXPRESSIONS: t.Mapping[str, str] = {
    "connection_share": "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    " / current_setting('max_connections')::float8",
    "replication_lag": _REPLICATION_LAG,
    "longest_transaction": "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)"
    " FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND backend_type NOT IN ('walsender', 'autovacuum worker')",
    "invalid_indexes": "SELECT count(*) FROM pg_index WHERE NOT indisvalid",
}
#: Positions, in bytes: what is written (on a standby: received), and what is replayed (on a primary: by the slowest).
_WRITTEN = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END - '0/0'"
_REPLAYED = f"""CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
    ELSE (SELECT min(replay_lsn) FROM {_STANDBYS}) END - '0/0'"""  # noqa: S608 - the same
#: Without this role the views show only sessions of the own user, and what is not seen would pass.
_SEES_ALL = "pg_has_role('pg_read_all_stats', 'USAGE')"

#: Returns the first row that a query gives.
Row = t.Callable[[str], t.Optional[t.Sequence[t.Any]]]


class _Wal(t.NamedTuple):
    """What was written and what is replayed of it (bytes; None: of no standby, or not known) at a *moment* (s)."""

    moment: float
    on_standby: bool
    written: float | None
    replayed: float | None

    def is_behind(self) -> bool:
        return self.written is not None and self.replayed is not None and self.replayed < self.written


class Measures:
    """Measures what *limits* are about. Remembers what a standby had to replay at the looks before."""

    def __init__(self, limits: t.Mapping[str, float]) -> None:
        self._limits = {name: limits[name] for name in _EXPRESSIONS if name in limits}
        self._last: _Wal | None = None
        self._waiting: list[_Wal] = []

    def take(self, row: Row, left: float) -> dict[str, float | None]:
        """Returns the measures by limit, within *left* seconds. Raises RolloutError when the user may not see them."""
        if not self._limits:
            return {}
        wal, values = self._read(row)
        if "replication_lag" in self._limits:
            if self._last is None and wal.is_behind():
                self._lag(None, wal)
                time.sleep(min(_APART, left / 2))
                wal, values = self._read(row)
            values["replication_lag"] = self._lag(values["replication_lag"], wal)
        return values

    def _read(self, row: Row) -> tuple[_Wal, dict[str, float | None]]:
        texts = (_WRITTEN, _REPLAYED, *(_EXPRESSIONS[name] for name in self._limits))
        asked = ", ".join(f"({text})::float8" for text in texts)
        found = row(f"SELECT current_user, {_SEES_ALL}, pg_is_in_recovery(), {asked}")
        if found is None:
            raise RolloutError("a query without a table gave no row")
        user, sees_all, on_standby, written, replayed, *seen = found
        if not sees_all and list(self._limits) != ["invalid_indexes"]:
            raise RolloutError(f"{user} may not see the sessions of other users: GRANT pg_read_all_stats TO {user}")
        return _Wal(time.monotonic(), on_standby, written, replayed), dict(zip(self._limits, seen))

    def _lag(self, told: float | None, wal: _Wal) -> float | None:
        """Returns the lag in s, None when it is not known whether it is within the limit.

        What was written at an earlier look, and is not replayed, is a lag that is seen. What a primary *told* is of the
        WAL that was replayed last, so it says nothing of a standby that stands still. What a standby told is the most
        that it can be: it is the age of the last transaction, and there may have been none for hours.
        """
        before, self._last = self._last, wal
        if not wal.is_behind():
            self._waiting = []
            return told
        self._waiting = [one for one in self._waiting if (one.written or 0) > (wal.replayed or 0)]
        seen = wal.moment - self._waiting[0].moment if self._waiting else 0.0
        stands_still = bool(self._waiting) and before is not None and before.replayed == wal.replayed
        self._waiting = [*self._waiting[:_MOST], wal]
        limit = self._limits["replication_lag"]
        if seen > limit:
            return seen
        if told is None or (told > limit if wal.on_standby else stands_still):
            return None
        return max(told, seen)
