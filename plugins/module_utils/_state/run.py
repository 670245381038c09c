# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changes an application, with what right, and to what: the identity that travels with every change.

PRIVATE to the collection. Pure.
"""

from __future__ import annotations

import re
import typing as t

from .._foundation.errors import BadInput, playbook
from . import fields
from .state import SLOTS

# The id is typed into a command line to break a lease, and names a folder of evidence.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


class Run(t.NamedTuple):
    """One run of a playbook.

    *id* names it; *epoch* is the number of its lease (0 before it has one); *operation* is deploy, roll_back, retire…;
    *actor* is a person's name, *source* where the run was started ("command line", "AWX job 42"); *release* is a
    release id; traffic goes to *slot* and comes from *previous* (None where it does not apply).
    """

    id: str
    epoch: int
    operation: str
    actor: str
    source: str
    release: str | None = None
    slot: str | None = None
    previous: str | None = None

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the run as plain values, one per field."""
        return self._asdict()

    @classmethod
    def from_dict(cls, content: t.Any) -> Run:
        """Returns the run in *content*, as to_dict gives it. Raises BadInput when a part is wrong, or not known."""
        try:
            return parsed(content)
        except ValueError as error:
            raise BadInput(
                "The description of the run cannot be used.",
                expected=", ".join(cls._fields),
                found=str(error),
                next_step=f"use one version of the collection on controller and host: {playbook('provision')}",
            ) from error


def parsed(content: t.Any) -> Run:
    """Returns the run in *content*. Raises ValueError with a sentence."""
    content = fields.mapping(content, "the run")
    unknown = sorted(set(content) - set(Run._fields), key=str)
    if unknown:
        raise ValueError(f"{fields.shown(unknown[0])} is not known")
    run_id = fields.text(content, "id")
    if not ID.fullmatch(run_id):
        raise ValueError(f"id is {fields.shown(run_id)}, not at most 100 letters, digits, dots, colons, dashes")
    return Run(
        id=run_id,
        epoch=fields.whole(content, "epoch"),
        operation=fields.text(content, "operation"),
        actor=fields.text(content, "actor"),
        source=fields.text(content, "source"),
        release=fields.text_or_none(content, "release"),
        slot=fields.choice(content, "slot", (*SLOTS, None)),
        previous=fields.choice(content, "previous", (*SLOTS, None)),
    )
