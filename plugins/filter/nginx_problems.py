# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter nginx_problems."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._load_balancer_nginx import problems

DOCUMENTATION = r"""
name: nginx_problems
short_description: List what is asked of a load balancer and nginx cannot do
version_added: "0.1.0"
description:
  - What nginx cannot do is refused before anything of it is touched, not ignored.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description:
      - The variables of the role C(load_balancer) by their names without C(load_balancer_), such as C(slow_start),
        C(timeout_queue), C(headers), C(rate_limits), C(protected_paths), C(maintenance), C(exporter_address) and
        C(virtual_addresses).
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Settings of the load balancer are some that nginx can honour
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ settings | vitalops.rollout.nginx_problems }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.nginx_problems"


def nginx_problems(settings: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the problems. Raises AnsibleFilterError for settings of another shape."""
    try:
        return problems(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"{NAME}: a setting is missing or has the wrong shape: {type(error).__name__}: {error}"
        ) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"nginx_problems": nginx_problems}
