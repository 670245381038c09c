#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module postgres_standby: PostgreSQL of this host follows a primary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_standby
version_added: "0.1.0"
short_description: Make PostgreSQL of this host a standby that streams
description:
  - A new server is replaced by a base backup of the primary. A standby is left as it is, or started.
  - With O(again), a server that was primary itself, or a standby that cannot go on, is rewound, or copied anew.
  - Refuses, before anything is touched, when the primary does not answer or when the data belongs to another cluster.
  - Can be killed anywhere and run again. A second run while one is at work on the host is refused.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  member:
    description: Name of this host.
    type: str
    required: true
  primary:
    description: Name of the primary.
    type: str
    required: true
  address:
    description: Address of the primary.
    type: str
    required: true
  port:
    description: Port of the primary.
    type: int
    default: 5432
  user:
    description: Role that replicates.
    type: str
    default: replicator
  passfile:
    description: File on the host with the password of O(user).
    type: path
    default: /var/lib/postgresql/rollout.pgpass
  slot:
    description: Replication slot on the primary, which must exist.
    type: str
    required: true
  again:
    description: Whether data of this host that the primary has not may go.
    type: bool
    default: false
  deadline:
    description: Seconds within which the standby must receive.
    type: int
    default: 60
  by:
    description: Who does it, for the journal of the host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: This host follows db1
  vitalops.rollout.postgres_standby:
    member: db2
    primary: db1
    address: 10.0.0.1
    slot: rollout_db2
    by: kim
"""

RETURN = r"""
way:
  description: V(kept), V(started), V(base_backup) or V(rewind).
  returned: success
  type: str
  sample: base_backup
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, join

ARGUMENTS: dict[str, t.Any] = {
    "member": {"type": "str", "required": True},
    "primary": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str", "default": "replicator"},
    "passfile": {"type": "path", "default": "/var/lib/postgresql/rollout.pgpass"},
    "slot": {"type": "str", "required": True},
    "again": {"type": "bool", "default": False},
    "deadline": {"type": "int", "default": 60},
    "by": {"type": "str", "required": True},
}


def main() -> None:
    run_module(ARGUMENTS, follow)


def follow(module: AnsibleModule) -> dict[str, t.Any]:
    """Makes this host a standby. Returns how."""
    wanted = module.params
    upstream = join.Upstream(
        wanted["primary"], wanted["address"], wanted["port"], wanted["user"], wanted["slot"], wanted["passfile"]
    )
    with fence.alone(check=module.check_mode):
        joined = join.join(
            upstream,
            wanted["by"],
            member=wanted["member"],
            again=wanted["again"],
            check=module.check_mode,
            deadline=wanted["deadline"],
        )
    diff = {"before": "", "after": f"{wanted['member']} follows {wanted['primary']} ({joined.way})\n"}
    return {"changed": joined.changed, "way": joined.way, **({"diff": diff} if joined.changed else {})}


if __name__ == "__main__":
    main()
