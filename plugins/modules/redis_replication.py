#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module redis_replication: a server of a set follows the primary, whoever that is by now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_replication
version_added: "0.1.0"
short_description: Let a Redis or Valkey follow the primary of its set
description:
  - Asks the Sentinels and the servers of the set who is primary. O(primary_address) counts only when none of them
    knows.
  - A server that follows that primary, or is it, is left as it is. Another one becomes its replica, when the
    primary lets it in and no keys get lost that nobody else has.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.redis
  - vitalops.rollout.redis.set
options:
  port:
    description: Port of all servers of the set.
    type: int
    default: 6379
  administrator_password:
    description: Password of the user C(rollout) of all servers of the set.
    type: str
    required: true
  replication_password:
    description: Password of the user C(replication).
    type: str
    required: true
  sentinel_port:
    description: Port of the Sentinels.
    type: int
    default: 26379
  sentinel_password:
    description: Password of the user C(sentinel) of the Sentinels.
    type: str
    default: ""
  foresee:
    description:
      - Only finds out, before a server is configured as a replica, whether the primary lets this host in, and fails if
        not. Changes nothing. A server that follows the primary already is not looked at.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Redis follows the primary of its set
  vitalops.rollout.redis_replication:
    address: 10.0.0.12
    primary_address: 10.0.0.11
    peer_addresses: [10.0.0.11, 10.0.0.12]
    administrator_password: "{{ vault_redis_administrator_password }}"
    replication_password: "{{ vault_redis_replication_password }}"
"""

RETURN = r"""
primary:
  description: Address of the primary.
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
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import parameters, places, replication
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Address

ARGUMENTS: dict[str, t.Any] = {
    **parameters.SERVER,
    **parameters.SET,
    "port": parameters.port(6379),
    "administrator_password": parameters.SECRET,
    "replication_password": parameters.SECRET,
    "sentinel_port": parameters.port(26379),
    "sentinel_password": parameters.SECRET_OR_NONE,
    "foresee": {"type": "bool", "default": False},
}


def main() -> None:
    run_module(ARGUMENTS, follow)


def follow(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns whom this server follows."""
    place = places.server(module.params["server"])
    wanted = places.set_of(module.params)._replace(own=Address(path=place.socket), base=place.base)
    if module.params["foresee"]:
        done = replication.foresee(wanted)
    else:
        done = replication.apply(wanted, check=module.check_mode)
    difference = {"before": {"primary": done.before}, "after": {"primary": done.after}}
    return {"changed": done.changed, "primary": done.primary, "line": done.line, "diff": difference}


if __name__ == "__main__":
    main()
