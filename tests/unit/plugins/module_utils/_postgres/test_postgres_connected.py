# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is connected and could not come back is told with the rule, unless somebody means it."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import connected

LINES = ["# Managed", "host all all 10.0.0.0/8 reject"]
SHOP, READER = ["shop", "10.0.0.7", "shop", 2], ["reader", "10.0.0.8", "shop", None]


def test_who_would_be_locked_out_is_told_with_the_rule() -> None:
    with pytest.raises(BadInput) as refused:
        connected.refuse([SHOP, READER], [], LINES)
    assert refused.value.found == (
        "shop from 10.0.0.7 in shop: host all all 10.0.0.0/8 reject\n    reader from 10.0.0.8 in shop: no rule"
    )


@pytest.mark.parametrize("may_lose", [["shop", "reader"], ["10.0.0.7", "10.0.0.8"], ["shop", "10.0.0.8"]])
def test_who_is_named_may_be_locked_out(may_lose: list[str]) -> None:
    connected.refuse([SHOP, READER], may_lose, LINES)
    with pytest.raises(BadInput, match=r"postgres_may_lose"):
        connected.refuse([SHOP, READER], may_lose[:1], LINES)


def test_nobody_is_missed_where_nobody_is_connected() -> None:
    connected.refuse([], [], LINES)


HERE = ["host shop shop 127.0.0.1/32 scram-sha-256", "host shop shop ::1/128 scram-sha-256"]
OLD = [
    "host shop shop 10.0.0.7/32 scram-sha-256",
    "host shop shop 10.0.0.8/32 scram-sha-256",
    "host all all all reject",
]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (OLD, []),
        ([OLD[0], OLD[2]], ["10.0.0.8"]),
        # A network is nobody's own, and a list without anybody is a mistake.
        (["host shop shop 10.0.0.0/28 scram-sha-256"], []),
        ([OLD[2]], []),
        (["host shop shop 10.0.9.7/32 scram-sha-256"], []),
        ([*OLD, "host shop shop fd00::7/128 scram-sha-256"], []),
    ],
)
def test_a_host_that_was_taken_out_by_its_address_is_meant(new: list[str], expected: list[str]) -> None:
    assert connected.taken_out([*HERE, *OLD], [*HERE, *new]) == expected
