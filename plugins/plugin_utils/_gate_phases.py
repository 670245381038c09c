# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates as filters get them. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

#: Gates of these types ask a store; where it is, the variable of that name tells.
STORES = {"postgres": "rollout_database", "redis": "rollout_redis"}
#: What a load balancer looks at by itself, without a run.
ALONE = ("http", "traffic", "prometheus")

Phases = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]


def checked(gates: t.Any, name: str) -> Phases:
    """Returns *gates*, for the filter *name*. Raises AnsibleFilterError for what is not lists of gates by phase."""
    if not isinstance(gates, t.Mapping):
        raise AnsibleFilterError(f"{name}: expected lists of gates by phase, found {type(gates).__name__}")
    return gates


def looking_hosts(
    gate: t.Mapping[str, t.Any], load_balancers: t.Sequence[str], application_hosts: t.Sequence[str], alone: bool
) -> t.Sequence[str]:
    """Returns the names of the hosts that look through *gate*; *alone*: every load balancer decides by itself."""
    if gate.get("type") == "command":
        return [str(gate.get("host") or "localhost")]
    if gate.get("type") in STORES:
        return application_hosts[:1]
    everywhere = alone or gate.get("type") == "traffic" or gate.get("through") == "load_balancer"
    return load_balancers if everywhere else load_balancers[:1]


def left_alone(variables: t.Mapping[str, t.Any]) -> bool:
    """Returns whether load balancers watch the bake, and confirm, when the run has ended."""
    return float(variables.get("rollout_bake_seconds") or 0) > 0 and not is_true(variables, "rollout_bake_attended")


def is_true(variables: t.Mapping[str, t.Any], name: str) -> bool:
    """Returns a flag as YAML or a command line tells it; one that is not told is true."""
    return str(variables.get(name, True)).strip().lower() not in ("false", "no", "off", "0")
