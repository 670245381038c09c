# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd driver: the files it writes, in which order it asks systemd, and what it makes of the answers."""

from __future__ import annotations

import dataclasses
import os
import stat

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.systemd import Systemd, unit_text

UNIT = "shop-blue-web@{}.service"


def defined(paths, **web):
    process = {"name": "web", "kind": "web", "command": ["bin/app", "web"], "instances": 2, **web}
    return d.Definition(
        application="shop",
        slot="blue",
        runtime="systemd",
        release=d.Release("1-0123456789ab", "1", "sha256:" + "a" * 64, "https://registry.test/shop-1.tar.gz"),
        processes=d.processes_from([process], runtime="systemd"),
        port_base=18000,
        bind_address="192.0.2.1",
        environment_file=paths.environment_file("1-0123456789ab"),
    )


class Manager:
    """Answers like systemctl and its family; keeps all commands."""

    def __init__(self):
        self.asked, self.answers, self.shown = [], {}, {}

    def __call__(self, arguments, *, deadline, accepted=(0,), **options):
        self.asked.append(" ".join(arguments))
        if arguments[:2] == ["systemctl", "show"]:
            units = [word for word in arguments if word.endswith(".service")]
            blocks = ["\n".join(f"{k}={v}" for k, v in {"Id": one, **self.shown.get(one, {})}.items()) for one in units]
            return Completed(0, "\n\n".join(blocks) + "\n", "")
        return next((self.answers[key] for key in self.answers if self.asked[-1].startswith(key)), Completed(0, "", ""))

    @property
    def verbs(self):
        return [" ".join(one.split()[:2]) for one in self.asked]


@pytest.fixture
def paths(tmp_path):
    os.makedirs(tmp_path / "etc/systemd/system")
    return Paths("shop", str(tmp_path))


@pytest.fixture
def manager():
    return Manager()


def line_of(text, key):
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_a_unit_is_limited_hardened_and_comes_back(paths):
    text = unit_text(paths, defined(paths, memory="64m", cpus="1.5", stop_timeout=7).instances[0])
    for key, expected in {
        "MemoryMax": ["67108864"],
        "CPUQuota": ["150%"],
        "TasksMax": ["512"],
        "TimeoutStopSec": ["7"],
        "Restart": ["always"],
        "StartLimitIntervalSec": ["0"],
        "DynamicUser": ["yes"],
        "CapabilityBoundingSet": [""],
        "ProtectSystem": ["strict"],
        "SystemCallFilter": ["@system-service"],
        "WantedBy": ["multi-user.target"],
        "WorkingDirectory": [f"{paths.releases}/1-0123456789ab"],
        "EnvironmentFile": [
            f"{paths.configuration}/1-0123456789ab.env",
            f"{paths.configuration}/blue-web-%i.env",
        ],
    }.items():
        assert line_of(text, key) == expected, key


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["bin/app", "web"], '"{folder}/bin/app" "web"'),
        (["./bin/app"], '"{folder}/bin/app"'),
        (["/usr/bin/env", "x"], '"/usr/bin/env" "x"'),
        (["python3", "-m", "app"], '"python3" "-m" "app"'),
        (["a/b", "$HOME", "100%n", 'say "hi"', "back\\slash", "it's", ""], None),
    ],
)
def test_words_of_a_command_arrive_as_they_are(paths, command, expected):
    (line,) = line_of(unit_text(paths, defined(paths, command=command).instances[0]), "ExecStart")
    expected = expected or r'"{folder}/a/b" "$$HOME" "100%%n" "say \"hi\"" "back\\slash" "it' + "'" + r's" ""'
    assert line == expected.replace("{folder}", f"{paths.releases}/1-0123456789ab")


def test_instances_are_verified_written_enabled_reloaded_and_started_in_this_order(paths, manager):
    Systemd(paths, manager).create(defined(paths).instances)
    assert manager.verbs == [
        "systemd-analyze verify",
        "systemctl enable",
        "systemctl daemon-reload",
        "systemctl start",
    ]
    assert manager.asked[-1] == f"systemctl start {UNIT.format(1)} {UNIT.format(2)}"
    instance_file = os.path.join(paths.configuration, "blue-web-1.env")
    assert stat.S_IMODE(os.stat(instance_file).st_mode) == 0o600
    with open(instance_file) as handle:
        assert 'PORT="18000"' in handle.read()


def test_what_was_created_is_observed_by_its_files_and_by_systemd(paths, manager):
    driver, expected = Systemd(paths, manager), defined(paths).instances
    driver.create(expected)
    manager.shown = {
        UNIT.format(1): {
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "ActiveEnterTimestamp": "@0",
            "NRestarts": "3",
        },
        UNIT.format(2): {"ActiveState": "activating", "SubState": "auto-restart", "UnitFileState": "disabled"},
    }
    first, second = driver.observe("shop", "blue")
    assert (first.name, first.state, first.boots, first.restarts) == ("shop-blue-web-1", "running", True, 3)
    assert (first.checksum, first.release_id, first.host_port) == (expected[0].checksum, "1-0123456789ab", 18000)
    assert first.started_at == "1970-01-01T00:00:00Z"
    assert (second.state, second.boots, second.started_at) == ("restarting", False, None)
    assert driver.observe("shop", "green") == []


def test_a_unit_that_systemd_refuses_is_not_written(paths, manager):
    manager.answers["systemd-analyze verify"] = Completed(1, "", "Command bin/app is not executable")
    with pytest.raises(BadInput, match="is not executable"):
        Systemd(paths, manager).create(defined(paths).instances)
    assert os.listdir(paths.units) == []
    assert manager.verbs == ["systemd-analyze verify"]


def test_a_start_that_fails_is_told_with_the_last_words(paths, manager):
    manager.answers["systemctl start"] = Completed(1, "", "Job failed")
    manager.answers["journalctl"] = Completed(0, "no module named shop\n", "")
    manager.shown = {UNIT.format(1): {"ActiveState": "active"}, UNIT.format(2): {"ActiveState": "failed"}}
    with pytest.raises(CommandFailed, match=r"shop-blue-web@2\.service\n    no module named shop"):
        Systemd(paths, manager).create(defined(paths).instances)


def test_stopped_units_stay_off_after_a_reboot_and_a_kill_is_reported(paths, manager):
    driver = Systemd(paths, manager)
    driver.create(defined(paths).instances)
    seen = driver.observe("shop", "blue")
    manager.asked.clear()
    manager.shown = {UNIT.format(1): {"Result": "success"}, UNIT.format(2): {"Result": "timeout"}}
    assert driver.stop(seen) == ["shop-blue-web-2"]
    assert manager.verbs == ["systemctl disable", "systemctl stop", "systemctl show", "systemctl reset-failed"]
    assert manager.asked[-1].endswith(UNIT.format(2))


def test_the_last_instance_takes_its_template_along(paths, manager):
    driver = Systemd(paths, manager)
    driver.create(defined(paths).instances)
    first, second = driver.observe("shop", "blue")
    driver.remove([first])
    assert os.listdir(paths.units) == ["shop-blue-web@.service"]
    driver.remove([second])
    assert os.listdir(paths.units) == os.listdir(paths.configuration) == []


def test_an_application_whose_name_looks_like_a_slot_of_another_keeps_its_units(paths, manager):
    """shop-blue in slot green, and shop in slot blue: their units sort together, their folders do not."""
    driver = Systemd(paths, manager)
    driver.create(defined(paths).instances)
    other = Paths("shop-blue", paths.root)
    neighbour = dataclasses.replace(defined(other), application="shop-blue", slot="green")
    Systemd(other, manager).create(neighbour.instances)
    driver.remove(driver.observe("shop", "blue"))
    assert os.listdir(paths.units) == ["shop-blue-green-web@.service"]
    assert [one.name for one in Systemd(other, manager).observe("shop-blue", "green")] == [
        "shop-blue-green-web-1",
        "shop-blue-green-web-2",
    ]
