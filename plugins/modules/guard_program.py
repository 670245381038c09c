#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module guard_program."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guard_program
short_description: Install the program that takes back an unconfirmed switch
version_added: "0.1.0"
description:
  - Packs the very files that this module itself imports into one program, so that there is no second implementation.
  - The program needs Python 3.9 or newer, and nothing of Ansible. It is asked whether it runs on the host.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  path:
    description: Where the program goes. The folder is made when it is missing.
    type: path
    required: true
"""

EXAMPLES = r"""
---
- name: The guard is on the host
  vitalops.rollout.guard_program:
    path: /usr/local/lib/rollout/rollout-guard
"""

RETURN = r"""
path:
  description: Where the program is.
  returned: success
  type: str
checksum:
  description: SHA-256 of the program.
  returned: success
  type: str
protocol:
  description: What the program answered, with the protocol that it speaks.
  returned: success, but not in check mode
  type: str
  sample: rollout-guard, protocol 3
fresh:
  description: Whether there was no program before.
  returned: success
  type: bool
"""

import hashlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import command, durable
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import cli, zipapp
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module


def install(module: AnsibleModule) -> dict[str, t.Any]:
    path = module.params["path"]
    root = cli.__name__.rsplit(".", 2)[0]
    program = zipapp.pack(zipapp.sources(root))
    before, after = durable.read_bytes(path), hashlib.sha256(program).hexdigest()
    known = hashlib.sha256(before).hexdigest() if before is not None else None
    executable = before is not None and os.stat(path).st_mode & 0o7777 == 0o755
    changed = known != after or not executable
    if changed and not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        durable.write_bytes(path, program, mode=0o755)
    answer = {} if module.check_mode else {"protocol": command.run([path, "--version"], deadline=30).output.strip()}
    return {
        **answer,
        "changed": changed,
        "path": path,
        "checksum": after,
        "fresh": before is None,
        "diff": {"before": {"checksum": known}, "after": {"checksum": after}},
    }


def main() -> None:
    run_module({"path": {"type": "path", "required": True}}, install)


if __name__ == "__main__":
    main()
