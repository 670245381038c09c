# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Debian's packages of Redis and Valkey put things. PRIVATE to the collection."""

from __future__ import annotations

from .settings import Place


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
    )
