# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_status."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._fleet import combine
from ansible_collections.vitalops.rollout.plugins.plugin_utils._status import Status, render

DOCUMENTATION = r"""
name: rollout_status
short_description: Draw the status of an application as a screenful of lines
version_added: "0.1.0"
description:
  - Shows what is live and since when, how many instances are up, the last good release, what can be rolled back to and
    why not, where the traffic goes, the last run, and in words whatever does not fit together.
  - Gives at most 30 lines of at most 100 characters.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description:
      - A dict with C(application), C(environment), C(state), C(pointer), C(servers), C(instances) (result of
        M(vitalops.rollout.slot_info) by host) and C(problems) (sentences to show).
      - Or C(hostvars), when O(load_balancers) is given.
    type: dict
    required: true
  load_balancers:
    description: Names of the load-balancer hosts in C(hostvars).
    type: list
    elements: str
  applications:
    description: Names of the application hosts in C(hostvars).
    type: list
    elements: str
    default: []
  now:
    description: The moment of the status in seconds since 1970-01-01 UTC; the clock of the controller when not given.
    type: float
  rollout_info:
    description: With O(load_balancers), the variable that holds the result of M(vitalops.rollout.rollout_info).
    type: str
    default: __status_load_balancer
  slot_info:
    description: With O(load_balancers), the variable that holds the result of M(vitalops.rollout.slot_info).
    type: str
    default: __status_slots
"""

EXAMPLES = r"""
---
- name: The status is shown
  ansible.builtin.debug:
    msg: "{{ hostvars | vitalops.rollout.rollout_status(groups['load_balancer'], groups['application']) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.rollout_status"
KEYS = ("application", "environment", "state", "pointer", "servers", "instances", "problems")


def rollout_status(
    told: t.Mapping[str, t.Any],
    load_balancers: t.Sequence[str] | None = None,
    applications: t.Sequence[str] = (),
    now: float | None = None,
    rollout_info: str = "__status_load_balancer",
    slot_info: str = "__status_slots",
) -> list[str]:
    """Returns the lines. Raises AnsibleFilterError for input of another shape."""
    if not isinstance(told, t.Mapping):
        raise AnsibleFilterError(f"{NAME}: expected a dict, found {type(told).__name__}")
    moment = time.time() if now is None else float(now)
    try:
        if load_balancers is None:
            status = Status(**{key: told[key] for key in KEYS}, now=moment)
        else:
            asked = told[load_balancers[0]]
            status = combine(
                str(asked["rollout_application"]),
                str(asked["rollout_environment"]),
                {host: told[host].get(rollout_info) for host in load_balancers},
                {host: told[host].get(slot_info) for host in applications},
                moment,
            )
        return render(status)
    except IndexError as error:
        raise AnsibleFilterError(f"{NAME}: expected at least one load-balancer host, found none") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"{NAME}: a result has another shape than expected: {type(error).__name__}: {error}"
        ) from error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"rollout_status": rollout_status}
