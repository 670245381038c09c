#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module postgres_info: what a PostgreSQL host is in its cluster of primary and standbys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_info
version_added: "0.1.0"
short_description: Tell whether PostgreSQL is primary or standby here, and how far behind
description:
  - Tells the state of the server on this host, its position, its lag and its replication slots.
  - Asks the other members over the network who they are, as a standby would reach them.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.attributes.info
options:
  members:
    description: Addresses of the members, by name.
    type: dict
    default: {}
  member:
    description: Name of this host among O(members). It is not asked over the network.
    type: str
  port:
    description: Port of the other members.
    type: int
    default: 5432
  user:
    description: Role to ask the other members as.
    type: str
    default: replicator
  passfile:
    description: File on the host with the password of O(user), as C(pg_basebackup) reads it.
    type: path
    default: /var/lib/postgresql/rollout.pgpass
notes:
  - Needs root rights on the host.
"""

EXAMPLES = r"""
- name: Members are known
  vitalops.rollout.postgres_info:
    members: {db1: 10.0.0.1, db2: 10.0.0.2}
    member: db1
  register: look
"""

RETURN = r"""
state:
  description:
    - V(absent) without a cluster; V(new) when nobody has made anything in it; V(primary), V(standby), V(stopped);
      V(fenced) when it was stopped and is kept from starting; V(unclear) when it runs and does not answer.
  returned: success
  type: str
  sample: standby
system:
  description: System identifier of the cluster. Standbys have that of their primary.
  returned: when there is a cluster
  type: str
  sample: "7400000000000000000"
timeline:
  description: Timeline of the data; it grows with every promotion.
  returned: when there is a cluster
  type: int
  sample: 1
lsn:
  description:
    - How far the server has written (primary) or received (standby); of one that does not run, its last checkpoint.
  returned: when there is a cluster
  type: str
  sample: 0/3000148
holds_something:
  description: Whether somebody has made a database, a table or a slot.
  returned: when there is a cluster
  type: bool
  sample: true
fence:
  description: Who fenced this host, when, why and in favour of whom; none when nobody did.
  returned: when there is a cluster
  type: dict
  sample: {"at": "2026-01-31T22:10:05Z", "by": "kim", "reason": "db2 becomes the primary", "for": "db2"}
receiver:
  description: Status and address of where a standby receives from; none when it receives from nobody.
  returned: when the server answers
  type: dict
  sample: {"status": "streaming", "address": "10.0.0.1", "port": 5432}
senders:
  description:
    - The standbys that receive from this server, with C(lag_bytes) and C(lag_seconds); while one is copied from here,
      C(copied_bytes) and about how much it will be, C(copy_bytes).
  returned: when the server answers
  type: list
  elements: dict
  sample: [{"name": "db2", "state": "streaming", "lag_bytes": 0, "lag_seconds": null}]
slots:
  description: Replication slots; C(retained_bytes) is the WAL that each one keeps.
  returned: when the server answers
  type: list
  elements: dict
  sample: [{"name": "rollout_db2", "active": true, "state": "reserved", "retained_bytes": 0}]
packages:
  description: Installed packages of PostgreSQL with their versions.
  returned: success
  type: dict
  sample: {"postgresql-17": "17.2-1"}
version:
  description: Version of the server that runs.
  returned: when the server answers
  type: str
  sample: "17.2"
members:
  description: What the other members say of themselves; state is one of primary, standby, closed, unreachable, unclear.
  returned: success
  type: dict
  sample: {"db2": {"state": "standby", "timeline": 1}}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import look

ARGUMENTS: dict[str, t.Any] = {
    "members": {"type": "dict", "default": {}},
    "member": {"type": "str"},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "default": "replicator"},
    "passfile": {"type": "path", "default": "/var/lib/postgresql/rollout.pgpass"},
}


def main() -> None:
    run_module(ARGUMENTS, describe)


def describe(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what this host and the members it reaches say."""
    wanted = module.params
    told = look.here()
    others = {name: address for name, address in wanted["members"].items() if name != wanted["member"]}
    asked = {
        name: look.member(address, wanted["port"], wanted["user"], wanted["passfile"])
        for name, address in others.items()
        if told["state"] != "absent"
    }
    return {"changed": False, **told, "members": asked}


if __name__ == "__main__":
    main()
