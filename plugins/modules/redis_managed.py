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
  users:
    description: Users of applications.
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
      keys:
        description: Patterns of keys that the user may use.
        type: list
        elements: str
        default: ["*"]
      channels:
        description: Patterns of channels that the user may use.
        type: list
        elements: str
        default: []
      commands:
        description: What the user may do. Empty means C(+@all -@admin -@dangerous +info).
        type: list
        elements: str
        default: []
      must_run:
        description: Not asked of a managed server.
        type: list
        elements: str
        default: []
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
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access, managed, plan
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Address, Login

_WORDS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
ARGUMENTS: dict[str, t.Any] = {
    "connection": {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 6379},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "tls": {"type": "bool", "default": False},
            "ca_path": {"type": "path", "default": ""},
        },
    },
    "least_version": {"type": "str", "default": "6.2"},
    "policy": {"type": "str", "default": ""},
    "settings": {"type": "dict", "default": {}},
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "keys": {"type": "list", "elements": "str", "default": ["*"], "no_log": False},
            "channels": _WORDS,
            "commands": _WORDS,
            "must_run": _WORDS,
        },
    },
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
        settings={name: plan.word(value) for name, value in told["settings"].items()},
        rules=rules,
    )
    done = managed.apply(wanted, check=module.check_mode)
    difference = {"before": "", "after": "".join(f"user {name}\n" for name in done.users)}
    return {
        "changed": bool(done.users),
        "version": done.version,
        "users": done.users,
        "notes": done.notes,
        "diff": difference,
    }


if __name__ == "__main__":
    main()
