#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module nginx_configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_configuration
short_description: Put files of nginx in place, after nginx has tested them together
version_added: "0.1.0"
description:
  - Tests the files, with those that other applications have there, in a folder of their own, and only then replaces
    those of the running nginx. It does not reload nginx.
  - When nginx runs, and was neither started nor reloaded since the newest of its files changed, that counts as a
    change, so that whoever is notified reloads it. A run that died before its handlers leaves an nginx like that.
  - Makes the include that is derived from the traffic map, when it is missing; it never touches one that is there.
  - Tells the guard that nginx routes the application on this host, and to which instances.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  application:
    description: Name of the application.
    type: str
    required: true
  files:
    description: Content by path below O(folder); C(nginx.conf) is one of them. They hold no secrets.
    type: dict
    required: true
  folder:
    description: Where nginx has its configuration.
    type: path
    default: /etc/nginx
  instances:
    description: For C(blue) and C(green), the list of instances (name, address, port).
    type: dict
    required: true
  check_path:
    description: What a healthy instance is asked.
    type: str
    required: true
  check_status:
    description: Its answer.
    type: int
    required: true
  status_address:
    description: Where nginx tells its pointer to this host, as host:port.
    type: str
    required: true
  unit_reads:
    description: More files that nginx reads at a reload, such as a certificate; what is not there does not count.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
---
- name: The shop is configured
  vitalops.rollout.nginx_configuration:
    application: shop
    files:
      nginx.conf: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
      rollout.d/shop.conf: "{{ lookup('ansible.builtin.template', 'nginx_application.conf.j2') }}"
    instances: {blue: [{name: app1-web-1, address: 192.0.2.11, port: 18000}], green: []}
    check_path: /ready
    check_status: 200
    status_address: 127.0.0.1:8406
"""

RETURN = r"""
files:
  description: Paths of the files that were not as they should be.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.names import check_application
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import services
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import drivers, nginx, nginx_files

UNIT = "nginx"


def configure(module: AnsibleModule) -> dict[str, t.Any]:
    asked = module.params
    told = {
        "schema": drivers.SCHEMA,
        "driver": "nginx",
        "instances": asked["instances"],
        "check": {"path": asked["check_path"], "status": asked["check_status"]},
        "status": asked["status_address"],
    }
    wanted = nginx_files.Configuration(
        check_application(asked["application"]), asked["folder"].rstrip("/"), asked["files"], told
    )
    path = nginx_files.told_path(wanted)
    nginx.settings(told, path)
    changed = nginx_files.changes(wanted)
    try:
        known = durable.read_json(path, schema=drivers.SCHEMA)
    except StateUnreadable:
        known = None
    # Also when nothing changes: a file of somebody else that nginx refuses would stand in the way of the next switch.
    nginx_files.test(wanted)
    if not module.check_mode:
        nginx_files.put(wanted)
    diff: list[dict[str, t.Any]] = [
        {"before_header": one, "after_header": one, "before": before or "", "after": after}
        for one, (before, after) in changed.items()
    ]
    if known != told:
        diff.append({"before_header": path, "after_header": path, "before": known or {}, "after": told})
    if not diff and services.unread(UNIT, [*nginx_files.paths(wanted), *asked["unit_reads"]]):
        behind = {"before": "read its files before they last changed\n", "after": "reads them\n"}
        diff.append({"before_header": UNIT, "after_header": UNIT, **behind})
    return {"changed": bool(diff), "files": sorted(changed), "diff": diff}


def main() -> None:
    run_module(
        {
            "application": {"type": "str", "required": True},
            "files": {"type": "dict", "required": True},
            "folder": {"type": "path", "default": "/etc/nginx"},
            "instances": {"type": "dict", "required": True},
            "check_path": {"type": "str", "required": True},
            "check_status": {"type": "int", "required": True},
            "status_address": {"type": "str", "required": True},
            "unit_reads": {"type": "list", "elements": "path", "default": []},
        },
        configure,
    )


if __name__ == "__main__":
    main()
