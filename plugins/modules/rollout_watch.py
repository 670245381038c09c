#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of rollout_watch; the action plugin of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_watch
short_description: Watch the gates of a phase until they are decided
version_added: "0.1.0"
description:
  - Starts a watch on the host, says every few seconds what the gates see, and ends when all of them have passed or one
    refuses the release. All hosts of a task watch together. One that refuses ends the watch of the others.
  - The watch itself runs on the host. After a switch it takes the traffic back by itself as soon as a gate refuses,
    whether the run still lives or not. While the run lives, the deadline of the guard is renewed.
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
  run:
    description: The run, as the step V(begin) of M(vitalops.rollout.rollout_step) gave it, with its slots.
    type: dict
    required: true
  phase:
    description: The phase of the rollout.
    type: str
    required: true
    choices: [before_switch, during_shift, bake, after_roll_back]
  part:
    description: What tells this watch from another one of the same phase and run.
    type: str
    default: ""
  hosts:
    description:
      - All hosts that watch together, see P(vitalops.rollout.watchers#filter). None of them ends before all are
        content, so that as many forks are needed. A load balancer through which no user came is content as soon as
        gates on traffic have passed on another one.
    type: list
    elements: str
    required: true
  gates:
    description: The gates that look from this host, see P(vitalops.rollout.host_gates#filter).
    type: list
    elements: dict
    required: true
  seconds:
    description: How long the phase lasts. With 0 it is over as soon as every gate has passed.
    type: float
    required: true
  most:
    description: How long it lasts at most, in seconds, while a gate that says so has not seen enough.
    type: float
    required: true
  public_url:
    description: An address through the load balancer, from which a gate takes scheme, host and port.
    type: str
    required: true
  shared:
    description: Whether both slots get traffic during the watch.
    type: bool
    default: false
  watches:
    description: How many watches of this rollout share the risk of a false alarm.
    type: int
    default: 1
  users_optional:
    description: Whether a watch may pass in which no user came, so that gates on traffic saw nothing.
    type: bool
    default: false
  application_host:
    description: Whether this host only looks, without a load balancer and its lease.
    type: bool
    default: false
  lease_seconds:
    description: For how long the lease is renewed at every look, in seconds.
    type: float
    required: true
  connections:
    description: Of V(postgres) and V(redis) host, port, user, password and, for a database, name.
    type: dict
    default: {}
  alone:
    description:
      - Whether nobody attends the watch. The task ends as soon as it runs, and the load balancer itself confirms the
        release in the end, or takes it back. It keeps the lease until then.
    type: bool
    default: false
  release:
    description: The release that is confirmed then.
    type: dict
    default: {}
  verify:
    description: What users must get then, as in the step V(confirm) of M(vitalops.rollout.rollout_step).
    type: dict
    default: {}
  programs:
    description: All gates of type V(command) of this phase, on whatever host; every host waits for their end.
    type: list
    elements: dict
    default: []
  program_environment:
    description: What the programs of gates of type V(command) find in their environment.
    type: dict
    default: {}
  masked:
    description: Values that must never show in the result, such as the secrets of the application.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
- name: Ten minutes of real users show that the release is no worse than the one before
  vitalops.rollout.rollout_watch:
    application: shop
    environment_name: production
    run: "{{ rollout_run }}"
    phase: bake
    hosts: [lb1, lb2]
    gates:
      - name: errors
        type: traffic
        min_samples: 200
        at_most: {error_share: 1 %}
        worse_than_live_by: {error_share: 0.5 %, p95: 20 %}
    seconds: 600
    most: 1200
    public_url: http://127.0.0.1/
    lease_seconds: 300
"""

RETURN = r"""
progress:
  description: Every gate with its verdict, the words for it and how many looks ended how.
  returned: when something was watched
  type: dict
"""
