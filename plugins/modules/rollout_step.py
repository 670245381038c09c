#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of rollout_step; the action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_step
short_description: Do one step of a rollout on a load-balancer or an application host
version_added: "0.1.0"
description:
  - Asks the program C(rollout-guard), which the role guard has installed, to do one step. The step journals its begin
    and its end on the host. A load balancer checks that this run still holds the lease, and renews it; an application
    host refuses a run that is older than the newest one it has seen.
  - A step may be repeated. After a switch nobody but the guard itself decides at its deadline.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  environment_name:
    description: Environment of this rollout.
    type: str
    required: true
  step:
    description:
      - On load balancers. V(info) looks. V(begin) takes the lease and clears up what an earlier run left.
        V(renew) keeps the lease while the run is at work elsewhere.
        V(adopt) lets a host that was left behind follow the others. V(arm) promises a revert. V(shift) gives the
        release a share of the traffic. V(switch) moves the traffic and asks what users get. V(drain) watches the slot
        that lost it. V(verify) only asks what users get. V(confirm) records the release as good and disarms. V(revert)
        takes this run's switch back. V(end) gives the lease back without a confirmation. V(approve) ends a bake that
        nobody attends before its time, V(approved) says how it ended.
      - On application hosts. V(wake) starts what is kept in a slot, or empties a slot that does not hold the release;
        connections of another release there are waited for, C(drain_seconds) at most. V(workers) lets workers and
        scheduler follow the traffic. V(stop) stops processes. V(retire) stops a slot that has no traffic, now or later.
    type: str
    required: true
    choices:
      - info
      - begin
      - renew
      - adopt
      - arm
      - shift
      - switch
      - drain
      - verify
      - confirm
      - revert
      - end
      - approve
      - approved
      - wake
      - workers
      - stop
      - retire
  run:
    description: The run, as V(begin) gave it; for V(begin) its operation, actor, source and release.
    type: dict
    required: true
  parameters:
    description: What the step needs besides.
    type: dict
    default: {}
  required:
    description:
      - Whether the task fails when the step does. Otherwise the reason is a warning and RV(problem), for what must not
        keep other hosts from being put right.
    type: bool
    default: true
  masked:
    description: Values that must never show in the result, such as the secrets of the application.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: The guard takes the switch back unless it is confirmed within a minute
  vitalops.rollout.rollout_step:
    application: shop
    environment_name: production
    step: arm
    run: "{{ rollout_run }}"
    parameters:
      deadline: 60
      instances: 4
      check: {path: /ready, status: 200, host: shop}
"""

RETURN = r"""
run:
  description: The run with its id and epoch.
  returned: step V(begin)
  type: dict
view:
  description: What the host knows, see M(vitalops.rollout.rollout_info).
  returned: steps V(begin) and V(info)
  type: dict
token:
  description: What confirms the switch.
  returned: step V(arm)
  type: str
held:
  description: Whether the slot held the release.
  returned: step V(wake)
  type: bool
slots:
  description: The id of the release in each slot, none for an empty one.
  returned: step V(wake)
  type: dict
runs_scheduler:
  description: Whether this host runs a scheduler, in whatever slot.
  returned: step V(wake)
  type: bool
problem:
  description: Why a step failed that was not required.
  returned: when it did
  type: str
lost:
  description: Which run has the lease, or had it since, when the problem is that this one may change nothing any more.
  returned: when it is
  type: str
summary:
  description: What users get, with its numbers next to their limits.
  returned: step V(switch) with C(verify)
  type: str
"""
