# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge to Ansible: what the host itself refuses reaches people in words, not as a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._module import refusal

PROGRAM = """
import errno, os
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
def act(module):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/var/lib/rollout/shop/state.json")
run_module({}, act)
"""


# What Ansible writes into the log of the host.
LOGGED = """
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
logged = []
AnsibleModule.log = lambda module, message, log_args=None: logged.append(message)
run_module({specification!r}, lambda module: {{"logged": bool(logged)}})
"""


def run(program: str) -> dict[str, t.Any]:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_no_log": False}}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return t.cast("dict[str, t.Any]", json.loads(ended.stdout))


@pytest.mark.parametrize(
    ("options", "logged"),
    [
        ({}, True),
        ({"secret": {"type": "str", "no_log": True}}, False),
        ({"login": {"type": "dict", "options": {"password": {"type": "str", "no_log": True}}}}, False),
    ],
)
def test_arguments_with_a_secret_deep_in_a_list_are_not_logged(options: dict[str, t.Any], logged: bool) -> None:
    specification = {"files": {"type": "list", "elements": "dict", "options": {"path": {"type": "str"}, **options}}}
    assert run(LOGGED.format(specification=specification))["logged"] is logged


def test_a_read_only_state_folder_is_a_message() -> None:
    told = run(PROGRAM)
    assert told["failed"] is True
    assert told["msg"].startswith("The host refused to write: the file system is read-only.\n")
    assert told["error"]["where"] == "/var/lib/rollout/shop/state.json"


@pytest.mark.parametrize(
    ("number", "path", "parts"),
    [
        (errno.ENOSPC, None, ["the disk is full", "did not name", "df -h /var/lib/rollout /etc/rollout"]),
        (errno.EACCES, "/etc/rollout/shop", ["found: Permission denied", "where: /etc/rollout/shop", "become: true"]),
        (errno.EISDIR, "/x", ["refused to read or write a file", "found: Is a directory", "ls -ld /x"]),
    ],
)
def test_what_the_host_refused_is_told_with_a_next_step(number: int, path: str | None, parts: list[str]) -> None:
    message = str(refusal(OSError(number, os.strerror(number), path)))
    for part in parts:
        assert part in message


def test_an_error_without_a_reason_shows_itself() -> None:
    assert "found: OSError: cannot send" in str(refusal(OSError("cannot send")))
