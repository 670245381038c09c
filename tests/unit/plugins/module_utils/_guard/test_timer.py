# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timer: what systemd is told, and that it is believed only when it says so."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.timer import Timer, unit

TOKEN = "0123456789abcdef"
UNIT = "rollout-guard-shop-0123456789ab.timer"


INSTALLED = "LoadState=loaded\nUnitFileState=static\n\nLoadState=loaded\nUnitFileState=enabled\n"


class Systemd:
    """Notes what it is told; *active* is what it says of every timer, *units* of what they start."""

    def __init__(self, active: str = "active", units: str = INSTALLED) -> None:
        self.told: list[list[str]] = []
        self.accepted: list[t.Container[int]] = []
        self.active = active
        self.units = units

    def __call__(self, arguments: list[str], **options: t.Any) -> Completed:
        self.told.append(arguments)
        self.accepted.append(options.get("accepted", (0,)))
        if arguments[:2] == ["systemctl", "show"]:
            return Completed(0, self.units, "")
        return Completed(0 if self.active == "active" else 3, f"{self.active}\n", "")


def test_each_arming_has_a_timer_of_its_own_name() -> None:
    assert unit("shop", TOKEN) == UNIT
    assert unit("shop", "f" + TOKEN) != UNIT


def test_systemd_is_told_when_what_and_how_exactly() -> None:
    systemd = Systemd()
    Timer("shop", systemd).start(TOKEN, 29.87654)
    show, stop, start, ask = systemd.told
    assert show[-2:] == ["rollout-guard@shop.service", "rollout-guard-boot.service"]
    assert stop == ["systemctl", "stop", UNIT]
    assert start[:2] == ["systemd-run", "--quiet"]
    assert {f"--unit={UNIT[:-6]}", "--on-active=29.877s", "--timer-property=AccuracySec=100ms"} <= set(start)
    assert start[-4:] == ["/usr/bin/systemctl", "start", "--no-block", "rollout-guard@shop.service"]
    assert ask == ["systemctl", "is-active", UNIT]


def test_what_is_due_fires_at_once() -> None:
    systemd = Systemd()
    Timer("shop", systemd).start(TOKEN, -3)
    assert "--on-active=0.000s" in systemd.told[2]


def test_a_timer_that_systemd_does_not_have_is_an_error() -> None:
    with pytest.raises(CommandFailed, match="nobody would take back a bad switch") as failed:
        Timer("shop", Systemd("inactive")).start(TOKEN, 30)
    assert f"systemctl status {UNIT}" in str(failed.value)


@pytest.mark.parametrize(
    ("units", "expected", "found"),
    [
        (INSTALLED.replace("loaded", "not-found", 1), "rollout-guard@shop.service loaded", "not-found"),
        (INSTALLED.replace("loaded", "masked", 1), "rollout-guard@shop.service loaded", "masked"),
        (INSTALLED.replace("enabled", "disabled"), "rollout-guard-boot.service enabled", "disabled"),
        ("LoadState=loaded\nUnitFileState=static\n", "rollout-guard-boot.service enabled", "no such unit"),
        ("", "rollout-guard@shop.service loaded", "no such unit"),
    ],
)
def test_a_guard_that_is_installed_in_part_is_no_guard(units: str, expected: str, found: str) -> None:
    systemd = Systemd(units=units)
    with pytest.raises(CommandFailed, match="not installed as a whole") as failed:
        Timer("shop", systemd).start(TOKEN, 30)
    assert (failed.value.expected, failed.value.found) == (expected, found)
    assert len(systemd.told) == 1  # no timer was begun


def test_a_timer_that_is_gone_is_stopped_and_not_active() -> None:
    systemd = Systemd("inactive")
    timer = Timer("shop", systemd)
    timer.stop(TOKEN)
    assert 5 in systemd.accepted[0]
    assert timer.active(TOKEN) is False
