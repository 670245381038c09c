# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes: what to make, what an interrupted run left, what waits, and what is of no use."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.postgres_index_steps import postgres_index_steps
from ansible_collections.vitalops.rollout.plugins.filter.postgres_unused_indexes import postgres_unused_indexes

INDEX = {"database": "clinic", "owner": "clinic", "name": "by_patient", "table": "visits", "columns": ["patient"]}
TABLE = {"name": "visits", "schema": "public", "is_index": False, "valid": True, "building": False, "scans": 0}


def present(**changes: t.Any) -> dict[str, t.Any]:
    return {**TABLE, "name": "by_patient", "is_index": True, "scans": 7, **changes}


def results(*rows: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [{"item": "clinic", "query_result": list(rows)}]


@pytest.mark.parametrize(
    ("rows", "leftovers", "missing", "waiting"),
    [
        ((TABLE,), 0, 1, ""),
        ((TABLE, present()), 0, 0, ""),
        ((TABLE, present(valid=False)), 1, 1, ""),
        ((TABLE, present(valid=False, building=True)), 0, 0, "is being made by somebody else"),
        ((), 0, 0, "waits for its table public.visits"),
        (({**TABLE, "schema": "other"},), 0, 0, "waits for its table"),
    ],
)
def test_what_there_is_to_do(rows: tuple[dict[str, t.Any], ...], leftovers: int, missing: int, waiting: str) -> None:
    steps = postgres_index_steps([INDEX], results(*rows))
    assert (len(steps["leftovers"]), len(steps["missing"])) == (leftovers, missing)
    assert waiting in "".join(steps["waiting"]) and bool(waiting) == bool(steps["waiting"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((TABLE, present()), ""),
        ((TABLE, present(scans=0), TABLE, present(scans=1), TABLE, present(scans=0)), ""),
        ((TABLE, present(scans=0)), "was never used (idx_scan 0 in pg_stat_user_indexes)"),
        ((TABLE, present(valid=False)), "is INVALID"),
        ((TABLE,), "is not there"),
    ],
)
def test_an_index_that_is_of_no_use_is_told(rows: tuple[dict[str, t.Any], ...], message: str) -> None:
    told = postgres_unused_indexes([{"name": "clinic", "indexes": [INDEX]}, {"name": "plain"}], results(*rows))
    assert message in "".join(told) and bool(message) == bool(told)


def test_input_of_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected indexes and results"):
        postgres_index_steps([{}], results())
    with pytest.raises(AnsibleFilterError, match="expected databases and results"):
        postgres_unused_indexes([{"indexes": [INDEX]}], results())
