#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module redis_sentinel: Sentinel of this host watches a set of servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_sentinel
version_added: "0.1.0"
short_description: Let Sentinel of this host watch a set of servers
description:
  - Writes what Sentinel reads at a start into a file beside its own, which it keeps by itself and which is never
    written here.
  - Tells the running Sentinel about the set by C(SENTINEL MONITOR) and C(SENTINEL SET). The primary is the one that
    other Sentinels and the servers know; O(primary_address) counts only when none of them does.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.redis
  - vitalops.rollout.redis.set
options:
  directives:
    description: Directives that Sentinel reads at a start, without those of the set.
    type: dict
    required: true
  port:
    description: Port of all Sentinels of the set.
    type: int
    default: 26379
  administrator_password:
    description: Password of the user C(rollout) of this Sentinel.
    type: str
    required: true
  password:
    description: Password of the user C(sentinel), by which Sentinels log in at each other and at the servers.
    type: str
    required: true
  redis_administrator_password:
    description: Password of the user C(rollout) of the servers, who are asked when no Sentinel knows the primary.
    type: str
    default: ""
  users:
    description: Users of clients that look for the primary.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Password of the user.
        type: str
        required: true
  primary_port:
    description: Port of all servers of the set.
    type: int
    default: 6379
  quorum:
    description: How many Sentinels must miss the primary before one is elected.
    type: int
    required: true
  down_after_milliseconds:
    description: After how long a server that does not answer is missed.
    type: int
    required: true
  failover_timeout:
    description: Milliseconds of one attempt to make another server primary.
    type: int
    required: true
  parallel_syncs:
    description: How many replicas may read from a new primary at the same time.
    type: int
    required: true
  unit:
    description: What is added to the unit of Sentinel, as a drop-in. It is restarted when that changes.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Sentinel watches the set
  vitalops.rollout.redis_sentinel:
    directives: {bind: 127.0.0.1 10.0.0.21, port: 26379}
    address: 10.0.0.21
    administrator_password: "{{ vault_sentinel_administrator_password }}"
    password: "{{ vault_sentinel_password }}"
    primary_address: 10.0.0.11
    peer_addresses: [10.0.0.11, 10.0.0.12]
    sentinel_addresses: [10.0.0.21, 10.0.0.22, 10.0.0.23]
    quorum: 2
    down_after_milliseconds: 5000
    failover_timeout: 60000
    parallel_syncs: 1
"""

RETURN = r"""
plan:
  description: What changes, and by which way.
  returned: success
  type: list
  elements: str
  sample: ["quorum: 1 -> 2 (SENTINEL SET)"]
primary:
  description: Address of the primary; empty in check mode when Sentinel does not run yet.
  returned: success
  type: str
  sample: 10.0.0.12
line:
  description: Who is primary, and who says so.
  returned: success
  type: str
  sample: 10.0.0.12 is primary, says Sentinel, and stays; the inventory names 10.0.0.11
error:
  description: The parts of the message (what, expected, found, where, next).
  returned: on failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import planned, run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access, parameters, places, sentinels

ARGUMENTS: dict[str, t.Any] = {
    **parameters.SERVER,
    **parameters.SET,
    "directives": {"type": "dict", "required": True},
    "port": parameters.port(26379),
    "administrator_password": parameters.SECRET,
    "password": parameters.SECRET,
    "redis_administrator_password": parameters.SECRET_OR_NONE,
    "users": parameters.records(name=parameters.NEEDED, password=parameters.SECRET),
    "primary_port": parameters.port(6379),
    "quorum": parameters.NUMBER,
    "down_after_milliseconds": parameters.NUMBER,
    "failover_timeout": parameters.NUMBER,
    "parallel_syncs": parameters.NUMBER,
    "unit": parameters.TEXT,
}


def main() -> None:
    run_module(ARGUMENTS, watch)


def watch(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what Sentinel was told, or would be."""
    told = module.params
    asked = places.set_of(
        {
            **told,
            "port": told["primary_port"],
            "administrator_password": told["redis_administrator_password"],
            "replication_password": "",
            "sentinel_port": told["port"],
            "sentinel_password": told["password"],
            "sentinel_addresses": [one for one in told["sentinel_addresses"] if one != told["address"]],
        }
    )
    wanted = sentinels.Wanted(
        directives=told["directives"],
        address=told["address"],
        password=told["password"],
        administrator=told["administrator_password"],
        users=tuple(access.finder(user) for user in told["users"]),
        port=told["port"],
        tls=told["tls"],
        numbers={
            "quorum": told["quorum"],
            "down-after-milliseconds": told["down_after_milliseconds"],
            "failover-timeout": told["failover_timeout"],
            "parallel-syncs": told["parallel_syncs"],
        },
        finds=asked,
        unit=told["unit"],
    )
    done = sentinels.apply(places.sentinel_of(told["server"]), wanted, check=module.check_mode)
    return {
        "changed": bool(done.lines),
        "plan": done.lines,
        "primary": done.primary,
        "line": done.line,
        "diff": planned(done.lines),
    }


if __name__ == "__main__":
    main()
