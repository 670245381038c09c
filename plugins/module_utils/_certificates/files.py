# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate files that change together: a service that starts at any moment finds a pair that matches. PRIVATE.

All files of one version lie in a folder named by their content; ``.<name>/live`` is a link to it, and the names that
services know are links through ``live``. Renaming that one link replaces all files in one step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import typing as t

from .._foundation import durable
from .._foundation.errors import BadInput

_SECRET = (".key", ".pem")


class Place(t.NamedTuple):
    """Where the files are: *folder*/*name*.crt and so on; *uid* and *gid* own them."""

    folder: str
    name: str
    uid: int
    gid: int

    @property
    def versions(self) -> str:
        """The folder of all versions."""
        return os.path.join(self.folder, f".{self.name}")

    def path(self, ending: str) -> str:
        """Returns the path that a service knows."""
        return os.path.join(self.folder, self.name + ending)


def place_of(version: str) -> Place:
    """Returns the place of the *version*, a folder as stage() returns it, for those who write no files there."""
    versions = os.path.dirname(version)
    return Place(os.path.dirname(versions), os.path.basename(versions)[1:], 0, 0)


def contents(chain: str, key: str, authority: str, *, combined: bool) -> dict[str, str]:
    """Returns what the files hold, by their ending."""
    chain, key, authority = (f"{text.strip()}\n" for text in (chain, key, authority))
    found = {".crt": chain, ".key": key, ".ca": authority}
    return {**found, ".pem": chain + key} if combined else found


def mode_of(ending: str) -> int:
    """Returns the rights of a file: a key is for its owner, and for its group to read."""
    return 0o640 if ending in _SECRET else 0o644


def differs(place: Place, files: t.Mapping[str, str], *, owned: bool = True) -> list[str]:
    """Returns the endings of the files that are not as they must be, old ones that are too many included.

    Without *owned* nobody looks at owners, which a host may not have yet. Raises BadInput when a file of somebody else
    is in the way: it is not ours to replace.
    """
    found = []
    for ending in (".crt", ".key", ".ca", ".pem"):
        path = place.path(ending)
        if os.path.lexists(path) and os.path.realpath(path) == path:
            raise BadInput(
                "A file that the role certificate did not write is in the way.",
                expected="no such file, or a link of the role",
                found="a file of its own",
                where=path,
                next_step=f"move it away, or choose another certificate_name: mv {path} {path}.old",
            )
        content = durable.read_text(path)
        if content != files.get(ending) or (content is not None and owned and _rights(path) != _wanted(place, ending)):
            found.append(ending)
    return found


def publish(place: Place, files: t.Mapping[str, str]) -> None:
    """Makes *files* what services find. A kill at any moment leaves all files of the old version, or all of the new."""
    switch(place, stage(place, files))
    clean(place)


def version(place: Place, files: t.Mapping[str, str]) -> str:
    """Returns the folder of this version, which its content names."""
    text = "\0".join(f"{key}\0{files[key]}" for key in sorted(files))
    return os.path.join(place.versions, hashlib.sha256(text.encode()).hexdigest()[:16])


def stage(place: Place, files: t.Mapping[str, str]) -> str:
    """Writes a version beside the one that services find. Returns its folder."""
    durable.make_folder(place.folder, mode=0o755)
    durable.make_folder(place.versions, mode=0o755)
    folder = version(place, files)
    durable.make_folder(folder, mode=0o755)
    for ending, content in files.items():
        path = os.path.join(folder, place.name + ending)
        if durable.read_text(path) != content:
            durable.write_text(path, content, mode=0o600)
        os.chown(path, place.uid, place.gid)
        os.chmod(path, mode_of(ending))
    durable.sync_folder(folder)
    return folder


def switch(place: Place, folder: str) -> None:
    """Makes the version in *folder* what services find, in one step."""
    durable.make_link(os.path.join(place.versions, "live"), os.path.basename(folder))
    for ending in (".crt", ".key", ".ca", ".pem"):
        if os.path.exists(os.path.join(folder, place.name + ending)):
            durable.make_link(place.path(ending), os.path.join(f".{place.name}", "live", place.name + ending))
        else:
            durable.remove(place.path(ending))


def live(place: Place) -> str:
    """Returns the folder of the version that services find; empty without one."""
    path = os.path.join(place.versions, "live")
    return os.path.join(place.versions, os.readlink(path)) if os.path.islink(path) else ""


def clean(place: Place) -> None:
    """Removes the versions that services do not find."""
    for old in os.listdir(place.versions):
        if old not in (os.path.basename(live(place)), "live", "self_made"):
            shutil.rmtree(os.path.join(place.versions, old))


def _wanted(place: Place, ending: str) -> tuple[int, int, int]:
    return place.uid, place.gid, mode_of(ending)


def _rights(path: str) -> tuple[int, int, int]:
    seen = os.stat(path)
    return seen.st_uid, seen.st_gid, seen.st_mode & 0o7777
