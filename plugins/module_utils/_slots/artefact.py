# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders (systemd): downloaded, compared with their digest, unpacked safely, named when complete.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import typing as t

from .._foundation import durable
from .._foundation.errors import BadInput, CommandFailed
from . import registry
from .definition import Release
from .record import Paths, make_folder

_DEADLINE = 600.0  # s, for the whole download
_BLOCK = 1 << 20
_NEWEST_KEPT = 3
_UNFINISHED = ".unfinished-"


def fetch(paths: Paths, release: Release, folder: str) -> None:
    """Makes *folder* hold the unpacked artefact of *release*. Raises CommandFailed, NotFound or BadInput."""
    make_folder(paths.releases, mode=0o755)
    _remove_unfinished(paths)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=paths.releases) as workplace:
        archive = os.path.join(workplace, "artefact")
        found = _download(paths, release.artefact, archive)
        if found != release.digest:
            raise CommandFailed(
                "The downloaded artefact is not the release.",
                expected=release.digest,
                found=found,
                where=release.artefact,
                next_step="was the artefact replaced under the same version? Publish a new version instead",
            )
        content = os.path.join(workplace, "content")
        os.mkdir(content)
        unpack(archive, content, where=release.artefact)
        os.chmod(content, 0o755)  # noqa: S103 - the release runs as another user; secrets lie elsewhere
        # The name says "complete", so what it names must be on the disk before it.
        os.sync()
        os.rename(content, folder)
    durable.sync_folder(paths.releases)


def unpack(archive: str, folder: str, *, where: str) -> None:
    """Unpacks the tar file *archive* into the empty *folder*; nothing can land outside of it.

    Everything becomes readable for all and writable for root only; owners, times and set-id bits of the archive are
    dropped. Raises BadInput for anything that is not a plain tree of files, folders and links inside it.
    """
    try:
        with tarfile.open(archive, mode="r:*") as opened:
            members = [(_inside(member.name, member, where), member) for member in opened.getmembers()]
            links: list[tuple[str, tarfile.TarInfo]] = []
            for relative, member in members:
                target = os.path.join(folder, relative)
                if member.isdir():
                    os.makedirs(target, mode=0o755, exist_ok=True)
                elif member.isfile():
                    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
                    _write_member(opened, member, target)
                elif member.issym() or member.islnk():
                    links.append((relative, member))
                else:
                    raise _unsafe(member, "a device or a pipe", where)
            # Links come last, so that no file is ever written through one.
            for relative, member in sorted(links, key=lambda link: link[1].issym()):
                target = os.path.join(folder, relative)
                os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
                if member.islnk():
                    os.link(
                        os.path.join(folder, _inside(member.linkname, member, where)), target, follow_symlinks=False
                    )
                else:
                    if os.path.isabs(member.linkname):
                        raise _unsafe(member, f"a link to {member.linkname}", where)
                    _inside(os.path.join(os.path.dirname(relative), member.linkname), member, where)
                    os.symlink(member.linkname, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(
            "The artefact cannot be unpacked.",
            expected="a tar file (plain, gz, bz2 or xz)",
            found=f"{type(error).__name__}: {error}",
            where=where,
        ) from error


def surplus(paths: Paths, keep: t.Container[str]) -> list[str]:
    """Release folders that are neither in *keep* (release ids) nor among the newest three."""
    try:
        names = [name for name in os.listdir(paths.releases) if not name.startswith(_UNFINISHED)]
    except FileNotFoundError:
        return []
    folders = sorted((os.path.join(paths.releases, name) for name in names), key=_changed_at, reverse=True)
    return [one for one in folders[_NEWEST_KEPT:] if os.path.basename(one) not in keep]


def discard(folders: t.Iterable[str]) -> None:
    """Removes release folders. A half-removed one must not look complete, so each loses its name first."""
    for folder in folders:
        doomed = os.path.join(os.path.dirname(folder), _UNFINISHED + os.path.basename(folder))
        os.rename(folder, doomed)
        shutil.rmtree(doomed)


def _download(paths: Paths, url: str, path: str) -> str:
    digest = hashlib.sha256()
    ends = time.monotonic() + _DEADLINE
    with registry.open_url(paths, url) as answer, open(path, "wb") as handle:
        while True:
            block = registry.read_block(answer, _BLOCK, url)
            if not block:
                return f"sha256:{digest.hexdigest()}"
            digest.update(block)
            handle.write(block)
            if time.monotonic() > ends:
                raise CommandFailed(
                    "The download of the artefact took too long.", expected=f"{_DEADLINE:g} s at most", where=url
                )


def _inside(name: str, member: tarfile.TarInfo, where: str) -> str:
    """Returns *name* as a path relative to the release folder. Raises BadInput when it leads out of it."""
    normal = os.path.normpath(name)
    if name.startswith("/") or normal.startswith("/") or normal.split("/")[0] == "..":
        raise _unsafe(member, f"a path that leads out: {name}", where)
    return normal


def _unsafe(member: tarfile.TarInfo, found: str, where: str) -> BadInput:
    return BadInput(
        "The artefact holds something that no release may hold; nothing was unpacked.",
        expected="files, folders and links inside the release",
        found=f"{found} (entry {member.name!r})",
        where=where,
    )


def _write_member(opened: tarfile.TarFile, member: tarfile.TarInfo, target: str) -> None:
    source = opened.extractfile(member)
    with open(target, "wb") as handle:
        if source is not None:  # as it is for every regular file
            shutil.copyfileobj(source, handle, _BLOCK)
    os.chmod(target, 0o755 if member.mode & 0o111 else 0o644)


def _changed_at(folder: str) -> float:
    return os.stat(folder).st_mtime


def _remove_unfinished(paths: Paths) -> None:
    for name in os.listdir(paths.releases):
        if name.startswith(_UNFINISHED):
            shutil.rmtree(os.path.join(paths.releases, name), ignore_errors=True)
