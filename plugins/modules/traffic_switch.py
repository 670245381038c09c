#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module traffic_switch."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_switch
short_description: Move the traffic of an application to a slot
version_added: "0.1.0"
description:
  - Waits until the load balancer itself sees the instances of the slot as up, then moves the traffic pointer.
  - The pointer is written to disk first, then given to HAProxy, then read back from both. No connection is closed.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
notes:
  - Check mode looks at the map file and at HAProxy as a real run does, and waits for nothing.
    On a host without a running HAProxy, which is what a host is before its first provision, it looks at the file only.
options:
  application:
    description: Name of the application.
    type: str
    required: true
  live:
    description: The slot that gets the traffic.
    type: str
    choices: [blue, green, none]
    required: true
  candidate:
    description: The slot that gets a share of the traffic.
    type: str
    choices: [blue, green, none]
    default: none
  weight:
    description: The candidate's share in percent.
    type: int
    default: 0
  instances:
    description: How many instances of O(live) the load balancer must see as up before traffic moves.
    type: int
    default: 1
  deadline:
    description: How long to wait for them, in seconds.
    type: float
    default: 30
  socket:
    description: HAProxy's admin socket.
    type: path
    default: /run/haproxy/admin.sock
"""

EXAMPLES = r"""
---
- name: Green has all the traffic
  vitalops.rollout.traffic_switch:
    application: shop
    live: green
    instances: 4
"""

RETURN = r"""
pointer:
  description: The traffic pointer afterwards (in check mode, the one that would be set).
  returned: success
  type: dict
  sample: {"live": "green", "candidate": null, "weight": 0}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer, switch


def move(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    application = params["application"]
    path = pointer.path_of(application)
    live, candidate = (None if params[name] == pointer.NONE else params[name] for name in ("live", "candidate"))
    wanted = pointer.Pointer(live, candidate, params["weight"])
    pointer.check(wanted)
    api = haproxy.RuntimeApi(params["socket"])
    in_file, in_haproxy = look(api, application, path, forgiving=module.check_mode)
    result = {
        "pointer": wanted._asdict(),
        "diff": {
            "before": shown(in_file, in_haproxy),
            "after": shown(wanted, wanted),
        },
    }
    if module.check_mode:
        return {**result, "changed": (in_file, in_haproxy) != (wanted, wanted)}
    if live:
        switch.wait_for_servers(api, application, live, params["instances"], params["deadline"])
    return {**result, "changed": switch.switch(api, application, path, wanted)}


def look(
    api: haproxy.RuntimeApi, application: str, path: str, *, forgiving: bool
) -> tuple[pointer.Pointer | None, pointer.Pointer | None]:
    """Returns the pointers of file and HAProxy. *forgiving*: without HAProxy, the file stands for both."""
    try:
        return switch.provisioned(api, application, path)
    except haproxy.NotRunning:
        if not forgiving:
            raise
    in_file = pointer.read_file(application, path)
    return in_file, in_file


def shown(in_file: pointer.Pointer | None, in_haproxy: pointer.Pointer | None) -> dict[str, str | None]:
    """Returns the pointers for a diff; HAProxy's own only where it is another one."""
    told = {"traffic pointer": in_file.text() if in_file else None}
    if in_haproxy != in_file:
        told["traffic pointer of HAProxy"] = in_haproxy.text() if in_haproxy else None
    return told


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "live": {"type": "str", "choices": ["blue", "green", "none"], "required": True},
            "candidate": {"type": "str", "choices": ["blue", "green", "none"], "default": "none"},
            "weight": {"type": "int", "default": 0},
            "instances": {"type": "int", "default": 1},
            "deadline": {"type": "float", "default": 30},
            "socket": {"type": "path", "default": haproxy.SOCKET},
        },
        move,
    )


if __name__ == "__main__":
    main()
