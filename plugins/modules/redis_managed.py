#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module redis_managed: a Redis that nobody can log in to is what an application needs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_managed
version_added: "0.1.0"
short_description: Check a managed Redis over the wire, and make its users
description:
  - Checks the connection with its certificate, the version, that it is a primary, the memory policy, and the settings
    that the service shows. A server that does not fit is refused before any user is made.
  - Makes users where the service lets its clients do so. Elsewhere they must be there and log in.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.redis.users
attributes:
  check_mode:
    details: A user whose commands alone differ is not told.
options:
  connection:
    description: Where the server is, and who asks.
    type: dict
    required: true
    suboptions:
      host:
        description: Name or address. With TLS the certificate must be about it.
        type: str
        required: true
      port:
        description: The port.
        type: int
        default: 6379
      user:
        description: The user; empty is the default one.
        type: str
        default: ""
      password:
        description: The password.
        type: str
        default: ""
      tls:
        description: Whether to use TLS.
        type: bool
        default: false
      ca_path:
        description: A file with the authorities to trust (PEM). Default is the system's own.
        type: path
        default: ""
  least_version:
    description: The oldest version that is good.
    type: str
    default: "6.2"
  policy:
    description: The value of C(maxmemory-policy); empty means that it does not matter.
    type: str
    default: ""
  settings:
    description: Directives with the values that C(CONFIG GET) must tell.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Managed Redis is what the application needs
  vitalops.rollout.redis_managed:
    connection:
      host: cache.example.com
      tls: true
      user: operator
      password: "{{ vault_redis_operator_password }}"
    policy: allkeys-lru
    users:
      - {name: shop, password: "{{ vault_redis_shop_password }}", keys: ["shop:*"]}
"""

RETURN = r"""
version:
  description: Version of the server.
  returned: success
  type: str
  sample: 7.1.0
users:
  description: Users that were made or changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
notes:
  description: What could not be looked at, or is worth knowing.
  returned: success
  type: list
  elements: str
  sample: ["the service does not show its settings"]
error:
  description: The parts of the message (what, expected, found, where, next).
  returned: on failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import planned, run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access, managed, parameters, plan
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Address, Login

ARGUMENTS: dict[str, t.Any] = {
    "connection": {
        "type": "dict",
        "required": True,
        "options": {
            "host": parameters.NEEDED,
            "port": parameters.port(6379),
            "user": parameters.TEXT,
            "password": parameters.SECRET_OR_NONE,
            **parameters.TLS,
        },
    },
    "least_version": {"type": "str", "default": "6.2"},
    "policy": parameters.TEXT,
    "settings": {"type": "dict", "default": {}},
    **parameters.USERS,
}


def main() -> None:
    run_module(ARGUMENTS, check_and_make)


def check_and_make(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what the server is, and the users that were made."""
    told = module.params
    where = told["connection"]
    rules = tuple(access.application(user) for user in told["users"])
    access.unique(rules)
    wanted = managed.Wanted(
        address=Address(where["host"], where["port"], where["tls"], where["ca_path"]),
        login=Login(where["user"], where["password"]),
        least_version=told["least_version"],
        policy=told["policy"],
        settings={name: plan.words(value) for name, value in told["settings"].items()},
        rules=rules,
    )
    done = managed.apply(wanted, check=module.check_mode)
    return {
        "changed": bool(done.users),
        "version": done.version,
        "users": done.users,
        "notes": done.notes,
        "diff": planned(f"user {name}" for name in done.users),
    }


if __name__ == "__main__":
    main()
