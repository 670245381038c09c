# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether PostgreSQL and Redis fit on a host together; each role sees its own share alone. Pure. PRIVATE."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres.amounts import MIB
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.managed import measured

from ._postgres_tuning import PROMISED, budget

#: As the roles have them.
DEFAULT_POSTGRES, DEFAULT_REDIS = "25 %", "256mb"


def crowded(name: str, variables: t.Mapping[str, t.Any], memory: int) -> RolloutError | None:
    """Returns what is wrong on a host of both groups with *memory* bytes. What is no amount is told by its role."""
    postgres = str(variables.get("postgres_memory", DEFAULT_POSTGRES))
    redis = str(variables.get("redis_maxmemory", DEFAULT_REDIS))
    try:
        needed = {"postgres_memory": budget(postgres, memory), "redis_maxmemory": int(measured(redis))}
    except (BadInput, ValueError):
        return None
    most = int(memory * PROMISED)
    if sum(needed.values()) <= most:
        return None
    return RolloutError(
        f"PostgreSQL and Redis may have more memory together than {name} can give.",
        expected=f"at most {most // MIB} MB, {PROMISED:.0%} of what the host has",
        found=" and ".join(f"{variable} {amount // MIB} MB" for variable, amount in needed.items()),
        where=name,
        next_step="lower one of them, or give Redis a host of its own",
    )
