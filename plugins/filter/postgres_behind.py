# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_behind."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_members

DOCUMENTATION = r"""
name: postgres_behind
short_description: Say why standbys do not have all that the primary wrote
version_added: "0.1.0"
description:
  - Of a standby, whether it has replayed what its primary has written; of a primary, whether all its standbys have.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The result of M(vitalops.rollout.postgres_info).
    type: dict
    required: true
  most_bytes:
    description: How many bytes a standby may be behind.
    type: int
    default: 0
"""

EXAMPLES = r"""
---
- name: Standbys have all
  vitalops.rollout.postgres_info:
  register: look
  until: look | vitalops.rollout.postgres_behind | length == 0
"""

RETURN = r"""
_value:
  description: Sentences; none when nobody is behind.
  type: list
  elements: str
"""


def postgres_behind(look: t.Mapping[str, t.Any], most_bytes: int = 0) -> list[str]:
    """Returns the sentences."""
    return _postgres_members.behind(look, most_bytes)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_behind": postgres_behind}
