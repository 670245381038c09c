# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, folders and links of a host, brought together to what they shall be. PRIVATE to the collection.

What is in the way of one of them is found before anything changes.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, CommandFailed

# Kinds of what is at a path.
NOTHING, FILE, FOLDER, LINK, OTHER = "nothing", "a file", "a folder", "a link", "something that is no file"
#: Of a user or a group that a package will bring; only a plan may meet one.
UNKNOWN = -1
VALIDATE_SECONDS = 60
# Of folders on the way to a file that nobody has asked for by name.
WAY_MODE = 0o755


class Rights(t.NamedTuple):
    """Owners by their ids, and the mode."""

    uid: int
    gid: int
    mode: int

    def __str__(self) -> str:
        return f"{_name(pwd.getpwuid, self.uid)}:{_name(grp.getgrgid, self.gid)} {self.mode:04o}"


class Folder(t.NamedTuple):
    """A folder that shall be there."""

    path: str
    rights: Rights


class File(t.NamedTuple):
    """A file that shall be there. *secret*: nobody is shown its content. *keep*: one that is there stays as it is.

    *validate* is the program, with its arguments, that is asked before the file counts: ``%s`` is the new content.
    """

    path: str
    rights: Rights
    content: str
    secret: bool = False
    keep: bool = False
    validate: tuple[str, ...] = ()


class Link(t.NamedTuple):
    """A symbolic link that shall be there."""

    path: str
    target: str


class Wanted(t.NamedTuple):
    """All that shall be there, in the order in which it is made, and paths at which nothing shall be."""

    folders: t.Sequence[Folder] = ()
    files: t.Sequence[File] = ()
    links: t.Sequence[Link] = ()
    absent: t.Sequence[str] = ()

    def kinds(self) -> list[tuple[str, str]]:
        """Returns every path with the kind that shall be there."""
        rows: list[tuple[t.Iterable[str], str]] = [
            ((one.path for one in self.folders), FOLDER),
            ((one.path for one in self.files), FILE),
            ((one.path for one in self.links), LINK),
            (self.absent, NOTHING),
        ]
        return [(path, kind) for paths, kind in rows for path in paths]


class Seen(t.NamedTuple):
    """What is at a path now. *blocked_by*: what is no folder on the way to it, empty when there is none."""

    kind: str = NOTHING
    rights: Rights | None = None
    content: str = ""
    target: str = ""
    blocked_by: str = ""


class Change(t.NamedTuple):
    """What differs at a path, as text for people."""

    path: str
    before: str
    after: str
    title: str


def look(wanted: Wanted) -> dict[str, Seen]:
    """Returns what is at every path. Raises BadInput for paths that cannot be told apart."""
    kinds = wanted.kinds()
    paths = [path for path, _kind in kinds]
    wrong = sorted({path for path in paths if not os.path.isabs(path) or paths.count(path) > 1})
    if wrong:
        raise BadInput("Paths are absolute, and each is named once.", found=", ".join(wrong))
    return {path: _seen(path, kind) for path, kind in kinds}


def plan(wanted: Wanted, seen: t.Mapping[str, Seen]) -> list[Change]:
    """Returns what would change, in order. Raises BadInput that names everything that is in the way."""
    taken = [
        (
            path,
            kind,
            f"{seen[path].kind} at {path}" if not seen[path].blocked_by else f"no folder at {seen[path].blocked_by}",
        )
        for path, kind in wanted.kinds()
        if seen[path].blocked_by or not _fits(kind, seen[path].kind)
    ]
    if taken:
        raise BadInput(
            "Something else is in the way on the host; nothing was changed.",
            expected="; ".join(f"{kind} at {path}" for path, kind, _found in taken),
            found="; ".join(found for _path, _kind, found in taken),
            next_step="look at it, and move it away when nobody needs it, then run this again",
        )
    changes: list[Change] = []
    for folder in wanted.folders:
        if seen[folder.path].kind == NOTHING:
            changes.append(Change(folder.path, "", f"a folder of {folder.rights}\n", folder.path))
        changes += _other_rights(folder, seen[folder.path])
    for file in wanted.files:
        before = seen[file.path]
        if file.keep and before.kind == FILE:
            continue
        if before.kind == NOTHING or before.content != file.content:
            changes.append(Change(file.path, *_texts(file, before), file.path))
        changes += _other_rights(file, before)
    for link in wanted.links:
        before = seen[link.path]
        if before.target != link.target:
            was = f"a link to {before.target}\n" if before.target else ""
            changes.append(Change(link.path, was, f"a link to {link.target}\n", link.path))
    changes += [Change(path, f"{seen[path].kind}\n", "", path) for path in wanted.absent if seen[path].kind != NOTHING]
    return changes


def apply(wanted: Wanted) -> None:
    """Makes it so, durably. Raises BadInput when a program refuses a file: that one and what comes after it stay."""
    for folder in wanted.folders:
        _make_parents(folder.path)
        durable.make_folder(folder.path, mode=0o700)
        if _rights(os.stat(folder.path)) != folder.rights:
            os.chown(folder.path, folder.rights.uid, folder.rights.gid)
            os.chmod(folder.path, folder.rights.mode)
            durable.sync_folder(folder.path)
    for file in wanted.files:
        if file.keep and os.path.exists(file.path):
            continue
        _make_parents(file.path)
        durable.write_bytes(
            file.path,
            file.content.encode("utf-8"),
            mode=file.rights.mode,
            owner=(file.rights.uid, file.rights.gid),
            accept=_validator(file) if file.validate else None,
        )
    for link in wanted.links:
        _make_parents(link.path)
        durable.make_link(link.path, link.target)
    for path in wanted.absent:
        durable.remove(path)


def _seen(path: str, kind: str) -> Seen:
    try:
        found = os.lstat(path)
        if kind == FOLDER and stat.S_ISLNK(found.st_mode) and os.path.isdir(path):
            found = os.stat(path)  # a folder that somebody has on another disk is one
    except (FileNotFoundError, NotADirectoryError):
        return Seen(blocked_by=_blocked_by(path))
    if stat.S_ISDIR(found.st_mode):
        return Seen(FOLDER, _rights(found))
    if stat.S_ISLNK(found.st_mode):
        return Seen(LINK, target=os.readlink(path))
    if not stat.S_ISREG(found.st_mode):
        return Seen(OTHER)
    content = (durable.read_bytes(path) or b"") if kind == FILE else b""
    return Seen(FILE, _rights(found), content.decode("utf-8", errors="replace"))


def _blocked_by(path: str) -> str:
    """Returns the first that is there on the way up from *path*, when it is no folder."""
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    return "" if os.path.isdir(parent) else parent


def _fits(wanted: str, found: str) -> bool:
    return found in (NOTHING, wanted) or (wanted == NOTHING and found in (FILE, LINK))


def _texts(file: File, before: Seen) -> tuple[str, str]:
    """Returns the content before and after, as people may see it."""
    if not file.secret:
        return before.content, file.content
    return "" if before.kind == NOTHING else "what it held, a secret\n", "what it shall hold, a secret\n"


def _other_rights(one: Folder | File, before: Seen) -> list[Change]:
    if before.rights in (None, one.rights):
        return []
    return [Change(one.path, f"{before.rights}\n", f"{one.rights}\n", f"{one.path}: owner, group and mode")]


def _validator(file: File) -> t.Callable[[str], None]:
    def ask(path: str) -> None:
        try:
            command.run([part.replace("%s", path) for part in file.validate], deadline=VALIDATE_SECONDS)
        except CommandFailed as error:
            raise BadInput(
                f"{file.path} stays as it is, as its new content is refused. {error.what}",
                expected=error.expected,
                found="not shown, the file holds secrets" if file.secret else error.found,
                where=error.where,
                next_step="correct the variables that the content comes from, then run this again",
            ) from error

    return ask


def _make_parents(path: str) -> None:
    """Makes the folders on the way to *path*: of root, for everybody to read, whatever the umask says."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        _make_parents(parent)
        durable.make_folder(parent, mode=WAY_MODE)
        os.chmod(parent, WAY_MODE)


def _rights(found: os.stat_result) -> Rights:
    return Rights(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def _name(ask: t.Callable[[int], t.Any], number: int) -> str:
    try:
        return str(ask(number)[0])
    except (KeyError, OverflowError):
        return "nobody yet" if number == UNKNOWN else str(number)
