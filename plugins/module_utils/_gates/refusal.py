# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told of gates: what each has seen next to its limits, and why they refuse. Pure. PRIVATE."""

from __future__ import annotations

import typing as t

from .verdict import PASS

#: When gates look that already refuse, although the phase in which they may pass has not begun.
BEFORE_BAKE = "after the switch, before the bake"
_LONG = 1000
_SHOWN = 120  # characters of what a gate has seen, in a line that is about many gates


def gate(told: t.Mapping[str, t.Any], most: int = _SHOWN) -> str:
    """Returns what one gate of a progress says, with numbers next to limits, in about *most* characters."""
    words = ", ".join(told["words"])
    words = words if len(words) <= most else f"{words[: most - 1]}…"
    name = told["name"] if told["enforce"] else f"{told['name']} (not enforced)"
    return f"{name}: {told['verdict']} ({words})"


def refusal(host: str, when: str, says: str, progress: t.Mapping[str, t.Any]) -> str:
    """Returns why a release is refused: by which gates, what they saw next to their limits, and their last answers.

    *when*: in which phase. *says*: how its watch has ended. *progress*: see watch.Progress.
    """
    reasons = [reason for reason in progress.get("reasons") or [says] if "(not enforced)" not in reason]
    lines = [f"The gates of {host} refuse it ({when}): {'; '.join(reasons)}."]
    if "could not be taken back" in says:
        lines.append(f"  {says}")
    for told in progress["gates"]:
        if told["verdict"] != PASS or told["answers"]:
            lines += [f"  {gate(told, _LONG)}", *(f"    {answer}" for answer in told["answers"])]
    return "\n".join(lines)
