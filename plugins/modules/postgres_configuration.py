#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module postgres_configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_configuration
short_description: Settings and access rules of a PostgreSQL cluster, in effect
version_added: "0.1.0"
description:
  - Owns F(conf.d/rollout.conf) and F(pg_hba.conf) of the cluster C(main) of a version, as Debian lays it out, or of the
    cluster at O(layout).
  - Before anything is touched, it is found out in a folder of its own whether PostgreSQL would start with the settings.
    C(pg_file_settings) and C(pg_hba_file_rules) are asked before the server reads the files.
  - The server reloads where that is enough, also when only the files of its certificate are newer than what it has
    read. It restarts only when a setting waits for it and O(restart) allows it.
  - When the server refuses anything, the previous files are back and in effect, and the module fails with the reason.
  - Data that belongs to another cluster than the one that was set up here is refused.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  version:
    description: Major version of the cluster.
    type: str
    required: true
  settings:
    description: All settings of our file, by their PostgreSQL names. A list is written with commas between its parts.
    type: dict
    required: true
  access:
    description: The lines of F(pg_hba.conf).
    type: list
    elements: str
    required: true
  restart:
    description: Whether the server may restart for settings that wait for it.
    type: str
    choices: [never, when_needed]
    default: when_needed
  beside:
    description:
      - Settings that another file of F(conf.d) holds, which is read after ours. They are not written; but what of them
        waits for a restart is told before that file is there, in check mode.
    type: dict
    default: {}
  may_lose:
    description:
      - Users and addresses that may be connected now and find no access rule that lets them in again. All others who
        are connected over TCP must find one, or the rules are refused. Check mode cannot tell.
    type: list
    elements: str
    default: []
  layout:
    description: Where the cluster is on a system without Debian's tools, which tell it otherwise. Untested.
    type: dict
    suboptions:
      folder:
        description: Folder of its settings, which reads F(conf.d).
        type: path
        required: true
      data:
        description: Folder of its data.
        type: path
        required: true
      programs:
        description: Folder of the programs of its version.
        type: path
        required: true
      unit:
        description: Its unit.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: PostgreSQL runs with the wanted settings
  vitalops.rollout.postgres_configuration:
    version: "17"
    settings: {work_mem: 16MB, max_connections: 200}
    access: [local all postgres peer, host all all 10.0.0.0/8 scram-sha-256]
    restart: never
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [settings written, reloaded]
waiting:
  description: Settings that wait for a restart; in check mode those that would need one.
  returned: success
  type: list
  elements: str
  sample: [max_connections]
port:
  description: The port that the server listens on now.
  returned: success
  type: int
checksums:
  description: Whether the data carries checksums.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import configure
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres.cluster import Layout

ARGUMENTS: dict[str, t.Any] = {
    "version": {"type": "str", "required": True},
    "settings": {"type": "dict", "required": True},
    "access": {"type": "list", "elements": "str", "required": True},
    "restart": {
        "type": "str",
        "choices": [configure.NEVER, configure.WHEN_NEEDED],
        "default": configure.WHEN_NEEDED,
    },
    "beside": {"type": "dict", "default": {}},
    "may_lose": {"type": "list", "elements": "str", "default": []},
    "layout": {
        "type": "dict",
        "options": {
            "folder": {"type": "path", "required": True},
            "data": {"type": "path", "required": True},
            "programs": {"type": "path", "required": True},
            "unit": {"type": "str", "required": True},
        },
    },
}


def apply(module: AnsibleModule) -> dict[str, t.Any]:
    asked = module.params
    outcome = configure.configure(
        asked["version"],
        asked["settings"],
        asked["access"],
        asked["restart"],
        layout=Layout(**asked["layout"]) if asked["layout"] else None,
        beside=asked["beside"],
        may_lose=asked["may_lose"],
        dry=module.check_mode,
    )
    return {
        "changed": outcome.changed,
        "actions": outcome.actions,
        "waiting": outcome.waiting,
        "port": outcome.port,
        "checksums": outcome.checksums,
        "diff": {"before": outcome.before, "after": outcome.after},
    }


def main() -> None:
    run_module(ARGUMENTS, apply)


if __name__ == "__main__":
    main()
