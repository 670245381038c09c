# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter load_balancer_problems."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._load_balancer import problems

DOCUMENTATION = r"""
name: load_balancer_problems
short_description: List what cannot be right in the settings of a load balancer
version_added: "0.1.0"
description:
  - Looks at all settings of the role C(load_balancer) together before anything is changed, and tells every problem.
  - Finds plain text where there is a certificate, networks that are none, passwords that are not hashed, limits that
    never count, a page that is too large, and virtual addresses without peers.
  - Where nginx routes, what nginx cannot do is told as well, not ignored.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: The variables of the role by their names without C(load_balancer_), see its C(vars/main.yml).
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: Settings of the load balancer agree with each other
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n') }}"
  vars:
    problems: "{{ settings | vitalops.rollout.load_balancer_problems }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, with the variable, what was expected and what was found.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.load_balancer_problems"


def load_balancer_problems(settings: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the problems as sentences. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(settings, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected a dict of settings, found {type(settings).__name__}")
    try:
        return problems(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{NAME}: a setting has the wrong shape: {type(error).__name__}: {error}") from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"load_balancer_problems": load_balancer_problems}
