# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter hosts_of.

The first play of a verb says its hosts by a filter of this collection for one more reason: Ansible works out the hosts
of a play before it forks. Then all filters of the collection are loaded once, and not again in each process that uses
one of them, a tenth of a second every time.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: hosts_of
short_description: The hosts of some groups, which need not be there
version_added: "0.1.0"
description:
  - Gives the pattern of hosts for a play.
  - A group that an inventory does not have is nobody, and no reason for a warning.
author: The vitalops.rollout maintainers (@vitalops)
positional: names
options:
  _input:
    description: C(groups), the hosts by group.
    type: dict
    required: true
  names:
    description: Names of the groups, one or more.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Stores
  hosts: "{{ groups | vitalops.rollout.hosts_of('postgres', 'redis') }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: The pattern.
  type: str
  sample: postgres:redis
"""

NAME = "vitalops.rollout.hosts_of"
NOBODY = "all:!all"


def hosts_of(groups: t.Mapping[str, t.Any], *names: str) -> str:
    """Returns the pattern. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(groups, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected hosts by group, found {type(groups).__name__}")
    return ":".join(name for name in names if name in groups) or NOBODY


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"hosts_of": hosts_of}
