# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance of an application: a key in a map of HAProxy, in a file and in its memory. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from .._foundation import durable
from .._foundation.errors import CommandFailed

FILE = "maintenance.map"
ACTIVE, OVER = "active", "over"


class Api(t.Protocol):
    """The little of HAProxy's runtime API that this needs."""

    def command(self, text: str) -> str:
        """Sends one command to the current worker and returns the answer."""

    def ask_old_workers(self, text: str) -> list[str]:
        """Sends one command to each worker that a reload left."""


def path_of(application: str, root: str = "/var/lib/rollout") -> str:
    """Returns the path of the map file of *application*."""
    return os.path.join(root, application, FILE)


def read(application: str, path: str) -> str | None:
    """Returns whether maintenance is active or over by the file *path*, None without such a file or key."""
    for line in (durable.read_text(path) or "").splitlines():
        key, _separator, value = line.strip().partition(" ")
        if key == application:
            return ACTIVE if value.strip() == ACTIVE else OVER
    return None


def write(application: str, path: str, state: str) -> None:
    """Makes *state* what HAProxy reads at its next start or reload."""
    durable.write_text(path, f"{application} {state}\n")


def used(api: Api, application: str, path: str) -> str | None:
    """Returns the state that HAProxy uses now, None when it does not know the map yet: it reads it at its next reload.

    Raises CommandFailed when HAProxy does not answer.
    """
    answer = api.command(f"show map {path}")
    for line in answer.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] == application:
            return parts[2]
    return None


def tell(api: Api, application: str, path: str, state: str) -> None:
    """Makes HAProxy use *state* from its next request on, and reads it back. Raises CommandFailed when it does not."""
    command = f"set map {path} {application} {state}"
    api.command(command)
    found = used(api, application, path)
    if found not in (state, None):
        raise CommandFailed(
            "HAProxy did not take over whether there is maintenance.", expected=state, found=found, where=path
        )
    api.ask_old_workers(command)
