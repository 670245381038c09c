#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module redis_settings: a Redis or Valkey of this host has the wanted settings and users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_settings
version_added: "0.1.0"
short_description: Give a Redis or Valkey of this host its settings and users
description:
  - A throw-away server, which has no port and no keys, reads the new settings and users first. What it does not accept,
    and users that would lock out somebody who must get in, are refused before the running server is touched.
  - Then the files are written, and the running server gets what differs by C(CONFIG SET) and C(ACL LOAD). It is
    restarted only for what a start alone reads, which the server itself tells.
  - When the server does not take something after all, the previous files come back.
  - A password that changes puts nobody out, as the former one is good until the next run. The administrator's is not.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.redis
  - vitalops.rollout.redis.users
options:
  directives:
    description:
      - Directives by name. A value is a text, a number, a boolean, or a list for a directive that is given
        several times.
      - What is not told is as the distribution has it.
    type: dict
    required: true
  password:
    description:
      - Password of the user without a name.
      - With O(administrator_password) that user may do what an application may do, and is off without a password.
    type: str
    default: ""
  administrator_password:
    description: Password of the user C(rollout), who may do everything. Without it there are no other users.
    type: str
    default: ""
  replication_password:
    description: Password of the user C(replication), by which replicas log in.
    type: str
    default: ""
  sentinel_password:
    description: Password of the user C(sentinel), by which Sentinel logs in.
    type: str
    default: ""
  logins:
    description: Logins that must keep working, whoever made them.
    type: list
    elements: dict
    default: []
    suboptions:
      user:
        description: Name of the user.
        type: str
        default: default
      password:
        description: Password of the user.
        type: str
        required: true
      must_run:
        description: As O(users[].must_run).
        type: list
        elements: str
        default: []
  restart:
    description: Whether the server may be restarted. What waits for a restart is told.
    type: str
    choices: [never, when_needed]
    default: when_needed
  unit:
    description:
      - What is added to the unit of the server, as a drop-in. It is written after the settings, which it may name.
      - A server that was started before needs a restart.
    type: str
    default: ""
  certificate:
    description:
      - Folder of the certificate that RV(vitalops.rollout.certificate_files#module:folder) tells.
      - It is tried first, and then the server finds it.
    type: path
"""

EXAMPLES = r"""
- name: Redis has its settings and users
  vitalops.rollout.redis_settings:
    directives:
      maxmemory: 512mb
      maxmemory-policy: allkeys-lru
      save: ["900 1", "300 10", "60 10000"]
    administrator_password: "{{ vault_redis_administrator_password }}"
    users:
      - name: shop
        password: "{{ vault_redis_shop_password }}"
        keys: ["shop:*"]
        must_run: ["SET shop:session:1 x"]
"""

RETURN = r"""
plan:
  description: What changes, and by which way.
  returned: success
  type: list
  elements: str
  sample: ["maxmemory: 268435456 -> 536870912 (CONFIG SET)", "databases: 16 -> 32 (restart)", "users: shop (ACL LOAD)"]
waiting:
  description: What needs a restart that O(restart) does not allow.
  returned: success
  type: list
  elements: str
  sample: ["databases: 16 -> 32 (restart)"]
former:
  description: Users whose former password is good until the next run.
  returned: success
  type: list
  elements: str
  sample: [shop]
restarted:
  description: Whether the running server was restarted.
  returned: success
  type: bool
  sample: false
error:
  description: The parts of the message (what, expected, found, where, next).
  returned: on failure
  type: dict
"""

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._certificates import files
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import facts
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access, parameters, places, settings

ARGUMENTS: dict[str, t.Any] = {
    **parameters.SERVER,
    "directives": {"type": "dict", "required": True},
    "password": parameters.SECRET_OR_NONE,
    "administrator_password": parameters.SECRET_OR_NONE,
    "replication_password": parameters.SECRET_OR_NONE,
    "sentinel_password": parameters.SECRET_OR_NONE,
    **parameters.USERS,
    "logins": parameters.records(
        user={"type": "str", "default": "default"}, password=parameters.SECRET, must_run=parameters.WORDS
    ),
    "restart": {"type": "str", "choices": ["never", "when_needed"], "default": "when_needed"},
    "unit": parameters.TEXT,
    "certificate": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, configure)


def configure(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what was changed, or would be."""
    told = module.params
    users = access.rules(
        told["administrator_password"], told["replication_password"], told["sentinel_password"], told["users"]
    )
    wanted = settings.Wanted(
        directives=told["directives"],
        password=told["password"],
        administrator=told["administrator_password"],
        rules=users,
        logins=tuple(access.must_get_in(login) for login in told["logins"]),
        may_restart=told["restart"] == "when_needed",
        memory=facts.collect()["memory_bytes"]["total"],
        unit=told["unit"],
        certificate=waiting(told["certificate"]) if told["certificate"] else None,
    )
    done = settings.apply(places.server(told["server"]), wanted, check=module.check_mode)
    return {
        "changed": done.changed,
        "plan": done.plan,
        "waiting": done.waiting,
        "former": done.former,
        "restarted": done.restarted and not module.check_mode,
        "diff": {"before": done.before, "after": done.after},
    }


def waiting(folder: str) -> settings.Certificate:
    """Returns the certificate in *folder*, and how the server finds it."""
    place = files.place_of(folder)
    return settings.Certificate(
        folder, files.live(place), functools.partial(files.switch, place), functools.partial(files.clean, place)
    )


if __name__ == "__main__":
    main()
