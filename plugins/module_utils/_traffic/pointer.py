# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic pointer: which slot is live, which is candidate, and the candidate's share. PRIVATE to the collection.

One map key holds the whole pointer (``shop blue:green:25``), so that changing it is one atomic step.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._foundation import durable
from .._foundation.errors import BadInput, StateUnreadable, playbook

NONE = "none"
_PATTERN = re.compile(r"^(none|blue|green):(none|blue|green):(\d{1,3})$")


class Pointer(t.NamedTuple):
    """*live* and *candidate* are slots or None; *weight* is the candidate's share in whole percent, 0 to 100."""

    live: str | None
    candidate: str | None
    weight: int

    def text(self) -> str:
        """Returns the value of the map key."""
        return f"{self.live or NONE}:{self.candidate or NONE}:{self.weight}"

    @property
    def target(self) -> str | None:
        """The slot that traffic moves to: the candidate as soon as it has a share, else the live one."""
        return self.candidate if self.candidate and self.weight else self.live

    @property
    def slots(self) -> frozenset[str]:
        """The slots that get users."""
        return frozenset(slot for slot in (self.live, self.target) if slot)


def parse(text: str, where: str) -> Pointer:
    """Returns the pointer that *text* states. Raises StateUnreadable naming *where* it was found."""
    matched = _PATTERN.match(text.strip())
    if not matched or int(matched.group(3)) > 100:
        raise StateUnreadable(
            "The traffic pointer cannot be understood.",
            expected="live:candidate:weight, such as blue:green:25 (slots blue, green or none; weight 0 to 100)",
            found=repr(text),
            where=where,
            next_step=f"set it again with {playbook('deploy')} or roll_back after correcting this line by hand",
        )
    live, candidate, weight = matched.groups()
    return Pointer(None if live == NONE else live, None if candidate == NONE else candidate, int(weight))


def path_of(application: str, root: str = "/var/lib/rollout") -> str:
    """Returns the path of the map file of *application*."""
    return os.path.join(root, application, "traffic.map")


def read_file(application: str, path: str) -> Pointer | None:
    """Returns the pointer of *application* in the map file *path*, or None without such a file or key."""
    content = durable.read_bytes(path) or b""
    for line in content.decode("utf-8", "replace").splitlines():
        key, _separator, value = line.strip().partition(" ")
        if key == application:
            return parse(value, path)
    return None


def write_file(application: str, path: str, pointer: Pointer) -> bool:
    """Makes *pointer* the durable pointer in the map file *path*. Returns whether it changed."""
    return durable.write_text(path, f"{application} {pointer.text()}\n")


def check(pointer: Pointer) -> None:
    """Raises BadInput for a pointer that makes no sense, before anything is changed."""
    if pointer.weight and not pointer.candidate:
        raise BadInput(
            "A share of traffic needs a slot to go to.",
            expected="a candidate slot when the weight is above 0",
            found=pointer.text(),
        )
    if pointer.live and pointer.live == pointer.candidate:
        raise BadInput("Live and candidate must be different slots.", found=pointer.text())
