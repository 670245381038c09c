# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that follow from memory and cores."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.postgres_tuning import postgres_tuning


@pytest.mark.parametrize(
    ("memory", "cores", "connections", "expected"),
    [
        ("512MB", 1, 100, ("128MB", "384MB", "4MB", "64MB", "1GB", 2, 1)),
        ("16GB", 4, 100, ("4GB", "12GB", "40MB", "1GB", "4GB", 4, 2)),
        ("256GB", 64, 500, ("64GB", "192GB", "64MB", "2GB", "16GB", 64, 4)),
    ],
)
def test_more_memory_and_cores_give_more(
    memory: str, cores: int, connections: int, expected: tuple[t.Any, ...]
) -> None:
    found = postgres_tuning(memory, cores, connections)
    names = ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size")
    workers = (found["max_parallel_workers"], found["max_parallel_workers_per_gather"])
    assert (*(found[name] for name in names), *workers) == expected
    assert found["max_worker_processes"] >= found["max_parallel_workers"]


@pytest.mark.parametrize(("memory", "cores", "connections"), [("much", 1, 1), ("1GB", 0, 1), ("1GB", 1, 0)])
def test_what_is_no_amount_or_number_is_refused(memory: str, cores: int, connections: int) -> None:
    with pytest.raises(AnsibleFilterError, match=r"vitalops\.rollout\.postgres_tuning: "):
        postgres_tuning(memory, cores, connections)
