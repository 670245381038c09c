# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a record that was read from a file or from the controller, checked one by one. Pure.

PRIVATE to the collection. Every function raises ValueError with a sentence; its caller says which record it was.
"""

from __future__ import annotations

import math
import reprlib
import typing as t
import unicodedata

# Whoever writes more than this into a counter or a time did not write a counter or a time.
LARGEST = 2**53
# Control characters and line ends would forge lines of messages; half a surrogate pair cannot be written at all.
NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


# Whatever lies in a damaged file, a message about it stays short.
_short = reprlib.Repr()
_short.maxstring = 80
shown = _short.repr


def mapping(content: t.Any, what: str) -> t.Mapping[str, t.Any]:
    """Returns *content* when it is an object with names."""
    if not isinstance(content, t.Mapping):
        raise ValueError(f"{what} is {type(content).__name__}, not an object")
    return content


def _part(content: t.Mapping[str, t.Any], key: str) -> t.Any:
    if key not in content:
        raise ValueError(f"{key} is missing")
    return content[key]


def text(content: t.Mapping[str, t.Any], key: str) -> str:
    """Returns a text of one line that is not empty."""
    found = _part(content, key)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{key} is {shown(found)}, not a text")
    if any(unicodedata.category(character) in NOT_IN_A_LINE for character in found):
        raise ValueError(f"{key} is {shown(found)}, not a text of one line")
    return found


def text_or_none(content: t.Mapping[str, t.Any], key: str) -> str | None:
    """Returns a text of one line that is not empty, or None when the part is null or missing."""
    return None if content.get(key) is None else text(content, key)


def message(content: t.Mapping[str, t.Any], key: str) -> str | None:
    """Returns a text of any lines, or None when the part is null or missing."""
    found = content.get(key)
    if found is not None and (not isinstance(found, str) or found != writable(found)):
        raise ValueError(f"{key} is {shown(found)}, not a text")
    return found


def writable(words: str) -> str:
    """Returns *words* with a question mark for what UTF-8 cannot hold (undecodable bytes in an error message)."""
    return words.encode("utf-8", "replace").decode("utf-8")


def choice(content: t.Mapping[str, t.Any], key: str, accepted: t.Sequence[str | None]) -> str | None:
    """Returns the part when it is one of *accepted*; a missing part counts as None."""
    found = content.get(key)
    if not (found is None or isinstance(found, str)) or found not in accepted:
        raise ValueError(f"{key} is {shown(found)}, not one of {', '.join(str(one) for one in accepted)}")
    return found


def whole(content: t.Mapping[str, t.Any], key: str) -> int:
    """Returns a whole number from 0."""
    found = _part(content, key)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= LARGEST:
        raise ValueError(f"{key} is {shown(found)}, not a whole number from 0")
    return found


def seconds(content: t.Mapping[str, t.Any], key: str) -> float:
    """Returns a number of seconds from 0."""
    found = _part(content, key)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found <= LARGEST:
        raise ValueError(f"{key} is {shown(found)}, not a number of seconds")
    return float(found)


def flag(content: t.Mapping[str, t.Any], key: str) -> bool:
    """Returns true or false."""
    found = _part(content, key)
    if not isinstance(found, bool):
        raise ValueError(f"{key} is {shown(found)}, not true or false")
    return found


def is_duration(value: float) -> bool:
    """Whether *value* is a usable number of seconds: more than 0, and finite."""
    return math.isfinite(value) and 0 < value <= LARGEST
