# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter host_questions."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _gate_phases, _probation

DOCUMENTATION = r"""
name: host_questions
short_description: What a host is asked before a run relies on it
version_added: "0.1.0"
description:
  - Tells which files with certificates of authorities a host is asked about, and which load balancers it shall ask for
    the slot that users have.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description: C(hostvars).
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  hosts:
    description: Names of all hosts of the play.
    type: list
    elements: str
    required: true
  gates:
    description: The variables that gates depend on, such as C(rollout_gates) and C(rollout_bake_attended).
    type: dict
    required: true
"""

EXAMPLES = r"""
---
- name: See what a host would be asked
  ansible.builtin.debug:
    msg: "{{ hostvars | vitalops.rollout.host_questions('app1', ['lb1', 'app1'], {'rollout_gates': rollout_gates}) }}"
"""

RETURN = r"""
_value:
  description: The options C(authorities) and C(load_balancers) of M(vitalops.rollout.host_info).
  type: dict
  sample: {"authorities": ["/etc/ssl/prometheus.pem"], "load_balancers": {"lb1": "192.0.2.10:80"}}
"""

NAME = "vitalops.rollout.host_questions"


def host_questions(
    hostvars: t.Mapping[str, t.Any], host: str, hosts: t.Sequence[str], gates: t.Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Returns them. Gates of another shape ask for nothing: they are told of when all hosts have answered.

    Raises AnsibleFilterError for hosts of another shape.
    """
    phases = gates.get("rollout_gates")
    each = [one for phase in phases.values() for one in _listed(phase)] if isinstance(phases, t.Mapping) else []
    paths = [gate.get("ca_path") for gate in each if isinstance(gate, t.Mapping)]
    try:
        groups = {name: list(hostvars[name].get("group_names") or []) for name in hosts}
        asked = [name for name in hosts if "load_balancer" in groups[name]]
        # Also where nobody is asked now: the run needs them when users have the release already.
        places = _probation.pointer_places(hostvars, asked) if "application" in groups[host] else {}
        asks = _gate_phases.left_alone(gates)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"{NAME}: a variable has the wrong shape: {type(error).__name__}: {error}") from error
    return {
        "authorities": sorted({path for path in paths if path and isinstance(path, str)}),
        "load_balancers": places if asks else {},
    }


def _listed(phase: t.Any) -> t.Sequence[t.Any]:
    return phase if isinstance(phase, t.Sequence) and not isinstance(phase, str) else []


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"host_questions": host_questions}
