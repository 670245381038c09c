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
  - With O(verify), asks through the load balancer afterwards, the way users come. When the answers are not as they
    must be, the module fails and the traffic stays where it moved to; taking it back is the caller's decision.
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
  verify:
    description: What users must get afterwards. Check mode asks nothing.
    type: dict
    suboptions:
      url:
        description: What to ask on the load-balancer host.
        type: str
        required: true
      status:
        description: Status of a good answer.
        type: int
        default: 200
      body:
        description: JMESPath expression that must be true of the body (JSON). Empty means any body.
        type: str
        default: ""
      consecutive:
        description: How many good answers in a row.
        type: int
        default: 3
      timeout:
        description: Seconds for one answer.
        type: float
        default: 5
      deadline:
        description: Seconds for all of them.
        type: float
        default: 15
  masked:
    description: Values that must never show in the result, such as the secrets of the application.
    type: list
    elements: str
    default: []
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
    verify:
      url: http://127.0.0.1:80/ready
      body: release == '1.1.0-3f9c21ab77d0'
"""

RETURN = r"""
pointer:
  description: The traffic pointer afterwards (in check mode, the one that would be set).
  returned: success
  type: dict
  sample: {"live": "green", "candidate": null, "weight": 0}
summary:
  description: The verdict of O(verify), with its numbers next to their limits.
  returned: when O(verify) was asked for, except in check mode
  type: str
  sample: "load balancer: pass: 3 of 3 good in a row; 3 of 3 samples good; 0.2 of 15 s; p50 3 ms, max 5 of 5000 ms"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import gate
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.assertion import BodyAssertion
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.http_check import HttpCheck
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import PASS
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer, switch


def move(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    application = params["application"]
    path = pointer.path_of(application)
    live, candidate = (None if params[name] == pointer.NONE else params[name] for name in ("live", "candidate"))
    wanted = pointer.Pointer(live, candidate, params["weight"])
    pointer.check(wanted)
    # Built before traffic moves: an expression that cannot be used is refused while nothing has changed.
    question = None if module.check_mode or params["verify"] is None else Question(params["verify"])
    api = haproxy.RuntimeApi(params["socket"])
    in_file, in_haproxy = look(api, application, path, forgiving=module.check_mode)
    result: dict[str, t.Any] = {
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
    result["changed"] = switch.switch(api, application, path, wanted)
    return result if question is None else {**result, "summary": question.ask()}


class Question:
    """What users ask, and the answers that they must get."""

    INTERVAL = 0.1  # s

    def __init__(self, wanted: t.Mapping[str, t.Any]) -> None:
        body = BodyAssertion(wanted["body"]) if wanted["body"].strip() else None
        self._limits = gate.Limits(wanted["consecutive"], self.INTERVAL, wanted["timeout"], wanted["deadline"])
        check = HttpCheck(wanted["url"], status=wanted["status"], body=body)
        self._targets = [gate.Target("load balancer", wanted["url"], check)]
        self._expected = f"{wanted['consecutive']} answers in a row with status {wanted['status']}"
        self._expected += f" and {wanted['body']} true on the body" if body else ""
        gate.check(self._targets, self._limits)

    def ask(self) -> str:
        """Returns the summary of answers that are as they must be. Raises RolloutError with what was seen otherwise."""
        samples, seconds = gate.sample_all(self._targets, self._limits)
        reports = [gate.report(*seen, self._limits) for seen in zip(self._targets, samples, seconds)]
        concluded = gate.conclude(reports, self._limits)
        if concluded["verdict"] != PASS:
            raise gate.refusal(concluded, self._expected, f"on this host: curl -si '{self._targets[0].place}'")
        return str(concluded["summary"][0])


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
            "verify": {
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "status": {"type": "int", "default": 200},
                    "body": {"type": "str", "default": ""},
                    "consecutive": {"type": "int", "default": 3},
                    "timeout": {"type": "float", "default": 5},
                    "deadline": {"type": "float", "default": 15},
                },
            },
            "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "socket": {"type": "path", "default": haproxy.SOCKET},
        },
        move,
    )


if __name__ == "__main__":
    main()
