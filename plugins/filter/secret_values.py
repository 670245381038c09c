# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter secret_values."""

from __future__ import annotations

import typing as t
import urllib.parse

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.masking import secrets_in

DOCUMENTATION = r"""
name: secret_values
short_description: List the texts that must be masked
version_added: "0.1.0"
description:
  - Lists what must not show in logs and messages; the secret values of an application, the passwords inside those that
    are URLs (as written and percent-decoded), the passwords of its stores, and the secrets of its gates.
  - Values of fewer than 6 characters are left out, because masking them would make messages unreadable. Passwords are
    never left out.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The secret environment variables (C(rollout_secrets)).
    type: dict
    required: true
  database:
    description: The database (C(rollout_database)), of which only C(password) is read.
    type: dict
    default: {}
  redis:
    description: The Redis (C(rollout_redis)), of which only C(password) is read.
    type: dict
    default: {}
  gates:
    description: Gates, of which only C(secret_password), C(secret_headers) and C(secret_body) are read.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
---
- name: Instances answer ready
  vitalops.rollout.health_gate:
    targets: "{{ targets }}"
    masked: "{{ rollout_secrets | vitalops.rollout.secret_values(rollout_database) }}"
"""

RETURN = r"""
_value:
  description: The texts, sorted, each one once.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.secret_values"
SHORTEST = 6  # characters


def secret_values(
    secrets: t.Mapping[str, t.Any],
    database: t.Mapping[str, t.Any] | None = None,
    redis: t.Mapping[str, t.Any] | None = None,
    gates: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> list[str]:
    """Returns the texts to mask. Raises AnsibleFilterError, which shows no value, for input of another shape."""
    for given in (secrets, {} if database is None else database, {} if redis is None else redis):
        if not isinstance(given, t.Mapping):
            raise AnsibleFilterError(f"{NAME}: expected a dict, found {type(given).__name__}")
    found = {_text((store or {}).get("password")) for store in (database, redis)}
    for gate in gates:
        found.add(_text(gate.get("secret_password")))
        found.update(map(_text, (gate.get("secret_headers") or {}).values()))
        found.update(secrets_in(_text(gate.get("secret_body"))))
    for value in map(_text, secrets.values()):
        if len(value) >= SHORTEST:
            found.add(value)
        found.update(_passwords(value))
    return sorted(found - {""})


def _text(value: t.Any) -> str:
    return "" if value is None else str(value)


def _passwords(value: str) -> set[str]:
    try:
        password = urllib.parse.urlsplit(value).password or ""
    except ValueError:  # looks like a URL and is none
        return set()
    return {password, urllib.parse.unquote(password)}


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"secret_values": secret_values}
