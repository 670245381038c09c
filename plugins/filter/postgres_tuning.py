# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter postgres_tuning."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import amounts
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _postgres_tuning as tuning

DOCUMENTATION = r"""
name: postgres_tuning
short_description: Settings of PostgreSQL that follow from memory and cores
version_added: "0.1.0"
description:
  - Works out C(shared_buffers), C(effective_cache_size), C(work_mem), C(maintenance_work_mem), the sizes of the WAL and
    the numbers of workers, as role postgres does. The rules and their sources stand in
    F(plugins/plugin_utils/_postgres_tuning.py).
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The memory that PostgreSQL may count on, such as 8GB.
    type: str
    required: true
  cores:
    description: Cores of the host.
    type: int
    required: true
  connections:
    description: Connections at the same time.
    type: int
    default: 100
"""

EXAMPLES = r"""
---
- name: See what a host with 16 GB and 4 cores gets
  ansible.builtin.debug:
    msg: "{{ '16GB' | vitalops.rollout.postgres_tuning(4, connections=200) }}"
"""

RETURN = r"""
_value:
  description: Settings by their PostgreSQL names.
  type: dict
  sample: {"shared_buffers": "4GB", "max_parallel_workers": 4}
"""

NAME = "vitalops.rollout.postgres_tuning"


def postgres_tuning(memory: str, cores: int, connections: int = 100) -> dict[str, t.Any]:
    """Returns the settings. Raises AnsibleFilterError for what is no amount or no number above 0."""
    try:
        if int(cores) < 1 or int(connections) < 1:
            raise AnsibleFilterError(
                f"{NAME}: expected 1 core and 1 connection or more, found {cores} and {connections}"
            )
        return tuning.tuning(amounts.size(memory), int(cores), int(connections))
    except (RolloutError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{NAME}: {error}") from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"postgres_tuning": postgres_tuning}
