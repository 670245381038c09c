# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes that survive a kill or a power cut: temporary file, fsync, rename, fsync of the folder.

PRIVATE to the collection. The order follows pgBackRest (src/storage/posix/write.c); Ansible's atomic_move renames
but never calls fsync.
"""

from __future__ import annotations

import errno
import json
import os
import reprlib
import typing as t

from .errors import StateUnreadable

#: Bytes that a step needs for its files and its lines in the journal.
ROOM = 32 * 1024

Parsed = t.TypeVar("Parsed")


def read_text(path: str) -> str | None:
    """Returns the content of *path* as it is, or None when there is no such file. Other errors are raised."""
    content = read_bytes(path)
    return None if content is None else content.decode("utf-8")


def write_text(path: str, content: str, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> bool:
    """Does what write_bytes() does, for text."""
    return write_bytes(path, content.encode("utf-8"), mode=mode, owner=owner)


def read_bytes(path: str) -> bytes | None:
    """Returns the content of *path*, or None when there is no such file. Other errors of the system are raised."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def write_bytes(
    path: str,
    content: bytes,
    *,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    accept: t.Callable[[str], object] | None = None,
) -> bool:
    """Makes *content* the content of *path* durably, with exactly *mode*; parent folders must exist.

    *owner* is a user and a group, for a file whose service may read it at any moment; without one it is ours.
    *accept* is called with the path of the new content before it replaces the old one; when it raises, that one stays.
    Returns whether anything had to change. A reader sees the old or the new content, never a part.
    """
    if read_bytes(path) == content and _has(path, mode, owner):
        return False
    folder = os.path.dirname(path) or "."
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if owner:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        if accept:
            accept(temporary)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_folder(folder)
    return True


def _has(path: str, mode: int, owner: tuple[int, int] | None) -> bool:
    found = os.stat(path)
    return found.st_mode & 0o7777 == mode and owner in (None, (found.st_uid, found.st_gid))


def write_volatile(path: str, content: str, *, mode: int = 0o600) -> None:
    """Makes *content* the content of *path* in one step; nothing waits for a disk, as nobody needs it after a crash."""
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(content)
    os.replace(f"{path}.new", path)


def append_line(path: str, line: str, *, mode: int = 0o600) -> None:
    """Appends *line* and a newline to *path* durably. A line that a kill cut short before is closed first."""
    created = not os.path.exists(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        left = (("\n" if torn else "") + line + "\n").encode("utf-8")
        while left:  # a full disk takes a part, and raises at the next call
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if created:
        sync_folder(os.path.dirname(path) or ".")


def check_room(folder: str) -> None:
    """Raises OSError when the disk of *folder* is about full.

    A line may still fit into the last block of its file when nothing else can be written: what is begun then is never
    ended.
    """
    space = os.statvfs(folder)
    if space.f_blocks and space.f_bfree * space.f_frsize < ROOM:  # some file systems do not tell
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def make_folder(path: str, *, mode: int = 0o700) -> bool:
    """Makes the folder *path* durably, with its parents; one that is there keeps its mode. Returns whether it was new.

    What is written into a folder is only as durable as the folder itself.
    """
    if os.path.isdir(path):
        return False
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        make_folder(parent, mode=0o755)
    os.makedirs(path, mode=mode, exist_ok=True)
    sync_folder(parent)
    return True


def make_link(path: str, target: str) -> bool:
    """Makes *path* a link to *target* durably and in one step. Returns whether anything had to change."""
    if os.path.islink(path) and os.readlink(path) == target:
        return False
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    remove(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync_folder(os.path.dirname(path) or ".")
    return True


def remove(path: str) -> bool:
    """Removes the file *path* durably. Returns whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_folder(os.path.dirname(path) or ".")
    return True


def sync_folder(path: str) -> None:
    """Makes renames and removals inside the folder *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: str, *, schema: int) -> dict[str, t.Any] | None:
    """Returns the JSON object in *path*, or None when there is no such file.

    *schema* is the newest value of the key ``schema`` that this code understands.
    Raises StateUnreadable for anything that is not such an object, or was written by a newer collection.
    """
    try:
        text = read_text(path)
        if text is None:
            return None
        content: t.Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateUnreadable(
            "A state file is damaged.",
            expected="a JSON object",
            found=f"{os.path.getsize(path)} bytes that do not parse ({error})",
            where=path,
            next_step=f"look at it, then move it away: mv {path} {path}.damaged",
        ) from error
    found = content.get("schema") if isinstance(content, dict) else None
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise StateUnreadable(
            "A state file has no schema version.",
            expected=f'a JSON object with "schema": 1 to {schema}',
            found=f"{type(content).__name__} with schema {reprlib.repr(found)}",
            where=path,
            next_step=f"look at it, then move it away: mv {path} {path}.damaged",
        )
    if found > schema:
        raise StateUnreadable(
            "A state file was written by a newer version of the collection vitalops.rollout.",
            expected=f"schema {schema} or older",
            found=f"schema {found}",
            where=path,
            next_step="install the newer collection on this controller and run again; the file was left as it is",
        )
    return t.cast("dict[str, t.Any]", content)


def read_parsed(
    path: str, parse: t.Callable[[dict[str, t.Any]], Parsed], *, schema: int, what: str, expected: str
) -> Parsed | None:
    """Returns what *parse* makes of the JSON object in *path*, or None when there is no such file.

    *what* begins the sentence, and *expected* says what belongs there, when *parse* raises ValueError.
    Raises StateUnreadable, as read_json() does.
    """
    content = read_json(path, schema=schema)
    if content is None:
        return None
    try:
        return parse(content)
    except ValueError as error:
        raise StateUnreadable(
            f"{what} cannot be understood.",
            expected=expected,
            found=str(error),
            where=path,
            next_step=f"look at it, then move it away: mv {path} {path}.damaged",
        ) from error


def write_json(path: str, content: t.Mapping[str, t.Any], *, mode: int = 0o600) -> bool:
    """Writes *content* (with its key ``schema``) as readable JSON, durably. Returns whether anything changed."""
    return write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", mode=mode)
