#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module traffic_drain."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_drain
short_description: Watch until a slot has no request in flight
version_added: "0.1.0"
description:
  - Watches HAProxy's counters of a slot that lost its traffic until no request is in flight or queued.
  - Refuses to watch a slot that still gets traffic.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes.info
options:
  application:
    description: Name of the application.
    type: str
    required: true
  slot:
    description: The slot to watch.
    type: str
    choices: [blue, green]
    required: true
  deadline:
    description: How long to watch, in seconds.
    type: float
    default: 60
  required:
    description: Whether requests left at the deadline are a failure.
    type: bool
    default: true
  socket:
    description: HAProxy's admin socket.
    type: path
    default: /run/haproxy/admin.sock
"""

EXAMPLES = r"""
---
- name: Blue has no request in flight
  vitalops.rollout.traffic_drain:
    application: shop
    slot: blue
"""

RETURN = r"""
drained:
  description: Whether the slot had no request in flight at the end.
  returned: success
  type: bool
in_flight:
  description: Requests left at the deadline.
  returned: success
  type: int
seconds:
  description: How long the drain took.
  returned: success
  type: float
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer, switch


def watch(module: AnsibleModule) -> dict[str, t.Any]:
    application, slot, deadline = (module.params[name] for name in ("application", "slot", "deadline"))
    path = pointer.path_of(application)
    api = haproxy.RuntimeApi(module.params["socket"])
    for used in switch.current(api, application, path):
        if used and (used.live == slot or (used.candidate == slot and used.weight)):
            raise BadInput(
                f"Slot {slot} of {application} cannot drain: it gets traffic.",
                expected=f"a traffic pointer without {slot}",
                found=used.text(),
                where=path,
                next_step="move the traffic to the other slot first",
            )
    if module.check_mode:
        return {"drained": False, "in_flight": 0, "seconds": 0.0}
    ended = switch.drain(api, application, slot, deadline)
    if not ended.done and module.params["required"]:
        raise RolloutError(
            f"Slot {slot} of {application} still has requests in flight; nothing of it was stopped.",
            expected=f"0 requests in flight within {deadline:g} s",
            found=f"{ended.in_flight} in flight or queued",
            where=f"HAProxy's backend {application}_{slot}",
            next_step=f"see what they are: echo 'show sess' | socat - {api.path}; raise rollout_drain_deadline if they "
            "are meant to last",
        )
    return {"drained": ended.done, "in_flight": ended.in_flight, "seconds": ended.seconds}


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
            "deadline": {"type": "float", "default": 60},
            "required": {"type": "bool", "default": True},
            "socket": {"type": "path", "default": haproxy.SOCKET},
        },
        watch,
    )


if __name__ == "__main__":
    main()
