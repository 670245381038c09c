# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_managed_problems."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_managed as managed

DOCUMENTATION = r"""
name: postgres_managed_problems
short_description: Why a managed PostgreSQL is not what an application needs
version_added: "0.1.0"
description:
  - Looks at the version, the encryption, the rights of who logs in, and the settings of a server that nobody can log in
    to by SSH.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: What the server answered to the question of role postgres.
    type: dict
    required: true
  login:
    description: The connection, with C(host), C(user) and C(sslmode).
    type: dict
    required: true
  least_version:
    description: The oldest major version that will do.
    type: int
    required: true
  least_settings:
    description: The smallest values that will do, by PostgreSQL's names.
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Managed server is what the application needs
  ansible.builtin.assert:
    that: answer | vitalops.rollout.postgres_managed_problems(login, 14, least) | length == 0
  vars:
    least: {max_connections: 100}
"""

RETURN = r"""
_value:
  description: One message of several lines (what, expected, found, where) for each problem.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.postgres_managed_problems"


def postgres_managed_problems(
    told: t.Mapping[str, t.Any],
    login: t.Mapping[str, t.Any],
    least_version: int,
    least_settings: t.Mapping[str, t.Any],
) -> list[str]:
    """Returns the problems. Raises AnsibleFilterError for input of another shape."""
    try:
        return managed.problems(login, told, int(least_version), least_settings)
    except (AttributeError, KeyError, TypeError, ValueError, RolloutError) as error:
        raise AnsibleFilterError(
            f"{NAME}: expected an answer and a login, found {type(error).__name__}: {error}"
        ) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_managed_problems": postgres_managed_problems}
