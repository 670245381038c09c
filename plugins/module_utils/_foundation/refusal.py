# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system refused, in words for people: disk full, read-only folder, missing right. PRIVATE."""

from __future__ import annotations

import errno

from .errors import RolloutError


def refusal(error: OSError) -> RolloutError:
    """Returns *error* in words for people. The system does not name the file when a write to an open one fails."""
    path = str(error.filename) if error.filename else ""
    place = path or "/var/lib/rollout /etc/rollout"
    what, next_step = {
        errno.ENOSPC: ("write: the disk is full", f"free space, then run again; see: df -h {place}; df -i {place}"),
        errno.EDQUOT: ("write: the disk quota is used up", f"raise the quota or free space; see: df -h {place}"),
        errno.EROFS: ("write: the file system is read-only", f"see why, then remount it: findmnt -T {place}; dmesg"),
        errno.EACCES: ("open a file: a right is missing", f"run with become: true; see: ls -ld {place}"),
        errno.EPERM: (
            "change a file: a right is missing",
            f"run with become: true; see: ls -ld {place}; lsattr -d {place}",
        ),
        errno.EIO: ("read or write: the disk is faulty", "look at the disk: dmesg"),
    }.get(error.errno or 0, ("read or write a file", f"look at it, then run again: ls -ld {place}; df -h {place}"))
    return RolloutError(
        f"The host refused to {what}.",
        found=error.strerror or f"{type(error).__name__}: {error}",
        where=path or "a file that the system did not name",
        next_step=next_step,
    )
