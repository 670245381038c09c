# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps its files, and the locks that let several labs start at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB_FOLDER = ROOT / ".lab"
LOCK_FOLDER = LAB_FOLDER / ".locks"
HERE = ROOT / "tests" / "lab"


@contextlib.contextmanager
def exclusive(name: str) -> t.Iterator[None]:
    """Lets one lab program at a time do what *name* says; the others wait."""
    LAB_FOLDER.mkdir(mode=0o700, exist_ok=True)
    LOCK_FOLDER.mkdir(mode=0o700, exist_ok=True)
    with (LOCK_FOLDER / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_private(path: Path, content: str) -> None:
    """Writes a file that only its owner can read, whatever was there before."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
