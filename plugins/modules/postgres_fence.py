#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module postgres_fence: PostgreSQL of this host is stopped and kept from starting, or allowed to start again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_fence
version_added: "0.1.0"
short_description: Stop PostgreSQL of this host and keep it from starting
description:
  - V(present) masks the unit, disables the cluster for C(pg_ctlcluster), stops the server and writes down who and why.
  - V(absent) takes that back and starts the server.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  state:
    description: Whether the server is fenced.
    type: str
    choices: [present, absent]
    default: present
  by:
    description: Who does it.
    type: str
    required: true
  reason:
    description: Why.
    type: str
    default: ""
  successor:
    description: Name of the member in whose favour it is done.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: The old primary cannot come back
  vitalops.rollout.postgres_fence:
    by: kim
    reason: db2 becomes the primary
    successor: db2
"""

RETURN = r"""
ended_at:
  description: Where the WAL of the server ended when it was stopped in good order; otherwise none.
  returned: success
  type: str
  sample: 0/3000148
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, host

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "by": {"type": "str", "required": True},
    "reason": {"type": "str", "default": ""},
    "successor": {"type": "str", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, set_fence)


def set_fence(module: AnsibleModule) -> dict[str, t.Any]:
    """Fences the server of this host, or lifts the fence."""
    with fence.alone(check=module.check_mode):
        return _set_fence(module, module.params)


def _set_fence(module: AnsibleModule, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    cluster = host.known()
    close = wanted["state"] == "present"
    changed = not fence.is_closed(cluster) if close else fence.read() is not None or not cluster.running
    if changed and not module.check_mode and close:
        fence.close(cluster, wanted["by"], wanted["reason"], wanted["successor"])
    elif changed and not module.check_mode:
        fence.lift(cluster, wanted["by"])
        host.start(cluster)
    diff = {"before": "" if close else "fenced\n", "after": "fenced\n" if close else ""}
    return {"changed": changed, "ended_at": ended_at(cluster), **({"diff": diff} if changed else {})}


def ended_at(cluster: host.Cluster) -> str | None:
    """Returns where a server ended that was stopped in good order."""
    control = host.control(cluster)
    ended = control.get("Database cluster state") == "shut down"
    return control.get("Latest checkpoint location") if ended else None


if __name__ == "__main__":
    main()
