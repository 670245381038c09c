# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is added to the unit of a server or Sentinel: it names files of ours, so it comes after them. PRIVATE."""

from __future__ import annotations

import os
import typing as t

from .._foundation import command, durable

_RELOAD = 60.0  # s


class DropIn(t.NamedTuple):
    """The file in *path* shall hold *content*; an empty one is nobody's wish."""

    path: str
    content: str

    def differs(self) -> bool:
        """Returns whether the file is another one."""
        return bool(self.content) and durable.read_text(self.path) != self.content

    def newer_than(self, started: float) -> bool:
        """Returns whether a server that started then (s since 1970) has not been started with this file."""
        return bool(self.content) and (self.differs() or os.stat(self.path).st_mtime > started)

    def write(self) -> None:
        """Writes the file, and lets systemd read it: always, as a run may have died between the two."""
        if self.content:
            durable.make_folder(os.path.dirname(self.path), mode=0o755)
            durable.write_text(self.path, self.content, mode=0o644)
            command.run(["systemctl", "daemon-reload"], deadline=_RELOAD)

    def put_back(self, content: str | None) -> None:
        """Makes *content* the file again, None for no file."""
        if not self.content:
            return
        if content is None:
            durable.remove(self.path)
        else:
            durable.write_text(self.path, content, mode=0o644)
        command.run(["systemctl", "daemon-reload"], deadline=_RELOAD, accepted=range(256))
