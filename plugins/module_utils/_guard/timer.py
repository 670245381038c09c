# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd does for a guard: the timer of its deadline, exact to a tenth of a second, and its watch. PRIVATE.

A hard restart forgets transient timers; the boot unit of the role guard looks after what was armed then.
"""

from __future__ import annotations

import typing as t

from .._foundation import command
from .._foundation.errors import CommandFailed, playbook

Runner = t.Callable[..., command.Completed]

BOOT_UNIT = "rollout-guard-boot.service"
_DEADLINE = 15.0  # s, for a question to systemd


def unit(application: str, token: str) -> str:
    """Returns the name of the timer of one armed guard. Each arming has its own, so that none is ever replaced."""
    return f"rollout-guard-{application}-{token[:12]}.timer"


def service(application: str) -> str:
    """Returns the name of the unit that the timers of *application* start."""
    return f"rollout-guard@{application}.service"


def watch(application: str) -> str:
    """Returns the name of the unit that watches *application*."""
    return f"rollout-watch@{application}.service"


class Timer:
    """Timers, and the watch, of one application on this host."""

    def __init__(self, application: str, run: Runner = command.run) -> None:
        self._application = application
        self._run = run

    def start(self, token: str, seconds: float) -> None:
        """Starts the timer that fires in *seconds*.

        Raises CommandFailed when systemd does not have it afterwards, or cannot start what it is for.
        """
        self._must_be_installed()
        name = unit(self._application, token)
        self.stop(token)
        self._run(
            [
                *("systemd-run", "--quiet", f"--unit={name[: -len('.timer')]}"),
                f"--on-active={max(0.0, seconds):.3f}s",
                *("--timer-property=AccuracySec=100ms", "--timer-property=RemainAfterElapse=no"),
                *("/usr/bin/systemctl", "start", "--no-block", service(self._application)),
            ],
            deadline=_DEADLINE,
            next_step="is this host run by systemd? systemctl is-system-running",
        )
        if not self.active(token):
            raise CommandFailed(
                "The guard's timer does not run, so nobody would take back a bad switch; traffic was not moved.",
                expected=f"{name} active",
                found="not active",
                where="systemd",
                next_step=f"systemctl status {name}; journalctl -u {service(self._application)}",
            )

    def _must_be_installed(self) -> None:
        """Raises CommandFailed without the unit that the timer starts, or the one that stands in for it at a boot."""
        fires = service(self._application)
        answer = self._run(
            ["systemctl", "show", "--property=LoadState,UnitFileState", fires, BOOT_UNIT], deadline=_DEADLINE
        )
        # A block of lines for each unit; in none of them is more than one word.
        told = [dict(line.split("=", 1) for line in block.split()) for block in answer.output.split("\n\n")]
        wanted = {fires: ("LoadState", "loaded"), BOOT_UNIT: ("UnitFileState", "enabled")}
        for (name, (key, state)), found in zip(wanted.items(), [*told, {}, {}]):
            if found.get(key) != state:
                raise CommandFailed(
                    "The guard is not installed as a whole, so nobody would take back a bad switch; traffic stays.",
                    expected=f"{name} {state}",
                    found=found.get(key) or "no such unit",
                    where="systemd",
                    next_step=f"{playbook('provision')} installs it",
                )

    def stop(self, token: str) -> None:
        """Stops the timer, if there is one."""
        name = unit(self._application, token)
        self._run(["systemctl", "stop", name], deadline=_DEADLINE, accepted=(0, 5))

    def active(self, token: str) -> bool:
        """Whether systemd has the timer."""
        answer = self._run(
            ["systemctl", "is-active", unit(self._application, token)], deadline=_DEADLINE, accepted=(0, 3, 4)
        )
        return answer.output.strip() == "active"

    def start_watch(self) -> None:
        """Starts the watch anew; what it watches is in a file. Raises CommandFailed when its process does not run."""
        self._run(
            ["systemctl", "restart", watch(self._application)],
            deadline=_DEADLINE,
            next_step=f"{playbook('provision')} installs the unit; journalctl -u {watch(self._application)}",
        )

    def stop_watch(self) -> None:
        """Stops the watch, if there is one."""
        self._run(["systemctl", "stop", watch(self._application)], deadline=_DEADLINE, accepted=(0, 5))
