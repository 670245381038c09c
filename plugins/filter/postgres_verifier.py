# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_verifier."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_verifier as verifiers

DOCUMENTATION = r"""
name: postgres_verifier
short_description: What PostgreSQL keeps of a password
version_added: "0.1.0"
description:
  - Makes the SCRAM-SHA-256 verifier of a password, with a new salt each time, so that the password itself is not in any
    statement that a server may log.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The password.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Role has its password
  community.postgresql.postgresql_user:
    name: shop
    password: "{{ shop_password | vitalops.rollout.postgres_verifier }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The verifier, as pg_authid keeps it.
  type: str
  sample: SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy
"""

NAME = "vitalops.rollout.postgres_verifier"


def postgres_verifier(password: str) -> str:
    """Returns the verifier. Raises AnsibleFilterError for what is no text, or empty."""
    if not isinstance(password, str) or not password:
        raise AnsibleFilterError(
            f"{NAME}: expected a password, found {'nothing' if password == '' else type(password).__name__}"
        )
    return verifiers.verifier(password, os.urandom(16))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_verifier": postgres_verifier}
