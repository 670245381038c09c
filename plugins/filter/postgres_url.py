# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_url."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _connections

DOCUMENTATION = r"""
name: postgres_url
short_description: Tell an application where its PostgreSQL is
version_added: "0.1.0"
description:
  - Makes the URL, as libpq reads it, of the connection that gates, checks and a managed server use, too. So an
    inventory describes it once.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: Where to log in, and as whom (C(rollout_database)).
    type: dict
    required: true
"""

EXAMPLES = r"""
---
rollout_secrets:
  DATABASE_URL: "{{ rollout_database | vitalops.rollout.postgres_url }}"
"""

RETURN = r"""
_value:
  description: The URL.
  type: str
  sample: postgresql://shop:secret@db1:5432/shop?sslmode=verify-full&sslrootcert=/etc/ssl/rollout/postgres.crt
"""

NAME = "vitalops.rollout.postgres_url"


def postgres_url(told: t.Mapping[str, t.Any]) -> str:
    """Returns the URL. Raises AnsibleFilterError, which shows no value, without a host."""
    if not isinstance(told, t.Mapping) or not told.get("host"):
        raise AnsibleFilterError(f"{NAME}: expected a connection with host, such as rollout_database")
    return _connections.postgres(told)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_url": postgres_url}
