# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and boot of this host, as decisions need them. PRIVATE to the collection.

The wall clock may jump, so it is for people only. Deadlines count in seconds of CLOCK_BOOTTIME, which never jumps and
counts a suspended host too; they mean something only within the boot in which they were set.
"""

from __future__ import annotations

import os
import time
import typing as t

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
FIRST_PROCESS_FILE = "/proc/1/stat"


def utc() -> str:
    """Returns the wall clock as 2026-11-21T17:20:03Z. For people: no decision depends on it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def boottime() -> float:
    """Returns seconds since the kernel of this host started, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Returns what names this boot: the kernel's id, ":" and the start of PID 1 in clock ticks.

    A container host that is restarted keeps the kernel's id, but never the start of its first process.
    """
    with open(BOOT_ID_FILE, encoding="ascii") as handle:
        kernel = handle.read().strip()
    with open(FIRST_PROCESS_FILE, encoding="utf-8", errors="replace") as handle:
        # Field 2 is a name in brackets that may hold spaces and brackets itself; field 22 is the 20th after it.
        ticks = handle.read().rpartition(")")[2].split()[19]
    return f"{kernel}:{ticks}"


class Clock(t.NamedTuple):
    """The three readings above, together, so that a test can give others."""

    utc: t.Callable[[], str] = utc
    boottime: t.Callable[[], float] = boottime
    boot_id: t.Callable[[], str] = boot_id

    def started(self) -> float:
        """Returns the boottime at which this boot began; 0.0 (the kernel's own start) when the id does not tell."""
        ticks = self.boot_id().rpartition(":")[2]
        return int(ticks) / os.sysconf("SC_CLK_TCK") if ticks.isdecimal() else 0.0
