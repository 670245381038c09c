# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_plan."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_plan as plan

DOCUMENTATION = r"""
name: postgres_plan
short_description: What the variables of role postgres come to on a host
version_added: "0.1.0"
description:
  - Finds everything that stands in the way before anything is touched, memory that is too small for the tuning and
    access rules that lock somebody out among it.
  - Works out settings, access rules, roles, extensions, packages and indexes. Where there are problems, nothing else
    is worked out.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The variables of role postgres, by their names without C(postgres_).
    type: dict
    required: true
  memory:
    description: Bytes of memory that the host has.
    type: int
    required: true
  cores:
    description: Cores that the host has.
    type: int
    required: true
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Variables of PostgreSQL agree with each other and with the host
  ansible.builtin.assert:
    that: plan.problems | length == 0
    fail_msg: "{{ plan.problems | join('\n') }}"
  vars:
    plan: "{{ variables | vitalops.rollout.postgres_plan(17179869184, 4, '17') }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems), and without any C(settings), C(access) (lines of pg_hba.conf), C(roles) (with passwords),
      C(connections), C(readers), C(privileges), C(extensions), C(indexes) and C(packages).
  type: dict
"""

NAME = "vitalops.rollout.postgres_plan"


def postgres_plan(told: t.Mapping[str, t.Any], memory: int, cores: int, version: str) -> dict[str, t.Any]:
    """Returns the plan. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(told, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected the variables of role postgres, found {type(told).__name__}")
    host = plan.Host(int(memory), int(cores))
    try:
        problems = plan.problems(told, host)
        if problems:
            return {"problems": problems}
        return {
            "problems": [],
            "settings": plan.settings(told, host),
            "access": plan.rules(told),
            "roles": plan.roles(told),
            "connections": plan.connections(told),
            "readers": plan.readers(told),
            "privileges": plan.privileges(told),
            "extensions": plan.extensions(told),
            "indexes": plan.indexes(told),
            "packages": plan.packages(told, str(version)),
        }
    except (AttributeError, KeyError, TypeError, ValueError, RolloutError) as error:
        raise AnsibleFilterError(f"{NAME}: a variable has the wrong shape: {type(error).__name__}: {error}") from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_plan": postgres_plan}
