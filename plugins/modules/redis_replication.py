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
options:
  server:
    description: Which server it is.
    type: str
    choices: [redis, valkey]
    default: redis
  address:
    description: Address of this server, as the others of the set know it.
    type: str
    required: true
  primary_address:
    description: Address of the first primary.
    type: str
    required: true
  peer_addresses:
    description: Addresses of all servers of the set.
    type: list
    elements: str
    default: []
  port:
    description: Port of all servers of the set.
    type: int
    default: 6379
  tls:
    description: Whether that port, and the one of Sentinel, has TLS.
    type: bool
    default: false
  ca_path:
    description: File of the authorities that issued their certificates.
    type: path
    default: ""
  administrator_password:
    description: Password of the user C(rollout) of all servers of the set.
    type: str
    required: true
  replication_password:
    description: Password of the user C(replication).
    type: str
    required: true
  sentinel_addresses:
    description: Addresses of the Sentinels.
    type: list
    elements: str
    default: []
  sentinel_port:
    description: Port of the Sentinels.
    type: int
    default: 26379
  sentinel_password:
    description: Password of the user C(sentinel) of the Sentinels.
    type: str
    default: ""
  set_name:
    description: Name of the set at the Sentinels.
    type: str
    default: primary
notes:
  - Root rights are needed.
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
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import places, replication
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Address

_ADDRESSES: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
ARGUMENTS: dict[str, t.Any] = {
    "server": {"type": "str", "choices": ["redis", "valkey"], "default": "redis"},
    "address": {"type": "str", "required": True},
    "primary_address": {"type": "str", "required": True},
    "peer_addresses": _ADDRESSES,
    "port": {"type": "int", "default": 6379},
    "tls": {"type": "bool", "default": False},
    "ca_path": {"type": "path", "default": ""},
    "administrator_password": {"type": "str", "required": True, "no_log": True},
    "replication_password": {"type": "str", "required": True, "no_log": True},
    "sentinel_addresses": _ADDRESSES,
    "sentinel_port": {"type": "int", "default": 26379},
    "sentinel_password": {"type": "str", "default": "", "no_log": True},
    "set_name": {"type": "str", "default": "primary"},
}


def main() -> None:
    run_module(ARGUMENTS, follow)


def follow(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns whom this server follows."""
    place = places.server(module.params["server"])
    wanted = places.set_of(module.params)._replace(own=Address(path=place.socket), base=place.base)
    done = replication.apply(wanted, check=module.check_mode)
    difference = {"before": {"primary": done.before}, "after": {"primary": done.after}}
    return {"changed": done.changed, "primary": done.primary, "line": done.line, "diff": difference}


if __name__ == "__main__":
    main()
