# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the disk under one folder of a test host full, and gives it back. Runs on that host; Python 3.11 alone.

The folder is covered by a copy of itself on a small file system in memory, which a file beside the copy fills to the
last page: every write that needs another page is refused with ENOSPC, as on a full disk. And as on a real one, an
append that fits into the last page (4 KiB) of its file still succeeds. Giving back carries over what did get written.

Usage: disk_filler.py fill FOLDER | free | list        (list and free print the folders, one a line)
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path
from urllib.parse import quote, unquote

# One folder for each full one: original (what is covered), closed (the same, read-only), space (content, ballast).
PLACES = Path("/run/lab-full")
SPACE = "space"
MOUNTED = ("original", "closed", SPACE)
SPARE_BYTES = 4 * 2**20
WRITERS_DEADLINE_SECONDS = 10.0


def place(folder: Path) -> Path:
    """Returns where everything about the full *folder* is kept."""
    return PLACES / quote(str(folder), safe="")


def full_folders() -> list[Path]:
    """Returns the folders that are full, and those that a filler which was killed left half made."""
    return sorted(Path(unquote(found.name)) for found in PLACES.glob("*"))


def mounts() -> list[Path]:
    """Returns where file systems are mounted, newest first."""
    return mount_points(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def mount_points(text: str) -> list[Path]:
    """Returns the mount points in the text of a mountinfo file (proc(5)), newest first. Pure."""
    escaped = [line.split(" ")[4] for line in text.splitlines()]
    return [Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)) for name in reversed(escaped)]


def needed_bytes(folder: Path) -> int:
    """Returns the size of a file system that holds all of *folder* with some room, in bytes."""
    used = sum(os.lstat(path).st_blocks * 512 + 4096 for path in [folder, *folder.rglob("*")])
    return used * 2 + SPARE_BYTES


def mirror(source: Path, target: Path) -> None:
    """Makes *target* hold exactly what *source* holds: content, owners, modes and times."""
    target.mkdir(exist_ok=True)
    _remove_strangers(source, target)
    _run("cp", "--archive", "--remove-destination", f"{source}/.", f"{target}/")


def _remove_strangers(source: Path, target: Path) -> None:
    """Removes what is not in *source*, or is another kind of thing there."""
    for found in target.iterdir():
        twin = source / found.name
        if _is_folder(found):
            if _is_folder(twin):
                _remove_strangers(twin, found)
            else:
                shutil.rmtree(found)
        elif _is_folder(twin) or not os.path.lexists(twin):
            found.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def take_all_space(ballast: Path) -> None:
    """Lets *ballast* grow until not one more page can be written."""
    with ballast.open("ab", buffering=0) as growing:
        for size in (2**20, 4096):
            try:
                while True:
                    growing.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def fill(folder: Path) -> None:
    """Makes the disk under *folder* full; when it is already, takes the space that was freed meanwhile."""
    if not folder.is_dir() or folder.is_symlink() or not folder.is_absolute():
        sys.exit(f"{folder} is not a folder with an absolute path")
    if folder not in full_folders():
        if folder in mounts():
            sys.exit(f"{folder} is a file system of its own")
        try:
            _cover(folder)
        except BaseException:
            _uncover(folder)
            raise
    take_all_space(place(folder) / SPACE / "ballast")


def _cover(folder: Path) -> None:
    original, closed, space = (place(folder) / name for name in MOUNTED)
    for path in (original, closed, space):
        path.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", folder, original)
    _run("mount", "--bind", folder, closed)
    _run("mount", "--options", "remount,bind,ro", closed)
    # From here until the copy is in place nobody writes, so that the copy misses nothing.
    _run("mount", "--bind", closed, folder)
    _wait(lambda: not _open_for_writing(folder), folder)
    _run("mount", "--types", "tmpfs", "--options", f"size={needed_bytes(original)},mode=0700", "lab-full", space)
    mirror(original, space / "content")
    _run("mount", "--bind", space / "content", folder)


def _uncover(folder: Path) -> None:
    """Takes every file system of ours away. Lazily: who still reads a file there may end doing so."""
    ours = [folder, *(place(folder) / name for name in MOUNTED)]
    for path in [path for path in mounts() if path in ours]:
        _run("umount", "--lazy", path)
    # Only empty folders go: what is still mounted, for whatever reason, is not touched.
    for name in MOUNTED:
        (place(folder) / name).rmdir()
    place(folder).rmdir()


def free(folder: Path) -> None:
    """Gives the disk under *folder* back, with everything that was written, changed and removed meanwhile."""
    original, space = place(folder) / "original", place(folder) / SPACE
    if space in mounts():
        if (space / "ballast").exists():
            (space / "ballast").unlink()
        # The kernel refuses while a file is open for writing; afterwards no write can get lost.
        read_only = ("mount", "--options", "remount,ro", space)
        _wait(lambda: subprocess.run(read_only, capture_output=True, check=False).returncode == 0, folder)
        mirror(space / "content", original)
    _uncover(folder)


def _open_for_writing(folder: Path) -> bool:
    """Says whether a process of this host has a file below *folder* open for writing."""
    for found in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if folder in found.readlink().parents:
                flags = re.search(
                    r"^flags:\s*(\d+)$", (found.parents[1] / "fdinfo" / found.name).read_text(), re.MULTILINE
                )
                if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    return True
        except OSError:
            continue  # closed in between
    return False


def _wait(done: t.Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + WRITERS_DEADLINE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"a file in {folder} stays open for writing: fuser --mount {folder} says by whom")
        time.sleep(0.02)


def _run(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {ended.stderr.strip()}")


def main(arguments: t.Sequence[str]) -> None:
    """Runs one verb; says why on standard error when it cannot."""
    if arguments[0] == "fill":
        fill(Path(arguments[1]))
        return
    for folder in full_folders():
        if arguments[0] == "free":
            free(folder)
        print(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
