#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module maintenance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Begin or end the maintenance of an application
version_added: "0.1.0"
description:
  - During maintenance users get a page with status 503 and C(Retry-After), and probes from outside get 200.
  - The host itself, and with it a deploy, still reaches the application.
  - It holds from the next request on, without a reload of HAProxy, and outlives reloads and reboots.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  state:
    description: What shall be true. V(unchanged) only makes sure that there is a state, which at first is V(over).
    type: str
    choices: [active, over, unchanged]
    required: true
"""

EXAMPLES = r"""
---
- name: Users see the page that tells of maintenance
  vitalops.rollout.maintenance:
    application: shop
    state: active
"""

RETURN = r"""
state:
  description: What is true now.
  returned: success
  type: str
  sample: active
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import names
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, maintenance
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.driver import NotRunning

ARGUMENTS: dict[str, t.Any] = {
    "application": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["active", "over", "unchanged"], "required": True},
}


def main() -> None:
    run_module(ARGUMENTS, change)


def change(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what RETURN says: the file first, then HAProxy, which reads the file at its next start."""
    application = names.check_application(module.params["application"])
    path, api = maintenance.path_of(application), haproxy.RuntimeApi()
    before = maintenance.read(application, path)
    asked = module.params["state"]
    wanted = (before or maintenance.OVER) if asked == "unchanged" else asked
    used = _used(api, application, path)
    changed = before != wanted or used not in (wanted, None)
    if changed and not module.check_mode:
        if before != wanted:
            maintenance.write(application, path, wanted)
        if used is not None:
            maintenance.tell(api, application, path, wanted)
    return {
        "changed": changed,
        "state": wanted,
        "diff": {"before": {"maintenance": before, "in HAProxy": used}, "after": {"maintenance": wanted}},
    }


def _used(api: haproxy.RuntimeApi, application: str, path: str) -> str | None:
    """Returns what HAProxy uses; None when it does not run, or was provisioned before it knew of maintenance."""
    try:
        return maintenance.used(api, application, path)
    except NotRunning:
        return None


if __name__ == "__main__":
    main()
