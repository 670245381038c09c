# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception tree of the collection. PRIVATE to the collection."""

from __future__ import annotations

import typing as t


def playbook(verb: str) -> str:
    """Returns the command of a *verb*, to be told as what to do next."""
    return f"ansible-playbook vitalops.rollout.{verb} -i INVENTORY"


class RolloutError(Exception):
    """A failure told the way an operator needs it: what failed, expected, found, where, what to do next.

    All parts are plain strings without secrets. Only *what* is required.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        where: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in (
            ("expected", self.expected),
            ("found", self.found),
            ("where", self.where),
            ("next", self.next_step),
        ):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)

    def details(self) -> dict[str, t.Any]:
        """Returns the parts as a dict with the keys what, expected, found, where, next (values str or None)."""
        return {
            "what": self.what,
            "expected": self.expected,
            "found": self.found,
            "where": self.where,
            "next": self.next_step,
        }


class BadInput(RolloutError):
    """The caller gave something that cannot be used; nothing was changed."""


class NotFound(RolloutError):
    """Something that must exist does not (a version in a registry, a slot, a file)."""


class CommandFailed(RolloutError):
    """A program of the host ended with an error, or did not end before its deadline."""


class StateUnreadable(RolloutError):
    """A file that the collection owns cannot be understood; it is left as it is."""
