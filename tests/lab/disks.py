# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full disks of hosts, made and given back from here by disk_filler.py."""

from __future__ import annotations

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput

from .engine import docker
from .paths import HERE
from .state import Lab

STATE_FOLDER = "/var/lib/rollout"


def fill(lab: Lab, host: str, folder: str) -> None:
    """Makes the disk under *folder* of *host* full: from now on writes there end with ENOSPC."""
    _filler(lab, host, "fill", folder)


def free(lab: Lab, host: str) -> list[str]:
    """Gives every full disk of *host* back; nothing that was written is lost. Returns the folders."""
    return _filler(lab, host, "free")


def full(lab: Lab, host: str) -> list[str]:
    """Returns the folders of *host* whose disk is full."""
    return _filler(lab, host, "list")


def refuse_full(lab: Lab, host: str) -> None:
    """Raises BadInput when a disk of *host* is full: it lies in memory, and would lose what a real one keeps."""
    found = full(lab, host)
    if found:
        raise BadInput(
            f"{host} cannot lose its power now: what was written to its full disk would be lost.",
            found=", ".join(found),
            where=lab.container(host),
            next_step=f"lab.py free --name {lab.name} {host}",
        )


def _filler(lab: Lab, host: str, *arguments: str) -> list[str]:
    program = (HERE / "disk_filler.py").read_text(encoding="utf-8")
    command = ("exec", "--interactive", lab.container(host), "python3", "-", *arguments)
    return docker(*command, standard_input=program).output.splitlines()
