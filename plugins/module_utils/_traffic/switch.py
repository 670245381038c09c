# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving traffic between slots and watching the slot that lost it. PRIVATE to the collection.

The order makes a switch survive a reload or a reboot: the map file first, then the load balancer, then both are read
back.
"""

from __future__ import annotations

import time
import typing as t

from .._foundation.errors import CommandFailed, NotFound, playbook
from . import pointer as pointers
from .driver import Driver, Server

POLL_SECONDS = 0.1


class Drained(t.NamedTuple):
    """How a drain ended: *done*, requests still in flight, and how long it took in seconds."""

    done: bool
    in_flight: int
    seconds: float


def wait_for_servers(
    api: Driver,
    application: str,
    slot: str,
    wanted: int,
    deadline: float,
    while_waiting: t.Callable[[], None] = lambda: None,
) -> list[Server]:
    """Waits until *wanted* instances of *slot* are up in the load balancer's own eyes; at most *deadline* seconds.

    *while_waiting* is called between two looks. Raises CommandFailed with what it says of each instance.
    """
    ends = time.monotonic() + deadline
    while True:
        found = [server for server in api.servers(application) if server.slot == slot]
        up = [server for server in found if server.up]
        if len(up) >= wanted:
            return found
        if time.monotonic() >= ends:
            seen = "; ".join(f"{server.name} {server.address} {server.status} ({server.check})" for server in found)
            raise CommandFailed(
                f"The load balancer does not see slot {slot} of {application} as healthy; traffic was not moved.",
                expected=f"{wanted} instances up within {deadline:g} s",
                found=f"{len(up)} up: {seen or 'no instance is configured for this slot'}",
                where=api.path,
                next_step=f"compare rollout_processes with what was provisioned ({playbook('provision')}), and ask an "
                "instance from the load-balancer host: curl -i http://ADDRESS:PORT, with rollout_ready_path",
            )
        while_waiting()
        time.sleep(POLL_SECONDS)


def current(api: Driver, application: str, map_path: str) -> tuple[pointers.Pointer | None, pointers.Pointer | None]:
    """Returns the durable pointer (file) and the one in use now; they differ only while a switch is under way."""
    return pointers.read_file(application, map_path), api.pointer(application, map_path)


def provisioned(api: Driver, application: str, map_path: str) -> tuple[pointers.Pointer, pointers.Pointer | None]:
    """Returns what current() returns. Raises NotFound when there is no map to change, in the file or in use."""
    in_file, in_use = current(api, application, map_path)
    if in_file is None:
        raise NotFound(
            f"There is no traffic map for {application} on this host.",
            expected=map_path,
            next_step=f"provision the load balancer: {playbook('provision')}",
        )
    return in_file, in_use


def switch(api: Driver, application: str, map_path: str, wanted: pointers.Pointer) -> bool:
    """Makes *wanted* the pointer, durably first, then in use, and reads both back. Returns whether it changed.

    Raises CommandFailed when what is read back is not what was written.
    """
    pointers.check(wanted)
    if provisioned(api, application, map_path) == (wanted, wanted):
        # Whoever came this far may have been killed before it was kept, or before the old workers knew.
        api.keep(application, wanted)
        api.tell_old_workers(application, map_path, wanted)
        return False
    pointers.write_file(application, map_path, wanted)
    api.set_pointer(application, map_path, wanted)
    in_file, in_use = current(api, application, map_path)
    if in_file != wanted or in_use != wanted:
        raise CommandFailed(
            "The traffic pointer is not what was just written: somebody else changes it at the same time.",
            expected=wanted.text(),
            found=f"file {in_file.text() if in_file else 'nothing'}, "
            f"{api.name} {in_use.text() if in_use else 'nothing'}",
            where=map_path,
            next_step="find the other run, then run again",
        )
    return True


def drain(
    api: Driver,
    application: str,
    slot: str,
    deadline: float,
    while_waiting: t.Callable[[], None] = lambda: None,
) -> Drained:
    """Waits until *slot* has no request in flight or queued, observed by the load balancer; at most *deadline* s.

    The slot must have lost its traffic before; this only watches: the current worker, and those that a reload left to
    finish. *while_waiting* is called between two looks. Raises what the driver's in_flight() raises.
    """
    started = time.monotonic()
    quiet = 0
    while True:
        left = api.in_flight(application, slot)
        # Twice in a row: a request that read the old pointer may be between the map and the backend.
        quiet = quiet + 1 if left == 0 else 0
        elapsed = time.monotonic() - started
        if quiet >= 2 or (quiet and elapsed >= deadline):
            return Drained(True, 0, round(elapsed, 3))
        if elapsed >= deadline:
            return Drained(False, left, round(elapsed, 3))
        while_waiting()
        time.sleep(POLL_SECONDS)
