# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of PostgreSQL that follow from memory and cores, and what they need. Pure. PRIVATE to the collection.

Sources: PostgreSQL 17 documentation, sections 19.4 (resource consumption), 19.5 (WAL), 19.7 (planner) and 28.5 (WAL
configuration); the wiki's "Tuning Your PostgreSQL Server"; the rules of PGTune for web applications.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres.amounts import GIB, KIB, MIB, size, written

#: Bytes that a connection takes for itself, before any query sorts: catalogue caches and the session's own memory.
CONNECTION = 1 * MIB
#: The share of a host's memory that may be promised; the rest is the kernel's.
PROMISED = 0.9
#: What PostgreSQL itself takes where nothing is set.
_ITS_OWN: t.Mapping[str, t.Any] = {
    "shared_buffers": "128MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "max_connections": 100,
    "max_parallel_workers": 8,
}


class Need(t.NamedTuple):
    """Bytes of memory by what takes them."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def budget(memory: str, host: int) -> int:
    """Returns the bytes that PostgreSQL may count on: *memory* is an amount (512MB) or a share of the *host* (75 %).

    A share is rounded down, by a sixteenth at most: a kernel that keeps some MB more for itself after an update must
    not change shared_buffers, for which the server would restart.

    Raises BadInput for anything else.
    """
    share = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", memory)
    if share is None:
        return size(memory)
    if not 0 < float(share[1]) <= 100:
        raise BadInput(f"postgres_memory: {memory} is no share of the host's memory.", expected="1 % to 100 %")
    found = int(host * float(share[1]) / 100)
    step = 1 << max(0, found.bit_length() - 5)
    return found // step * step


def tuning(memory: int, cores: int, connections: int) -> dict[str, t.Any]:
    """Returns settings by their PostgreSQL names for *memory* (bytes), *cores* and *connections* at the same time.

    - shared_buffers: a quarter, at least 128 MB (19.4.1: "a reasonable starting value is 25 %").
    - effective_cache_size: three quarters; nothing is allocated, the planner learns what the page cache holds (19.7.2).
    - work_mem: what is left beside shared_buffers, for every connection three times (a query sorts and hashes more than
      once), between 4 MB, PostgreSQL's own, and 64 MB.
    - maintenance_work_mem: a sixteenth, 64 MB to 2 GB (PGTune): vacuum and index builds run few at a time.
    - max_wal_size: a quarter, 1 GB to 16 GB, so that checkpoints come by time and not by size (28.5); min_wal_size an
      eighth of it. Both take disk, not memory.
    - max_worker_processes and max_parallel_workers: one for each core, the former at least 8, PostgreSQL's own;
      max_parallel_workers_per_gather and max_parallel_maintenance_workers: half the cores, 1 to 4 (PGTune).
    """
    shared = max(128 * MIB, _whole(memory // 4))
    most_wal = _between(GIB, _whole(memory // 4), 16 * GIB)
    half = _between(1, cores // 2, 4)
    return {
        "shared_buffers": written(shared),
        "effective_cache_size": written(max(shared, _whole(memory * 3 // 4))),
        "work_mem": written(_between(4 * MIB, _whole(max(0, memory - shared) // (3 * connections)), 64 * MIB)),
        "maintenance_work_mem": written(_between(64 * MIB, _whole(memory // 16), 2 * GIB)),
        "max_wal_size": written(most_wal),
        "min_wal_size": written(most_wal // 8),
        "max_worker_processes": max(8, cores),
        "max_parallel_workers": max(2, cores),
        "max_parallel_workers_per_gather": half,
        "max_parallel_maintenance_workers": half,
    }


def with_shared_buffers(computed: t.Mapping[str, t.Any], shared: str) -> dict[str, t.Any]:
    """Returns what follows from *shared* instead of from memory: the planner's cache is never smaller than ours.

    Raises BadInput for what is no amount.
    """
    cache = max(size(computed["effective_cache_size"]), _bytes("shared_buffers", shared))
    return {"shared_buffers": shared, "effective_cache_size": written(cache)}


def need(settings: t.Mapping[str, t.Any], cores: int) -> Need:
    """Returns what a server with *settings* needs when it is busy.

    Not every connection sorts at once: as many queries run as the cores can drive (two for each, the wiki's "Number Of
    Database Connections") and the parallel workers they may have. Raises BadInput for a setting that is no amount.
    """

    def amount(name: str) -> int:
        return _bytes(name, settings.get(name, _ITS_OWN[name]))

    connections = int(settings.get("max_connections", _ITS_OWN["max_connections"]))
    workers = int(settings.get("max_parallel_workers", _ITS_OWN["max_parallel_workers"]))
    busy = min(connections, 2 * cores) + min(workers, 2 * cores)
    return Need(
        {
            "shared_buffers": amount("shared_buffers"),
            "maintenance_work_mem": amount("maintenance_work_mem"),
            f"work_mem of {busy} queries and parallel workers at a time": busy * amount("work_mem"),
            f"{connections} connections": connections * CONNECTION,
        }
    )


#: Bytes of a number without a unit (pg_settings.unit).
_BARE = {"shared_buffers": 8 * KIB, "work_mem": KIB, "maintenance_work_mem": KIB}


def _bytes(name: str, told: t.Any) -> int:
    return int(told) * _BARE[name] if str(told).isdigit() else size(told)


def _whole(amount: int) -> int:
    return amount // MIB * MIB


def _between(least: int, amount: int, most: int) -> int:
    return max(least, min(amount, most))
