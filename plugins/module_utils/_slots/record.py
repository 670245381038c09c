# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a slot keeps its truth on an app host, and how that truth is read and written. PRIVATE to the collection."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._foundation import durable
from .definition import SLOTS, Definition, definition_from_json

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Paths:
    """The folders of one application on an app host. *root* is another folder in tests only."""

    application: str
    root: str = "/"

    @property
    def state(self) -> str:
        """What the slots run: one JSON file per slot."""
        return os.path.join(self.root, "var/lib/rollout", self.application, "slots")

    @property
    def configuration(self) -> str:
        """Environment files: one per release, and under systemd one per instance."""
        return os.path.join(self.root, "etc/rollout", self.application)

    @property
    def releases(self) -> str:
        """Unpacked releases (systemd)."""
        return os.path.join(self.root, "srv", self.application, "releases")

    @property
    def units(self) -> str:
        """Template units (systemd)."""
        return os.path.join(self.root, "etc/systemd/system")

    @property
    def credentials(self) -> str:
        """Who this host is to a registry, in docker's own format; systemd releases use it too."""
        return os.path.join(self.root, "root/.docker/config.json")

    @property
    def certificates(self) -> str:
        """A folder per registry host with its ca.crt, as docker and skopeo read it."""
        return os.path.join(self.root, "etc/docker/certs.d")

    def slot_file(self, slot: str) -> str:
        """The file that says what *slot* runs."""
        return os.path.join(self.state, f"{slot}.json")

    def environment_file(self, release_id: str) -> str:
        """The file with the environment and the secrets of a release (0600)."""
        return os.path.join(self.configuration, f"{release_id}.env")


class Record(t.NamedTuple):
    """What a slot runs, and what it ran before."""

    current: Definition | None = None
    previous: Definition | None = None

    @property
    def definitions(self) -> list[Definition]:
        """Both, as far as they exist, current first."""
        return [one for one in self if one is not None]

    @property
    def release_id(self) -> str | None:
        """The release in the slot."""
        return self.current.release.id if self.current else None

    @property
    def kinds_started(self) -> list[str]:
        """The kinds of processes that run, sorted."""
        if self.current is None:
            return []
        return sorted({one.kind for one in self.current.processes if one.name in self.current.started})


def make_folder(path: str, *, mode: int) -> None:
    """Makes the folder *path* and its missing parents with *mode*, durably. Existing folders stay as they are."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_folder(parent, mode=mode)
    os.mkdir(path, mode)
    os.chmod(path, mode)
    durable.sync_folder(parent)


def read(paths: Paths, slot: str) -> Record:
    """Returns what is recorded for *slot*; an empty record when nothing is. Raises StateUnreadable."""
    where = paths.slot_file(slot)
    content = durable.read_json(where, schema=SCHEMA)
    if content is None:
        return Record()
    current, previous = (
        None if content.get(key) is None else definition_from_json(content[key], where=where)
        for key in ("current", "previous")
    )
    return Record(current, previous)


def write(paths: Paths, slot: str, record: Record) -> bool:
    """Records durably what *slot* runs. Returns whether that was new."""
    if not record.definitions:
        return durable.remove(paths.slot_file(slot))
    make_folder(paths.state, mode=0o700)
    content = {
        "schema": SCHEMA,
        "current": record.current.to_json() if record.current else None,
        "previous": record.previous.to_json() if record.previous else None,
    }
    return durable.write_json(paths.slot_file(slot), content)


def all_definitions(paths: Paths) -> list[Definition]:
    """Every definition recorded for any slot of the application."""
    return [definition for slot in SLOTS for definition in read(paths, slot).definitions]
