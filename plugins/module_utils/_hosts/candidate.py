# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a service reads together, tried as a whole beside those it has. PRIVATE to the collection.

A file can be right alone and clash with another one: that would show at the reload, when it is already in place.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import typing as t

from .._foundation import command
from .._foundation.errors import BadInput, CommandFailed
from .files import Wanted

SECONDS = 60


def check(wanted: Wanted, asked: t.Sequence[str], folders: t.Sequence[str] = (), workplace: str | None = None) -> None:
    """Asks the program *asked* about copies of *folders* with *wanted* in them; ``%s`` is the folder they lie below.

    Where a file names another one of *wanted*, its copy names the copy. Copies lie in *workplace* and go at the end.
    Raises BadInput with the words of a program that refuses, unless they are about a secret.
    """
    with tempfile.TemporaryDirectory(prefix="candidate-", dir=workplace) as root:
        for folder in folders:
            if os.path.isdir(folder):
                shutil.copytree(folder, root + folder)
        for path in wanted.absent:
            if os.path.lexists(root + path):
                os.remove(root + path)
        for path, content in _contents(wanted, root).items():
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            with open(root + path, "w", encoding="utf-8") as handle:
                handle.write(content)
        try:
            command.run([part.replace("%s", root) for part in asked], deadline=SECONDS)
        except CommandFailed as error:
            told = f"{error.what}\n{error.found or ''}"
            secret = any(root + one.path in told for one in wanted.files if one.secret)
            hidden = "not shown, it is about a file that holds secrets"
            raise BadInput(
                "The new files are refused, together with what else is there; none was replaced.",
                expected=f"files that {asked[0]} accepts",
                found=hidden if secret else told.replace(root, "").strip(),
                where=" ".join(part.replace("%s", "") for part in asked),
                next_step="correct the variables that the content comes from, then run this again",
            ) from error


def _contents(wanted: Wanted, root: str) -> dict[str, str]:
    """Returns what the copies hold, by the path of the original. Files that are kept stay as they are."""
    files = [one for one in wanted.files if not (one.keep and os.path.exists(one.path))]
    longest_first = sorted((re.escape(one.path) for one in files), key=len, reverse=True)
    named = re.compile("|".join(longest_first) or "(?!)")
    return {one.path: named.sub(lambda found: root + found.group(), one.content) for one in files}
