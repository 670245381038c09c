# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the web instances of a slot on this host, as the kernel shows them. PRIVATE to the collection.

A host of the application does not know what its load balancers have in flight; a request that lasts has a connection.
"""

from __future__ import annotations

import os
import time

from .._foundation import engine
from .._foundation.errors import CommandFailed
from .._slots import record
from .._slots.definition import Instance
from .._slots.record import Paths
from .._traffic.nginx_processes import Place
from .._traffic.nginx_processes import connections as parsed

#: What lasts is there at each of these looks; a health check is not.
LOOKS = 3
BETWEEN_LOOKS = 0.5  # s
_ESTABLISHED = "01"
_ENGINE_DEADLINE = 5.0  # s


def lasting(paths: Paths, slot: str, *, proc: str = "/proc") -> int:
    """Returns how many connections to web instances of *slot* last; 0 of what cannot be seen."""
    current = record.read(paths, slot).current
    web = [one for one in current.instances if one.host_port is not None] if current else []
    places = [place for place in map(_place, web) if place]
    seen = _established(places, proc)
    for _look in range(LOOKS - 1):
        if not seen:
            break
        time.sleep(BETWEEN_LOOKS)
        seen &= _established(places, proc)
    return len(seen)


def _established(places: list[tuple[str, int]], proc: str) -> set[tuple[str, int, Place]]:
    """Returns each connection by the process whose network it is in, its port there, and who has it.

    One that the program has not accepted yet has no inode.
    """
    found: set[tuple[str, int, Place]] = set()
    for process, port in places:
        for table in ("tcp", "tcp6"):
            try:
                with open(os.path.join(proc, process, "net", table), encoding="ascii") as handle:
                    known = parsed(handle.read())
            except OSError:  # a host without IPv6, or an instance that has ended
                continue
            mine = [one for one in known if one.state == _ESTABLISHED and one.local[1] == port]
            found.update((process, port, one.remote) for one in mine)
    return found


def _place(instance: Instance) -> tuple[str, int] | None:
    """Returns a process that has the same network as *instance*, and its port there; None when nobody can tell.

    What the engine publishes is forwarded by the kernel: only the container itself has the connection.
    """
    if instance.definition.runtime != "docker":
        return "self", int(instance.host_port or 0)
    try:
        told = engine.ask("GET", f"/containers/{instance.name}/json", deadline=_ENGINE_DEADLINE).content
        pid = int(told["State"]["Pid"])
    except (CommandFailed, KeyError, TypeError, ValueError):
        return None
    return (str(pid), int(instance.process.container_port or 0)) if pid else None
