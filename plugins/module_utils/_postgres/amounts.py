# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts as PostgreSQL writes them: sizes and times with units, and booleans. Pure. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t

from .._foundation.errors import BadInput

KIB, MIB, GIB = 1024, 1024**2, 1024**3
#: Bytes of each unit of size, and milliseconds of each unit of time (PostgreSQL 17, section 19.1.1).
SIZES: t.Mapping[str, float] = {"B": 1, "kB": KIB, "MB": MIB, "GB": GIB, "TB": 1024**4}
TIMES: t.Mapping[str, float] = {"us": 0.001, "ms": 1, "s": 1000, "min": 60000, "h": 3600000, "d": 86400000}
_AMOUNT = re.compile(r"\s*(?P<number>[-+]?[0-9]*\.?[0-9]+)\s*(?P<unit>[A-Za-z]*)\s*")
_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


def size(text: t.Any) -> int:
    """Returns the bytes of an amount with a unit, such as 512MB. Raises BadInput for anything else."""
    found = _AMOUNT.fullmatch(str(text))
    if found is None or found["unit"] not in SIZES or float(found["number"]) < 0:
        raise BadInput(
            f"{text} is not an amount of memory.", expected="a number with B, kB, MB, GB or TB, such as 512MB"
        )
    return int(float(found["number"]) * SIZES[found["unit"]])


def written(amount: int) -> str:
    """Returns *amount* (bytes) as PostgreSQL writes it, in the largest unit that keeps it whole; kB at least."""
    for unit in ("GB", "MB"):
        if amount and amount % SIZES[unit] == 0:
            return f"{int(amount // SIZES[unit])}{unit}"
    return f"{amount // KIB}kB"


def same(wanted: t.Any, setting: str, unit: str | None, kind: str) -> bool:
    """Returns whether *wanted*, as somebody writes it, is the running *setting* (unit, vartype: as in pg_settings)."""
    text = str(wanted).lower() if isinstance(wanted, bool) else str(wanted).strip()
    if kind == "bool":
        return _truth(text) == _truth(setting)
    if kind in ("integer", "real"):
        number = _number(text, unit)
        return number is not None and abs(number - float(setting)) < 0.5 * 10 ** (0 if kind == "integer" else -6)
    if kind == "enum":
        return text.lower() == setting.lower() or (_truth(text) is not None and _truth(text) == _truth(setting))
    return re.sub(r"\s*,\s*", ",", text) == re.sub(r"\s*,\s*", ",", setting.strip())


def at_least(wanted: t.Any, setting: str, unit: str | None, kind: str) -> bool:
    """Returns whether the running *setting* is *wanted* or more; what is no number must be the same."""
    if kind not in ("integer", "real"):
        return same(wanted, setting, unit, kind)
    number = _number(str(wanted), unit)
    return number is not None and float(setting) >= number


def _truth(text: str) -> bool | None:
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else None


def _number(text: str, unit: str | None) -> float | None:
    """Returns the number of *unit* (pg_settings: kB, 8kB, ms, s, none …) that *text* says; None when it says none."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    number = float(found["number"])
    if not found["unit"]:
        return number
    base = re.fullmatch(r"([0-9]*)([A-Za-z]+)", unit or "")
    if base is None:
        return None
    for units in (SIZES, TIMES):
        if found["unit"] in units and base[2] in units:
            return number * units[found["unit"]] / (units[base[2]] * int(base[1] or 1))
    return None
