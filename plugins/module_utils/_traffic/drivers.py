# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that chooses the load balancer of a host. PRIVATE to the collection.

A host that says nothing runs HAProxy. Another one says so in a file beside the traffic map, so that the guard finds its
load balancer after a reboot, without anybody who tells it.
"""

from __future__ import annotations

import os

from .._foundation import durable
from .._foundation.errors import StateUnreadable, playbook
from .driver import Driver

FILE = "load_balancer.json"
SCHEMA = 1


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
