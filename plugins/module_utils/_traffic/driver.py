# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load balancer must be able to do, whichever it is, and the one place that chooses it. PRIVATE.

A host that says nothing runs HAProxy. Another one says so in a file beside the traffic map, so that the guard finds its
load balancer after a reboot, without anybody who tells it.
"""

from __future__ import annotations

import os
import typing as t

from .._foundation import durable
from .._foundation.errors import CommandFailed, StateUnreadable, playbook
from .pointer import Pointer

FILE = "load_balancer.json"
SCHEMA = 1


class NotRunning(CommandFailed):
    """Nobody listens where the load balancer answers: it is not installed, not provisioned or stopped."""


class Server(t.NamedTuple):
    """One instance as the load balancer sees it: *up* by its checks; *status* and *check* in words.

    *responses*, *responses_5xx* and *connection_errors* since its last start or reload; 0 where nobody counts.
    """

    slot: str
    name: str
    address: str
    status: str
    check: str
    responses: int = 0
    responses_5xx: int = 0
    connection_errors: int = 0

    @property
    def up(self) -> bool:
        """Whether it would get requests."""
        return self.status.startswith("UP")


class Driver(t.Protocol):
    """One load balancer on this host. Everything raises CommandFailed when it does not answer, NotRunning is one."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def path(self) -> str:
        """Where it is asked."""

    def pointer(self, application: str, map_path: str) -> Pointer | None:
        """Returns the pointer that it routes by now. Raises NotFound when it does not know the application."""

    def keep(self, application: str, pointer: Pointer) -> bool:
        """Makes *pointer* what it routes by after its next start. Returns whether that changed."""

    def set_pointer(self, application: str, map_path: str, pointer: Pointer) -> None:
        """Makes it route by *pointer* now and after its next start."""

    def tell_old_workers(self, application: str, map_path: str, pointer: Pointer) -> None:
        """Makes the workers that a reload left route by *pointer*, too, as far as they listen."""

    def servers(self, application: str) -> list[Server]:
        """Returns the instances of both slots."""

    def in_flight(self, application: str, slot: str) -> int:
        """Returns how many requests to *slot*, which has lost its traffic, have not ended. Raises NotFound when nobody
        can say."""

    def in_flight_hint(self, application: str, slot: str) -> tuple[str, str]:
        """Returns where requests in flight were seen, and how a person sees them."""

    def counters(self, application: str) -> dict[str, dict[str, int]]:
        """Returns the counters of each slot by name; none where nobody counts."""

    def tallies(self, application: str) -> dict[str, dict[str, t.Any]]:
        """Returns for each slot what its instances have answered. Raises CommandFailed when nobody counts."""


def of(application: str, root: str = "/var/lib/rollout", *, haproxy_socket: str | None = None) -> Driver:
    """Returns the load balancer of *application* on this host. Raises StateUnreadable.

    nginx whose file is damaged raises that when it is asked, and not before: a guard that fires needs no answer.
    """
    folder = os.path.join(root, application)
    try:
        return _read(folder, haproxy_socket)
    except StateUnreadable as error:
        error.next_step = f"provision the load balancer, which writes it: {playbook('provision')}"
        from .nginx import INCLUDE, Nginx  # noqa: PLC0415 - each host needs one of them

        if os.path.exists(os.path.join(folder, INCLUDE)):
            return Nginx(folder, error)
        raise


def _read(folder: str, haproxy_socket: str | None) -> Driver:
    path = os.path.join(folder, FILE)
    told = durable.read_json(path, schema=SCHEMA)
    if told is None:
        from .haproxy import SOCKET, RuntimeApi  # noqa: PLC0415 - each host needs one of them

        return RuntimeApi(haproxy_socket or SOCKET)
    if told.get("driver") == "nginx":
        from .nginx import Nginx, settings  # noqa: PLC0415 - each host needs one of them

        return Nginx(folder, settings(told, path))
    raise StateUnreadable(
        f"This version of the collection does not know the load balancer of {os.path.basename(folder)}.",
        expected="nginx, or no such file for HAProxy",
        found=repr(told.get("driver")),
        where=path,
    )
