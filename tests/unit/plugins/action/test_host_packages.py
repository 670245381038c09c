# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin: dpkg is asked, and the package manager only when something is missing."""

from __future__ import annotations

import types
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.vitalops.rollout.plugins.action import host_packages as action
from ansible_collections.vitalops.rollout.plugins.modules import host_packages as documented


def acts(names: list[str], told: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[t.Any]]:
    """What the task gives, and what reached the host."""
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task = types.SimpleNamespace(args={"names": names}, check_mode=False, async_val=0)
    plugin._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None))
    plugin._play_context = plugin._loader = plugin._templar = None
    plugin._supports_check_mode = plugin._supports_async = True
    calls: list[t.Any] = []

    def ask(command: str, *, sudoable: bool) -> dict[str, t.Any]:
        assert sudoable
        calls.append(command)
        return {"rc": 0, "stdout": "", "stderr": "", **told}

    def install(**options: t.Any) -> dict[str, t.Any]:
        calls.append((options["module_name"], options["module_args"]))
        return {"changed": True}

    plugin._low_level_execute_command, plugin._execute_module = ask, install
    return plugin.run(task_vars={}), calls


def test_what_is_installed_is_not_installed_again() -> None:
    told, calls = acts(["haproxy", "acl"], {"stdout": "installed acl\ninstalled haproxy\n"})
    assert told == {"changed": False}
    assert calls == ["dpkg-query --show '--showformat=${db:Status-Status} ${Package}\\n' -- haproxy acl"]


@pytest.mark.parametrize(
    "answer",
    [
        {"rc": 1, "stdout": "installed acl\n", "stderr": "dpkg-query: no packages found matching haproxy"},
        {"stdout": "installed acl\nconfig-files haproxy\n"},
        {"stdout": "installed acl\nhalf-configured haproxy\n"},
        {"rc": 2, "stdout": "", "stderr": "dpkg-query: error: dpkg database is locked"},
    ],
)
def test_what_is_missing_or_not_whole_is_left_to_apt(answer: dict[str, t.Any]) -> None:
    told, calls = acts(["haproxy", "acl"], answer)
    assert told == {"changed": True}
    assert calls[1] == ("ansible.builtin.apt", {**action.APT, "name": ["haproxy", "acl"], "state": "present"})


def test_a_host_without_dpkg_is_left_to_dnf() -> None:
    _told, calls = acts(["acl"], {"rc": 127})
    assert calls[1] == ("ansible.builtin.dnf", {**action.DNF, "name": ["acl"], "state": "present"})


def test_names_are_neither_options_nor_shell() -> None:
    with pytest.raises(AnsibleActionFail):
        acts(["--admindir=/tmp"], {})
    _told, calls = acts(["acl; reboot"], {"rc": 1})
    assert calls[0].endswith(" -- 'acl; reboot'")


def test_what_is_documented_is_what_is_taken() -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    assert [*options] == [*action.ARGUMENTS]
