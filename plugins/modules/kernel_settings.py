#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kernel_settings: settings of the kernel, where the host may set them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_settings
version_added: "0.1.0"
short_description: Set what a service needs of the kernel, where the host may
description:
  - Sets values under F(/proc/sys) and the mode of transparent huge pages, and writes files that set them after a boot.
  - A host that may not set them, as most containers, is told in RV(refused); it is no failure.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  name:
    description: Name of the files in F(/etc/sysctl.d) and F(/etc/tmpfiles.d).
    type: str
    required: true
  settings:
    description: Values by the names of sysctl.
    type: dict
    default: {}
  least:
    description: Numbers by the names of sysctl; a greater one that is set is left as it is.
    type: dict
    default: {}
  huge_pages:
    description: Mode of transparent huge pages.
    type: str
    choices: [always, madvise, never]
"""

EXAMPLES = r"""
- name: Kernel gives Redis what it needs
  vitalops.rollout.kernel_settings:
    name: rollout-redis
    settings: {vm.overcommit_memory: 1}
    least: {net.core.somaxconn: 511}
    huge_pages: madvise
"""

RETURN = r"""
set:
  description: What was set or written, or would be.
  returned: success
  type: list
  elements: str
  sample: ["/proc/sys/vm/overcommit_memory: 0 -> 1"]
refused:
  description: What the host may not set, with the reason.
  returned: success
  type: list
  elements: str
  sample: ["/proc/sys/vm/overcommit_memory: 1 (Read-only file system)"]
error:
  description: The parts of the message (what, expected, found, where, next).
  returned: on failure
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import kernel
from ansible_collections.vitalops.rollout.plugins.module_utils._module import planned, run_module

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "settings": {"type": "dict", "default": {}},
    "least": {"type": "dict", "default": {}},
    "huge_pages": {"type": "str", "choices": ["always", "madvise", "never"]},
}


def main() -> None:
    run_module(ARGUMENTS, set_all)


def set_all(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what was set and what was refused."""
    told = module.params
    wanted = kernel.read(told["settings"], told["least"], told["huge_pages"])
    done = kernel.apply(told["name"], wanted, check=module.check_mode)
    return {"changed": bool(done.changed), "set": done.changed, "refused": done.refused, "diff": planned(done.changed)}


if __name__ == "__main__":
    main()
