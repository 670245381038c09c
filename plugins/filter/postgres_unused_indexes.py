# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_unused_indexes."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_indexes as indexes

DOCUMENTATION = r"""
name: postgres_unused_indexes
short_description: Which indexes are of no use
version_added: "0.1.0"
description:
  - Finds indexes that are not there, not valid, or that no query has used since the server's statistics began.
  - A standby serves queries of its own, so an index counts as used when one of several servers has used it.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(postgres_databases).
    type: list
    elements: dict
    required: true
  results:
    description:
      - Results of a loop over names of databases, each with C(item) and C(query_result), rows of relations.
      - Of several servers of one cluster, one after the other.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Every index is used
  ansible.builtin.assert:
    that: postgres_databases | vitalops.rollout.postgres_unused_indexes(relations.results) | length == 0
"""

RETURN = r"""
_value:
  description: One message for each index that is of no use.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.postgres_unused_indexes"


def postgres_unused_indexes(
    databases: t.Sequence[t.Mapping[str, t.Any]], results: t.Sequence[t.Mapping[str, t.Any]]
) -> list[str]:
    """Returns the messages. Raises AnsibleFilterError for input of another shape."""
    try:
        wanted = [{**index, "database": one["name"]} for one in databases for index in one.get("indexes") or []]
        told: dict[str, list[t.Any]] = {}
        for one in results:
            told.setdefault(one["item"], []).extend(one.get("query_result") or [])
        return indexes.unused(wanted, told)
    except (AttributeError, KeyError, TypeError) as error:
        raise AnsibleFilterError(
            f"{NAME}: expected databases and results, found {type(error).__name__}: {error}"
        ) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_unused_indexes": postgres_unused_indexes}
