#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module rollout_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_info
short_description: Tell what a load-balancer host knows about an application
version_added: "0.1.0"
description:
  - Reads the recorded state, the durable traffic pointer, the one that HAProxy or nginx uses now, and its view of every
    instance.
  - Tells who may change the application, at which step a run was cut off, what its guard is armed for, and what happens
    next.
  - Does not fail when the load balancer is down; the reason is returned in RV(haproxy_error).
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes.info
options:
  application:
    description: Name of the application.
    type: str
    required: true
  socket:
    description: HAProxy's admin socket, on a host that runs HAProxy.
    type: path
    default: /run/haproxy/admin.sock
"""

EXAMPLES = r"""
---
- name: Know the state of the shop
  vitalops.rollout.rollout_info:
    application: shop
  register: shop
"""

RETURN = r"""
state:
  description: Content of C(state.json); V(null) before the first rollout, and when RV(problem) says why.
  returned: always
  type: dict
pointer:
  description: The durable traffic pointer (live, candidate, weight in percent), or V(null) as with RV(state).
  returned: always
  type: dict
  sample: {"live": "blue", "candidate": null, "weight": 0}
load_balancer:
  description: What routes on this host, V(HAProxy) or V(nginx).
  returned: always
  type: str
  sample: HAProxy
haproxy_pointer:
  description: The pointer that the load balancer, whichever it is, routes by at this moment, or V(null).
  returned: always
  type: dict
servers:
  description: Every instance as the load balancer sees it.
  returned: always
  type: list
  elements: dict
  sample: [{"slot": "blue", "name": "app1-web-1", "address": "192.0.2.11:18000", "status": "UP", "up": true}]
counters:
  description:
    - Per slot, the requests in flight and queued now, and the totals since HAProxy's last start.
    - Empty with nginx, which counts none.
  returned: always
  type: dict
lease:
  description:
    - Who may change the application, with C(remaining) seconds, or V(null) when nobody ever did.
    - One that is not C(released) and has C(over) seconds behind its end is stale, and the next run takes it over.
  returned: always
  type: dict
intent:
  description: What the guard is armed for, with the seconds C(left) and whether its C(timer) runs, or V(null).
  returned: always
  type: dict
watch:
  description:
    - What is watched at this moment, or V(null); its C(phase), whether that has not begun yet (C(early)), whether
      nobody attends it (C(alone)), and its C(progress), see M(vitalops.rollout.rollout_watch).
  returned: always
  type: dict
unfinished:
  description:
    - The last line of the journal about the traffic of the run that did not end, or V(null) when all did.
    - The id of the C(run), its C(operation), C(actor), C(source) and C(epoch) (the number of its lease); its C(release)
      (an id), C(slot) and C(previous) slot, each V(null) before they are known.
    - Its C(step) with the C(phase) V(begin) or V(end) and, at the end, the C(outcome) V(done) or V(failed).
    - Its C(detail) is a sentence, or V(null).
    - When and where that was, C(at) (UTC), C(boottime) (seconds of the boot C(boot_id)) and C(host).
    - A run that holds the RV(lease) may be at work.
  returned: always
  type: dict
  sample:
    at: "2026-11-21T10:32:10Z"
    boottime: 86400.5
    boot_id: "0e4d8d6c-3f0c-4c0f-9f4e-6f1f6a3a2b1c:24"
    host: lb1
    run: run-1
    epoch: 7
    operation: deploy
    step: switch
    phase: begin
    outcome: null
    actor: kim
    source: command line
    release: 1.1.0-3f9c21ab77d0
    slot: green
    previous: blue
    detail: null
unsettled:
  description:
    - The last line of the journal when its run did not end well, or V(null); as RV(unfinished). It may be cleared up.
  returned: always
  type: dict
action:
  description:
    - What the next run does about it; V(nothing), V(abandon), V(disarm), V(revert), V(finish), V(complete) or
      V(repair).
    - V(null) when that cannot be told; RV(problem) or RV(haproxy_error) says why.
  returned: always
  type: str
says:
  description: What a run that did not end has left, and what happens next, or an empty string.
  returned: always
  type: str
problem:
  description:
    - What cannot be read on this host, or contradicts itself, or an empty string. It hides nothing that can be read.
    - One or more messages; of each, further lines are indented.
  returned: always
  type: str
haproxy_error:
  description: Why the load balancer could not be asked, or an empty string.
  returned: always
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import view
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.guard import Guard
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import drivers, haproxy, pointer


def look(module: AnsibleModule) -> dict[str, t.Any]:
    application = module.params["application"]
    api = drivers.of(application, haproxy_socket=module.params["socket"])
    path = pointer.path_of(application)
    result: dict[str, t.Any] = {
        "load_balancer": api.name,
        "haproxy_pointer": None,
        "servers": [],
        "counters": {},
        "haproxy_error": "",
        **run(Guard(application, api=api)),
    }
    try:
        used = api.pointer(application, path)
        servers, counters = api.servers(application), api.counters(application)
    except RolloutError as error:
        # What the view found of the load balancer is this same error.
        problem = result["problem"].replace(str(error), "").strip()
        return {**result, "problem": problem, "haproxy_error": str(error)}
    return {
        **result,
        "haproxy_pointer": used._asdict() if used else None,
        "servers": [{**server._asdict(), "up": server.up} for server in servers],
        "counters": counters,
    }


def run(guard: Guard) -> dict[str, t.Any]:
    """Returns what the files tell: what is live, and the run that is under way or was cut off.

    What cannot be read is none, and told in problem.
    """
    told = view.look(guard)
    in_file = told["pointer"]["file"]
    kept = ("state", "lease", "intent", "watch", "unfinished", "unsettled", "action", "says", "problem")
    return {
        **{key: told[key] for key in kept},
        "pointer": pointer.parse(in_file, guard.map_path)._asdict() if in_file else None,
    }


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "socket": {"type": "path", "default": haproxy.SOCKET},
        },
        look,
    )


if __name__ == "__main__":
    main()
