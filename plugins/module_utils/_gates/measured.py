# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look of a gate has measured, held against its limits, each number next to its limit. Pure. PRIVATE."""

from __future__ import annotations

import typing as t

from . import quantity
from .specification import NUMBER, TYPES, GateSpecification
from .verdict import FAIL, INCONCLUSIVE, NO_DATA, PASS


class Judged(t.NamedTuple):
    """The verdict of one look, and a part of a sentence for each limit: ``p95 240 ms, at most 200 ms``."""

    verdict: str
    words: list[str]


def judge(gate: GateSpecification, measured: t.Mapping[str, float | None], samples: int) -> Judged:
    """Returns whether *measured* (by limit, in the units of the collection) keeps the limits of *gate*.

    *samples*: how many it is made of; with fewer than the gate wants, nothing is proven, neither good nor bad. A limit
    whose number is missing (None) has no data, which outweighs what was kept; a limit that is broken outweighs both.
    """
    broken, words, missing = False, list[str](), False
    for sign, limits in (("at most", gate.at_most), ("at least", gate.at_least)):
        for name, limit in limits.items():
            seen = measured.get(name)
            if seen is None:
                missing = True
                words.append(f"{name} unknown, {sign} {_shown(gate, name, limit)}")
                continue
            broken = broken or (seen > limit if sign == "at most" else seen < limit)
            words.append(f"{name} {_shown(gate, name, seen)}, {sign} {_shown(gate, name, limit)}")
    if not samples:
        return Judged(NO_DATA, [f"no samples, at least {gate.min_samples}", *words])
    if samples < gate.min_samples:
        return Judged(INCONCLUSIVE, [f"{samples} samples, at least {gate.min_samples}", *words])
    if broken:
        return Judged(FAIL, words)
    return Judged(NO_DATA if missing else PASS, words)


def _shown(gate: GateSpecification, name: str, value: float) -> str:
    known = {**TYPES[gate.type].at_most, **TYPES[gate.type].at_least}
    kind = known.get(name) or known["*"]
    return f"{value:g}" if kind == NUMBER else quantity.words(value, kind)
