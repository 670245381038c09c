# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_index_steps."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_indexes as indexes

DOCUMENTATION = r"""
name: postgres_index_steps
short_description: Which indexes to make, to make anew, or to wait for
version_added: "0.1.0"
description:
  - Compares indexes with what a server tells of tables and indexes of these names.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: Indexes, each with C(database), C(owner), C(name), C(table) and C(columns).
    type: list
    elements: dict
    required: true
  results:
    description: Results of a loop over names of databases, each with C(item) and C(query_result), rows of relations.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
---
- name: See what there is to do
  ansible.builtin.debug:
    msg: "{{ indexes | vitalops.rollout.postgres_index_steps(relations.results) }}"
"""

RETURN = r"""
_value:
  description:
    - C(leftovers) are INVALID and have to go, C(missing) have to be made, C(waiting) are messages on those that have no
      table yet or are being made.
  type: dict
"""

NAME = "vitalops.rollout.postgres_index_steps"


def postgres_index_steps(
    wanted: t.Sequence[t.Mapping[str, t.Any]], results: t.Sequence[t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """Returns the steps. Raises AnsibleFilterError for input of another shape."""
    try:
        told = {one["item"]: one.get("query_result") or [] for one in results}
        return indexes.steps(wanted, told)._asdict()
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(
            f"{NAME}: expected indexes and results, found {type(error).__name__}: {error}"
        ) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_index_steps": postgres_index_steps}
