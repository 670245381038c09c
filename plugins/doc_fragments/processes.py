# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of an application, as every module that takes them documents them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  processes:
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the process, part of the names of its instances.
        type: str
        required: true
      kind:
        description: V(web) takes traffic, V(worker) takes jobs, and of a V(scheduler) there is one only.
        type: str
        required: true
        choices: [web, worker, scheduler]
      command:
        description:
          - The program and its arguments, exactly as they are; no shell and no variables.
          - Under docker, arguments for the entry point of the image.
          - Under systemd, the first word is a path inside the release folder, an absolute path or a name to look up.
        type: list
        elements: str
        default: []
      instances:
        description: How many copies run on this host.
        type: int
        default: 1
      container_port:
        description: Port on which the program listens inside its container. Needed for V(web) under docker.
        type: int
      memory:
        description: Most memory that one instance may use, such as V(512m). No limit when left out.
        type: str
      cpus:
        description: Most processors that one instance may use, such as V(0.5). No limit when left out.
        type: str
      stop_timeout:
        description: Seconds between TERM and KILL when an instance stops.
        type: int
        default: 30
      health_command:
        description: Shell command in the container that tells its health (docker only), instead of the image's own one.
        type: str
"""
