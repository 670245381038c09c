# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter server_authorities."""

from __future__ import annotations

import base64
import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: server_authorities
short_description: Tell who signs the certificates of some servers
version_added: "0.1.0"
description:
  - Joins what each server says its clients should trust; servers with self-made certificates each have an authority of
    their own.
author: The vitalops.rollout maintainers (@vitalops)
positional: servers, variable
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  servers:
    description: Names of the servers.
    type: list
    elements: str
    required: true
  variable:
    description: The variable that holds the result of M(ansible.builtin.slurp); a server without it says nothing.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: See whom clients of PostgreSQL trust
  ansible.builtin.debug:
    msg: "{{ hostvars | vitalops.rollout.server_authorities(groups['postgres'], '__postgres_authority_read') }}"
"""

RETURN = r"""
_value:
  description: Certificates in PEM format, each one once; an empty text when nobody says anything.
  type: str
"""

NAME = "vitalops.rollout.server_authorities"


def server_authorities(hostvars: t.Mapping[str, t.Any], servers: t.Sequence[str], variable: str) -> str:
    """Returns the certificates. Raises AnsibleFilterError for input of another shape."""
    found: dict[str, None] = {}
    for name in servers:
        read = hostvars[name].get(variable) or {}
        try:
            found[base64.b64decode(read.get("content") or "").decode().strip()] = None
        except (AttributeError, ValueError) as error:
            raise AnsibleFilterError(f"{NAME}: expected the result of slurp in {variable} of {name}") from error
    return "".join(f"{text}\n" for text in found if text)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"server_authorities": server_authorities}
