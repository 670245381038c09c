# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts as PostgreSQL writes them, and whether a running value is the wanted one."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import amounts


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512MB", 512 * 1024**2), ("8GB", 8 * 1024**3), ("64kB", 65536), ("1.5 GB", 1610612736), ("100B", 100)],
)
def test_an_amount_is_read_in_bytes(text: str, expected: int) -> None:
    assert amounts.size(text) == expected


@pytest.mark.parametrize("text", ["512", "512mb", "a lot", "", "-1MB", "5 min"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not an amount of memory"):
        amounts.size(text)


@pytest.mark.parametrize(
    ("amount", "expected"), [(1024**3, "1GB"), (1536 * 1024**2, "1536MB"), (1536 * 1024, "1536kB"), (0, "0kB")]
)
def test_an_amount_is_written_in_the_largest_unit_that_keeps_it_whole(amount: int, expected: str) -> None:
    assert amounts.written(amount) == expected


@pytest.mark.parametrize(
    ("wanted", "setting", "unit", "kind", "expected"),
    [
        ("128MB", "16384", "8kB", "integer", True),
        ("129MB", "16384", "8kB", "integer", False),
        ("4MB", "4096", "kB", "integer", True),
        (100, "100", None, "integer", True),
        ("101", "100", None, "integer", False),
        ("1min", "60", "s", "integer", True),
        ("60s", "60000", "ms", "integer", True),
        ("0.9", "0.9", None, "real", True),
        ("0.8", "0.9", None, "real", False),
        ("banana", "100", None, "integer", False),
        ("5 min", "100", "8kB", "integer", False),
        (True, "on", None, "bool", True),
        ("off", "on", None, "bool", False),
        ("TRY", "try", None, "enum", True),
        ("true", "on", None, "enum", True),
        ("127.0.0.1,10.0.0.5", "127.0.0.1, 10.0.0.5", None, "string", True),
        ("*", "localhost", None, "string", False),
    ],
)
def test_a_running_value_is_the_wanted_one(
    wanted: t.Any, setting: str, unit: str | None, kind: str, expected: bool
) -> None:
    assert amounts.same(wanted, setting, unit, kind) is expected


@pytest.mark.parametrize(
    ("wanted", "row", "expected"),
    [
        ("1GB", ("131072", "8kB", "integer"), True),
        ("2GB", ("131072", "8kB", "integer"), False),
        (100, ("400", None, "integer"), True),
        ("on", ("off", None, "bool"), False),
        ("words", ("100", None, "integer"), False),
    ],
)
def test_a_running_value_is_enough(wanted: t.Any, row: tuple[str, str | None, str], expected: bool) -> None:
    assert amounts.at_least(wanted, *row) is expected
