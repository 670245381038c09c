#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_files: all files of a role on a host in one look and one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Bring files, folders and links of a host to what they shall be, all in one step
version_added: "0.1.0"
description:
  - Makes folders, files and links, in this order, and then removes files that shall be absent.
  - What is in the way, such as a folder where a file shall be, is refused before anything changes.
  - Each file is written beside the old one, brought to the disk and renamed, so that nobody ever reads a part of it.
  - One connection and one start of Python do what C(file), C(template) and C(copy) need one to five for, for each path.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  folders:
    description: Folders. A link to a folder is one.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      owner:
        description: User that owns it.
        type: str
        default: root
      group:
        description: Group that owns it.
        type: str
        default: root
      mode:
        description: Rights, in octal digits.
        type: str
        default: "0755"
  files:
    description:
      - Files. Folders that are missing on the way to them are made, of root and with mode C(0755).
      - A link where a file shall be is refused.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      content:
        description: What it holds.
        type: str
      secret:
        description: What it holds, when nobody shall be shown that.
        type: str
      owner:
        description: User that owns it.
        type: str
        default: root
      group:
        description: Group that owns it.
        type: str
        default: root
      mode:
        description: Rights, in octal digits.
        type: str
        default: "0644"
      state:
        description: Whether it shall be there. A file that shall not be there needs no content.
        type: str
        choices: [present, absent]
        default: present
      keep:
        description: A file that is there stays as it is, with its rights.
        type: bool
        default: false
      validate:
        description:
          - A program and its arguments, without a shell. It is asked whether it accepts the new content, which is in
            the file C(%s), before that replaces the old one; any exit code but 0 refuses it.
          - Files before this one are in place by then. In check mode it is not asked.
        type: list
        elements: str
        default: []
  check_together:
    description:
      - A program that is asked about all files at once, before the first of them is replaced. In check mode it is not
        asked.
      - It finds copies below a folder of their own, which is C(%s), at the same paths. Where a file names another one
        of O(files), its copy names the copy.
    type: dict
    suboptions:
      command:
        description: The program and its arguments, without a shell; any exit code but 0 refuses the files.
        type: list
        elements: str
        required: true
      folders:
        description: Folders that are copied there first, as others have files in them which the program reads as well.
        type: list
        elements: path
        default: []
  links:
    description: Symbolic links.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      target:
        description: Where it leads.
        type: str
        required: true
  unit:
    description:
      - Service that reads these files. When it runs, and was neither started nor reloaded since the newest of them
        changed, that counts as a change, so that whoever is notified tells it. A run that died before its handlers
        leaves a service like that.
    type: str
  unit_reads:
    description: More files that this service reads; what is not there does not count.
    type: list
    elements: path
    default: []
notes:
  - In check mode a user or a group that does not exist yet counts as a change.
"""

EXAMPLES = r"""
---
- name: The shop's exporter is configured
  vitalops.rollout.host_files:
    folders:
      - {path: /var/lib/exporter, owner: exporter, group: exporter, mode: "0700"}
    files:
      - path: /etc/exporter/exporter.conf
        content: "{{ lookup('ansible.builtin.template', 'exporter.conf.j2') }}"
        validate: [/usr/bin/exporter, --check, "%s"]
      - {path: /etc/exporter/password, secret: "{{ exporter_password }}", group: exporter, mode: "0640"}
      - {path: /etc/exporter/exporter.old, state: absent}
    unit: exporter
  notify: Reload the exporter
"""

RETURN = r"""
paths:
  description: What was changed, or would be, in order, and what O(unit) has not read since it changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/exporter/exporter.conf]
diff:
  description: What was at each of them before, and after; of secrets only that they changed.
  returned: success
  type: list
  elements: dict
"""

import grp
import os
import pwd
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import candidate, files, services
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module


def _owned(mode: str) -> dict[str, t.Any]:
    return {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": mode},
    }


ARGUMENTS: dict[str, t.Any] = {
    "folders": {"type": "list", "elements": "dict", "default": [], "options": _owned("0755")},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **_owned("0644"),
            "content": {"type": "str"},
            "secret": {"type": "str", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "keep": {"type": "bool", "default": False},
            "validate": {"type": "list", "elements": "str", "default": []},
        },
        "required_if": [("state", "present", ("content", "secret"), True)],
        "mutually_exclusive": [("content", "secret")],
    },
    "check_together": {
        "type": "dict",
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "folders": {"type": "list", "elements": "path", "default": []},
        },
    },
    "links": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "path", "required": True}, "target": {"type": "str", "required": True}},
    },
    "unit": {"type": "str"},
    "unit_reads": {"type": "list", "elements": "path", "default": []},
}


def main() -> None:
    run_module(ARGUMENTS, put)


def put(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns what RETURN says."""
    wanted = _wanted(module.params, module.check_mode)
    changes = files.plan(wanted, files.look(wanted))
    unread = _unread(module.params, wanted)  # before: what changes now has not been read either way
    paths = list(dict.fromkeys([*(one.path for one in changes), *unread]))
    if changes and not module.check_mode:
        together = module.params["check_together"]
        if together:
            candidate.check(wanted, together["command"], together["folders"], module.tmpdir)
        files.apply(wanted)
    if unread and not changes:
        unit = module.params["unit"]
        changes = [files.Change(unit, "read its files before they last changed\n", "reads them\n", unit)]
    return {
        "changed": bool(changes),
        "paths": paths,
        "diff": [
            {"before_header": one.title, "after_header": one.title, "before": one.before, "after": one.after}
            for one in changes
        ],
    }


def _unread(told: dict[str, t.Any], wanted: files.Wanted) -> list[str]:
    # A file that went shows in its folder.
    folders = [os.path.dirname(path) for path in wanted.absent]
    paths = [*(one.path for one in wanted.files), *folders, *told["unit_reads"]]
    return services.unread(told["unit"], paths) if told["unit"] else []


def _wanted(told: dict[str, t.Any], missing_is_fine: bool) -> files.Wanted:
    def rights(one: dict[str, t.Any]) -> files.Rights:
        if not re.fullmatch(r"0[0-7]{3,4}", one["mode"]):
            raise BadInput("A mode is not in octal digits.", expected="0644", found=one["mode"], where=one["path"])
        return files.Rights(
            _id(pwd.getpwnam, one["owner"], one["path"], missing_is_fine),
            _id(grp.getgrnam, one["group"], one["path"], missing_is_fine),
            int(one["mode"], 8),
        )

    return files.Wanted(
        [files.Folder(one["path"], rights(one)) for one in told["folders"]],
        [
            files.File(
                one["path"],
                rights(one),
                one["content"] if one["secret"] is None else one["secret"],
                one["secret"] is not None,
                one["keep"],
                tuple(one["validate"]),
            )
            for one in told["files"]
            if one["state"] == "present"
        ],
        [files.Link(one["path"], one["target"]) for one in told["links"]],
        [one["path"] for one in told["files"] if one["state"] == "absent"],
    )


def _id(ask: t.Callable[[str], t.Any], name: str, path: str, missing_is_fine: bool) -> int:
    """Returns the id of a user or a group; in check mode the package that brings it may not be there yet."""
    try:
        return int(ask(name)[2])
    except KeyError as error:
        if missing_is_fine:
            return files.UNKNOWN
        raise NotFound(
            "An owner does not exist on the host; nothing was changed.",
            expected=str(error.args[0]).replace("not found: ", ""),
            where=path,
            next_step="install the service that brings it first, or name another owner",
        ) from error


if __name__ == "__main__":
    main()
