# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter redis_url."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _connections

DOCUMENTATION = r"""
name: redis_url
short_description: Tell an application where its Redis is
version_added: "0.1.0"
description:
  - Makes the URL of the connection that gates, checks and a managed server use, too; C(rediss) with TLS. So an
    inventory describes it once.
author: The vitalops.rollout maintainers (@vitalops)
positional: database
options:
  _input:
    description: Where to log in, and as whom (C(rollout_redis)).
    type: dict
    required: true
  database:
    description: Number of the database.
    type: int
    default: 0
  authority:
    description:
      - Name of the parameter by which the client library of the application takes C(ca_path), such as V(ssl_ca_certs)
        of redis-py. Client libraries do not agree on one.
    type: str
    default: ""
"""

EXAMPLES = r"""
---
rollout_secrets:
  REDIS_URL: "{{ rollout_redis | vitalops.rollout.redis_url(authority='ssl_ca_certs') }}"
"""

RETURN = r"""
_value:
  description: The URL.
  type: str
  sample: rediss://:secret@cache1:6380/0?ssl_ca_certs=/etc/ssl/rollout/redis.crt
"""

NAME = "vitalops.rollout.redis_url"


def redis_url(told: t.Mapping[str, t.Any], database: int = 0, authority: str = "") -> str:
    """Returns the URL. Raises AnsibleFilterError, which shows no value, without a host."""
    if not isinstance(told, t.Mapping) or not told.get("host"):
        raise AnsibleFilterError(f"{NAME}: expected a connection with host, such as rollout_redis")
    return _connections.redis(told, database, authority)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"redis_url": redis_url}
