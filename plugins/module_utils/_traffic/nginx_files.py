# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration: a candidate is tested as a whole before any file of the running one is replaced. PRIVATE."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as t

from .._foundation import command, durable
from .._foundation.errors import CommandFailed
from . import drivers, nginx
from . import pointer as pointers

MAIN = "nginx.conf"
APPLICATIONS = "rollout.d"


class Configuration(t.NamedTuple):
    """What nginx shall have: *files* below *folder* by their relative path, and *told*, which is for the guard.

    *root*/*application* has the traffic map, and the include that is derived from it.
    """

    application: str
    folder: str
    files: t.Mapping[str, str]
    told: t.Mapping[str, t.Any]
    root: str = "/var/lib/rollout"

    @property
    def include_path(self) -> str:
        """What nginx includes of the traffic."""
        return os.path.join(self.root, self.application, nginx.INCLUDE)


def changes(wanted: Configuration) -> dict[str, tuple[str | None, str]]:
    """Returns content before and after of every file that is not as wanted, by its path. Changes nothing.

    The include is only made when it is missing: it belongs to the rollout.
    """
    found: dict[str, tuple[str | None, str]] = {}
    if durable.read_text(wanted.include_path) is None:
        found[wanted.include_path] = None, _include(wanted)
    for path, content in zip(paths(wanted), wanted.files.values()):
        before = durable.read_text(path)
        if before != content:
            found[path] = before, content
    return found


def paths(wanted: Configuration) -> list[str]:
    """Returns the paths of the files that nginx reads at a reload, without the include: the rollout has that read."""
    return [os.path.join(wanted.folder, name) for name in wanted.files]


def test(wanted: Configuration, run: t.Callable[..., command.Completed] = command.run) -> None:
    """Raises CommandFailed with nginx's words when it would refuse *wanted*, together with what others have there."""
    with tempfile.TemporaryDirectory(prefix="rollout-nginx-") as candidate:
        there = os.path.join(wanted.folder, APPLICATIONS)
        if os.path.isdir(there):
            shutil.copytree(there, os.path.join(candidate, APPLICATIONS))
        os.makedirs(os.path.join(candidate, APPLICATIONS), exist_ok=True)
        include = os.path.join(candidate, nginx.INCLUDE)
        _write(include, durable.read_text(wanted.include_path) or _include(wanted))
        for name, content in wanted.files.items():
            moved = content.replace(f"{there}/", f"{candidate}/{APPLICATIONS}/").replace(wanted.include_path, include)
            _write(os.path.join(candidate, name), moved)
        try:
            run(["/usr/sbin/nginx", "-t", "-q", "-c", os.path.join(candidate, MAIN)], deadline=30)
        except CommandFailed as error:
            raise CommandFailed(
                "nginx refuses the configuration that was to be put in place; nothing was replaced.",
                found=(error.found or error.what).replace(candidate, wanted.folder),
                where="nginx -t",
                next_step="correct the variables load_balancer_*, and provision again",
            ) from error


def put(wanted: Configuration) -> None:
    """Puts every file in place, what nginx includes first. A run that dies in here is completed by the next one."""
    for path, (_before, after) in changes(wanted).items():
        durable.make_folder(os.path.dirname(path), mode=0o755)
        durable.write_text(path, after, mode=0o600 if path == wanted.include_path else 0o644)
    durable.write_json(told_path(wanted), wanted.told)


def told_path(wanted: Configuration) -> str:
    """Returns where the guard finds out that nginx runs here."""
    return os.path.join(wanted.root, wanted.application, drivers.FILE)


def _include(wanted: Configuration) -> str:
    path = pointers.path_of(wanted.application, wanted.root)
    pointer = pointers.read_file(wanted.application, path) or pointers.Pointer(None, None, 0)
    return nginx.include(wanted.application, pointer)


def _write(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(content)
