# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: what each one does to a real host or a real run, how it is undone, and who may notice."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from ..lab import disks, hosts
from ..lab.engine import docker
from ..lab.state import Lab
from .cases import SIGNALS, Case
from .looks import LOAD_BALANCERS
from .runs import Run

#: From the death of an application host until every load balancer has noticed: three checks, each up to 3 s.
NOTICED_SECONDS = 10.0


class Allowance(t.NamedTuple):
    """Failed requests to *targets* are excused, *because*, that ended at *since* or later and were due by *until*.

    Both are s since 1970.
    """

    targets: tuple[str, ...]
    since: float
    until: float
    because: str


def prepare(lab: Lab, case: Case) -> None:
    """Before the run: a disk that shall fill up is made small, with room for now."""
    if case.fault == "disk":
        disks.fill(lab, case.victim, disks.STATE_FOLDER)
        ballast = f"/run/lab-full/{quote(disks.STATE_FOLDER, safe='')}/space/ballast"
        docker("exec", lab.container(case.victim), "rm", ballast)


def inject(lab: Lab, case: Case, run: Run) -> None:
    """Lets the fault strike; returns when it has. A signal is for *run*."""
    if case.fault in SIGNALS:
        run.signal(case.fault)
        run.wait(15)
    elif case.fault == "cut":
        hosts.cut(lab, case.victim, hosts.CONTROLLER)
    elif case.fault == "reboot":
        reboot(lab, case.victim)
    elif case.fault == "haproxy":
        hosts.kill_process(lab, case.victim, "haproxy.service", "KILL")
    elif case.fault == "dockerd":
        docker("exec", lab.container(case.victim), "systemctl", "restart", "docker.service", deadline=90)
    elif case.fault == "disk":
        disks.fill(lab, case.victim, disks.STATE_FOLDER)


def reboot(lab: Lab, name: str) -> None:
    """Takes the power away from a host and gives it back; returns when everything there has started."""
    hosts.kill_host(lab, name)
    host = lab.host(name)
    hosts.ensure_running(lab, host, [])
    hosts.wait_for_ssh(lab, name)


def undo(lab: Lab, case: Case) -> None:
    """Ends a fault that lasts: the cut heals, somebody makes room on the disk."""
    if case.fault == "cut":
        hosts.heal(lab, case.victim)
    elif case.fault == "disk":
        disks.free(lab, case.victim)


def allowance(case: Case, struck: float, over: float) -> Allowance | None:
    """Returns which requests the fault itself may take with it; None: not one. Pure.

    *struck* and *over* are when it struck and when the host was up again, in s since 1970. A restarted dockerd takes
    nothing with it: live-restore is on, so the containers live on.
    """
    why = f"{case.victim} was down"
    if case.fault == "haproxy":
        return Allowance((case.victim,), struck, over + 2.0, f"HAProxy of {case.victim} was dead")
    if case.fault != "reboot":
        return None
    if case.victim in LOAD_BALANCERS:
        return Allowance((case.victim,), struck, over + 1.0, why)
    return Allowance(LOAD_BALANCERS, struck, struck + NOTICED_SECONDS, f"{why}, with the requests in its instances")
