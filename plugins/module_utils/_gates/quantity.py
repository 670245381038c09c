# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits as people write them, always with a unit: ``200 ms``, ``0.5 %``, ``512 MiB``. Pure. PRIVATE.

A bare number is refused: whether 200 is meant in seconds or in milliseconds decides about a rollout.
"""

from __future__ import annotations

import math
import re
import typing as t

from .._foundation.errors import BadInput

DURATION, SHARE, GROWTH, SIZE, COUNT, RATE = "duration", "share", "growth", "size", "count", "rate"
#: By kind: what each unit is worth in the unit that the collection counts in (s, share 0 to 1, bytes, 1, 1/s).
UNITS: t.Mapping[str, t.Mapping[str, float]] = {
    DURATION: {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
    SHARE: {"%": 0.01},
    GROWTH: {"%": 0.01},  # a share of what was before: it may be more than all of it
    SIZE: {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    COUNT: {"": 1.0},
    RATE: {"/s": 1.0, "/min": 1 / 60},
}
_EXAMPLES = {DURATION: "200 ms", SHARE: "0.5 %", GROWTH: "20 %", SIZE: "512 MiB", COUNT: "3", RATE: "50 /s"}
#: In which units values are shown, from small to large; the first one also shows what is smaller.
_SHOWN: t.Mapping[str, t.Sequence[str]] = {
    DURATION: ("ms", "s", "min", "h"),
    SHARE: ("%",),
    GROWTH: ("%",),
    SIZE: ("B", "kB", "MB", "GB"),
    COUNT: ("",),
    RATE: ("/s",),
}
_DIGITS = 1000  # from here on every digit before the point is shown
_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%/]*)")


def parse(told: t.Any, kind: str, where: str) -> float:
    """Returns *told* in s, as a share of 1, in bytes, as a number or in 1/s. *where* names it in a message.

    Raises BadInput for another unit, none, or what is no number; a negative one or a share above 100 % is none.
    """
    text = told.strip() if isinstance(told, str) else _written(told)
    matched = _PATTERN.fullmatch(text)
    if not matched:
        raise _wrong(kind, where, repr(told))
    number, unit = float(matched.group(1)), matched.group(2)
    if unit not in UNITS[kind]:
        raise _wrong(kind, where, f"{text} (without a unit)" if not unit else f"{text} (unit {unit})")
    value = number * UNITS[kind][unit]
    if value == math.inf:
        raise _wrong(kind, where, "a number that is too large")
    if kind == SHARE and value > 1:
        raise _wrong(kind, where, f"{text} (more than 100 %)")
    if kind == COUNT and value != int(value):
        raise _wrong(kind, where, f"{text} (not a whole number)")
    return value


def words(value: float, kind: str) -> str:
    """Returns *value* the way a person writes it: three digits, in the largest unit of which it is at least one."""
    units = UNITS[kind]
    fit = [unit for unit in _SHOWN[kind] if abs(value) >= units[unit]]
    unit = fit[-1] if fit else _SHOWN[kind][0]
    number = value / units[unit]
    shown = f"{number:.0f}" if abs(number) >= _DIGITS else f"{number:.3g}"
    return f"{shown} {unit}".strip()


def _written(told: t.Any) -> str:
    """Returns a number of YAML as it was written; nothing for what is no number (true is none)."""
    return str(told) if isinstance(told, (int, float)) and not isinstance(told, bool) else ""


def _wrong(kind: str, where: str, found: str) -> BadInput:
    units = ", ".join(filter(None, UNITS[kind]))
    unit = f"with one of the units {units}" if units else "without a unit"
    return BadInput(
        f"This is no {kind}.",
        expected=f"a number {unit}, such as {_EXAMPLES[kind]}",
        found=found,
        where=where,
    )
