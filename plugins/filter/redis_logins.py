# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter redis_logins: which login of the application a Redis server must let in."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: redis_logins
version_added: "0.1.0"
short_description: Tell which login of the application a Redis server must let in
description:
  - Returns the login of the application when it is one at the server with this address, or at another one of its set,
    for the variable C(redis_logins) of the role C(vitalops.rollout.redis).
author: The vitalops.rollout maintainers (@vitalops)
positional: address, others
options:
  _input:
    description: Where the application asks (C(rollout_redis)).
    type: dict
    required: true
  address:
    description: Address of the server.
    type: str
    required: true
  others:
    description: Its other names, and the addresses of the servers that may take its place.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Redis lets the application in
  ansible.builtin.import_role:
    name: vitalops.rollout.redis
  vars:
    redis_logins: "{{ rollout_redis | vitalops.rollout.redis_logins(rollout_address) }}"
"""

RETURN = r"""
_value:
  description: The login with what gates run, or nothing.
  type: list
  elements: dict
  sample: [{"user": "shop", "password": "...", "must_run": ["INFO"]}]
"""


def redis_logins(
    connection: t.Mapping[str, t.Any], address: str, others: t.Sequence[str] = ()
) -> list[dict[str, t.Any]]:
    """Returns the login of *connection* when it is one at *address* or one of *others*."""
    host = connection.get("host")
    if not connection.get("password") or not host or host not in (address, *others):
        return []
    user = connection.get("user") or "default"
    return [{"user": user, "password": connection["password"], "must_run": ["INFO"]}]


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"redis_logins": redis_logins}
