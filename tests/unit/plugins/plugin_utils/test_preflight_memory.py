# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL and Redis on one host get no more memory together than it has."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _preflight_memory as memory

GIB = 1024**3


@pytest.mark.parametrize(
    ("variables", "host", "found"),
    [
        ({}, 1 * GIB, ""),
        ({}, GIB // 4, "postgres_memory 64 MB and redis_maxmemory 256 MB"),
        ({"postgres_memory": "75 %"}, 4 * GIB, ""),
        (
            {"postgres_memory": "75 %", "redis_maxmemory": "1gb"},
            4 * GIB,
            "postgres_memory 3072 MB and redis_maxmemory 1024",
        ),
        ({"postgres_memory": "3GB", "redis_maxmemory": 644245094}, 4 * GIB, ""),
        ({"postgres_memory": "3GB", "redis_maxmemory": 644245095}, 4 * GIB, "redis_maxmemory 614 MB"),
        # Redis takes what it needs, and an amount that is none is told by the role.
        ({"redis_maxmemory": 0}, 1 * GIB, ""),
        ({"postgres_memory": "much"}, 1, ""),
        ({"redis_maxmemory": "much"}, 1, ""),
    ],
)
def test_the_sum_counts(variables: dict[str, object], host: int, found: str) -> None:
    told = memory.crowded("host1", variables, host)
    assert found in str(told) if found else told is None


def test_defaults_are_those_of_the_roles() -> None:
    defaults: dict[str, object] = {}
    for role in ("postgres", "redis"):
        with open(f"roles/{role}/defaults/main.yml", encoding="utf-8") as file:
            defaults.update(yaml.safe_load(file))
    assert defaults["postgres_memory"] == memory.DEFAULT_POSTGRES
    assert defaults["redis_maxmemory"] == memory.DEFAULT_REDIS
