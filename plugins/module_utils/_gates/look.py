# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look of a gate at what it watches: the shape in which every type of gate tells what it has seen. PRIVATE."""

from __future__ import annotations

import typing as t

from .verdict import ERROR, NO_DATA


class Look(t.NamedTuple):
    """The *verdict* of one look, and in *words* what was seen, each number next to its limit.

    *answers*: what answered last, for a person who must find out why (at most a few lines, without secrets). *unused*:
    too few users have been there to judge anything, and nothing speaks against it.
    """

    verdict: str
    words: t.Sequence[str]
    answers: t.Sequence[str] = ()
    unused: bool = False


class Sampler(t.Protocol):
    """Takes one look within *allowed* seconds. What it cannot find out is a verdict, and never an exception."""

    def __call__(self, allowed: float) -> Look: ...


def broken(reason: str, answers: t.Sequence[str] = ()) -> Look:
    """Returns the look of a sampler that could not look, for a *reason* of one line."""
    return Look(ERROR, [reason], answers)


def nothing(reason: str) -> Look:
    """Returns the look of a sampler that found nothing to judge."""
    return Look(NO_DATA, [reason])
