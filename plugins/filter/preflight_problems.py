# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter preflight_problems."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.plugin_utils._preflight import Host, problems

DOCUMENTATION = r"""
name: preflight_problems
short_description: List everything that stands in the way of a verb
version_added: "0.1.0"
description:
  - Looks at all hosts of a play together before anything is changed, and tells every problem at once.
  - Finds a missing version, hosts that were left out, unreachable and silent hosts, empty groups, mistyped variables,
    mixed environments, hosts without systemd, unsupported distributions, a bind address that is none, clashing, moved
    and taken ports, a database login that is not accepted, gates that cannot look, and hosts that missed runs.
  - To find ports that were moved away from running instances it needs the listeners on all ports.
  - For the verb V(status) only the hosts, groups and variables are looked at.
author: The vitalops.rollout maintainers (@vitalops)
options:
  _input:
    description:
      - For each host a dict with C(variables), C(groups), C(host_info) (result of M(vitalops.rollout.host_info)) and,
        where there are any, C(login) (result of M(community.postgresql.postgresql_ping)) and C(expected_ports) (as
        P(vitalops.rollout.rollout_ports#filter) lists them, which also is the default).
      - Or C(hostvars), when O(hosts) is given.
    type: dict
    required: true
  verb:
    description: The verb that is about to run.
    type: str
    required: true
  known:
    description: Names of all variables that start with C(rollout_) and are read.
    type: list
    elements: str
    required: true
  also_known:
    description: More such names.
    type: list
    elements: str
    default: []
  hosts:
    description: Names of the hosts to look at in C(hostvars).
    type: list
    elements: str
  host_info:
    description: With O(hosts), the variable that holds each host's result of M(vitalops.rollout.host_info).
    type: str
    default: __rollout_host
  login:
    description: With O(hosts), the variable that holds each host's result of M(community.postgresql.postgresql_ping).
    type: str
    default: __rollout_login
  version:
    description: The version to deploy.
    type: str
    default: ""
  left_out:
    description: Names of the load balancers and application hosts that do not take part in this run.
    type: list
    elements: str
    default: []
  gates:
    description: The variables that gates depend on, by name; C(rollout_gates) is one of them.
    type: dict
"""

EXAMPLES = r"""
---
- name: Hosts and variables are fit for a deploy
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join('\n\n') }}"
  vars:
    problems: "{{ hostvars | vitalops.rollout.preflight_problems('deploy', known, hosts=ansible_play_hosts_all) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: One message of several lines (what, expected, found, where, next) for each problem.
  type: list
  elements: str
"""

NAME = "vitalops.rollout.preflight_problems"


def preflight_problems(
    known_hosts: t.Mapping[str, t.Any],
    verb: str,
    known: t.Sequence[str],
    also_known: t.Sequence[str] = (),
    hosts: t.Sequence[str] | None = None,
    host_info: str = "__rollout_host",
    login: str = "__rollout_login",
    version: str = "",
    left_out: t.Sequence[str] = (),
    gates: t.Mapping[str, t.Any] | None = None,
) -> list[str]:
    """Returns the problems as messages. Raises AnsibleFilterError for input of another shape."""
    _expect(isinstance(known_hosts, t.Mapping), "a dict of hosts", known_hosts)
    _expect(isinstance(verb, str), "a verb", verb)
    for names in (known, also_known, left_out, [] if hosts is None else hosts):
        _expect(isinstance(names, t.Sequence) and not isinstance(names, str), "a list of names", names)
    if hosts is None:
        looked_at = [_host(name, entry) for name, entry in known_hosts.items()]
    else:
        looked_at = []
        for name in hosts:
            variables = known_hosts[name]
            groups = list(variables.get("group_names") or [])
            looked_at.append(Host(name, variables, groups, variables.get(host_info), variables.get(login)))
    try:
        return problems(
            looked_at,
            verb=verb,
            known=known,
            also_known=also_known,
            version=str(version),
            left_out=left_out,
            inventory=list(known_hosts),
            gates=gates,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(
            f"{NAME}: a variable or result has the wrong shape: {type(error).__name__}: {error}"
        ) from error


def _host(name: str, entry: t.Any) -> Host:
    _expect(isinstance(entry, t.Mapping), f"a dict for host {name}", entry)
    for key in ("variables", "groups"):
        _expect(key in entry, f"the key {key} for host {name}", entry)
    return Host(
        str(name),
        entry["variables"],
        list(entry["groups"]),
        entry.get("host_info"),
        entry.get("login"),
        entry.get("expected_ports"),
    )


def _expect(good: bool, expected: str, found: t.Any) -> None:
    if not good:
        raise AnsibleFilterError(f"{NAME}: expected {expected}, found {type(found).__name__}")


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Returns the filter by its name."""
        return {"preflight_problems": preflight_problems}
