# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which indexes to make, to make anew, or to wait for, and which are of no use. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

#: What a host told of one database: rows of name, schema, is_index, valid, building, scans.
Rows = t.Sequence[t.Mapping[str, t.Any]]
Index = t.Mapping[str, t.Any]


class Steps(t.NamedTuple):
    """Indexes to drop, to make (those that are dropped among them), and messages on those that wait."""

    leftovers: list[Index]
    missing: list[Index]
    waiting: list[str]


def steps(wanted: t.Sequence[Index], told: t.Mapping[str, Rows]) -> Steps:
    """Returns what there is to do for *wanted* (each with its database and owner); *told* is by database."""
    found = Steps([], [], [])
    for one in wanted:
        index = {"schema": "public", **one}
        table, present = _look(index, told.get(index["database"], ()))
        if table is None:
            found.waiting.append(
                f"{_named(index)} waits for its table {index['schema']}.{index['table']}: "
                "provision again when it is there."
            )
        elif present is None:
            found.missing.append(index)
        elif not present["valid"] and present["building"]:
            found.waiting.append(f"{_named(index)} is being made by somebody else.")
        elif not present["valid"]:
            found.leftovers.append(index)
            found.missing.append(index)
    return found


def unused(wanted: t.Sequence[Index], told: t.Mapping[str, Rows]) -> list[str]:
    """Returns a message for every index that is not there, not valid, or was never used since statistics began."""
    messages = []
    for one in wanted:
        index = {"schema": "public", **one}
        _table, present = _look(index, told.get(index["database"], ()))
        if present is None:
            messages.append(f"{_named(index)} is not there. Next: provision, once its table is.")
        elif not present["valid"]:
            messages.append(f"{_named(index)} is INVALID. Next: provision, which makes it anew.")
        elif not present["scans"]:
            messages.append(
                f"{_named(index)} was never used (idx_scan 0 in pg_stat_user_indexes). Expected: 1 scan or more. Next: "
                "EXPLAIN the query that it is for; an index that nothing uses slows every write down."
            )
    return messages


def _look(index: Index, rows: Rows) -> tuple[t.Any, t.Any]:
    """Returns the rows of the table and of the index, None for what is not there; of several servers the busiest."""
    sorted_rows = sorted(rows, key=lambda row: int(row["scans"]))
    here = {(row["name"], bool(row["is_index"])): row for row in sorted_rows if row["schema"] == index["schema"]}
    return here.get((index["table"], False)), here.get((index["name"], True))


def _named(index: Index) -> str:
    return f"Index {index['name']} of database {index['database']}"
