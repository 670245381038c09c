# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Debian's packages of Redis and Valkey put things. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from . import replication, sentinels
from .settings import Place
from .wire import Address


def drop_in_of(service: str) -> str:
    """Returns the file that is added to the unit of *service*, such as redis-server."""
    return f"/etc/systemd/system/{service}.service.d/rollout.conf"


def server(name: str) -> Place:
    """Returns the places of the server *name*, redis or valkey."""
    folder = f"/etc/{name}"
    return Place(
        program=f"/usr/bin/{name}-server",
        unit=f"{name}-server.service",
        user=name,
        base=f"{folder}/{name}.conf",
        settings=f"{folder}/rollout.conf",
        users=f"{folder}/rollout-users.acl",
        secret=f"{folder}/rollout-administrator",
        socket=f"/run/{name}/rollout.sock",
        data=f"/var/lib/{name}",
        drop_in=drop_in_of(f"{name}-server"),
    )


def sentinel_of(name: str) -> sentinels.Place:
    """Returns the places of the Sentinel of the server *name*, redis or valkey."""
    folder = f"/etc/{name}"
    return sentinels.Place(
        unit=f"{name}-sentinel.service",
        user=name,
        state=f"{folder}/rollout-sentinel-state.conf",
        settings=f"{folder}/rollout-sentinel.conf",
        users=f"{folder}/rollout-sentinel-users.acl",
        drop_in=drop_in_of(f"{name}-sentinel"),
    )


def set_of(told: t.Mapping[str, t.Any]) -> replication.Wanted:
    """Returns a set of servers, as the parameters of a module tell it, without a server of this host."""
    return replication.Wanted(
        own=Address(),
        address=told["address"],
        first=told["primary_address"],
        peers=tuple(told["peer_addresses"]),
        port=told["port"],
        tls=told["tls"],
        authority=told["ca_path"],
        administrator=told["administrator_password"],
        replication=told["replication_password"],
        sentinels=tuple(told["sentinel_addresses"]),
        sentinel_port=told["sentinel_port"],
        sentinel=told["sentinel_password"],
        name=told["set_name"],
        base="",
    )
