# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program rollout-guard on a host answered, as the result of a task. Pure. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError, playbook

PROGRAM = "/usr/local/sbin/rollout-guard"
PROTOCOL = 3
HIDDEN = "********"


def missing() -> dict[str, t.Any]:
    """Returns the result where there is no such program."""
    return _failure(
        RolloutError(
            "The guard is not installed on this host, so nobody would take back a bad switch; nothing was changed.",
            expected=PROGRAM,
            found="no such program",
            next_step=f"{playbook('provision')} installs it",
        )
    )


def answer(output: str, error: str, code: int, *, masked: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """Returns the last line of *output* as a result, without any of the values in *masked*."""
    lines = [line for line in output.splitlines() if line.strip()]
    try:
        result = json.loads(lines[-1])
        if not isinstance(result, dict):
            raise ValueError("not an object")
    except (IndexError, ValueError):
        result = _failure(
            RolloutError(
                "The program on the host did not give an answer that can be read.",
                expected="one line of JSON",
                found=(error.strip() or output.strip() or f"nothing, exit code {code}")[-500:],
                where=PROGRAM,
                next_step=f"on the host: {PROGRAM} status; {playbook('provision')} installs the program again",
            )
        )
    return t.cast("dict[str, t.Any]", _hide(result, sorted(filter(None, masked), key=len, reverse=True)))


def _failure(error: RolloutError) -> dict[str, t.Any]:
    return {"failed": True, "changed": False, "msg": str(error), "error": error.details()}


def _hide(value: t.Any, masked: t.Sequence[str]) -> t.Any:
    if isinstance(value, str):
        for secret in masked:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {key: _hide(one, masked) for key, one in value.items()}
    if isinstance(value, list):
        return [_hide(one, masked) for one in value]
    return value
