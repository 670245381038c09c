# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host, run with a deadline and without a shell. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .errors import CommandFailed

# A command line in a message is for recognising it; a container's has forty options.
SHOWN_LENGTH = 120


class Completed(t.NamedTuple):
    """How a program ended: exit code, and its output as text."""

    code: int
    output: str
    error: str


def run(
    arguments: t.Sequence[str],
    *,
    deadline: float,
    standard_input: str | None = None,
    accepted: t.Container[int] = (0,),
    next_step: str | None = None,
) -> Completed:
    """Runs *arguments* (no shell) and waits at most *deadline* seconds.

    Never pass a secret in *arguments*: every user of the host can read them. Use *standard_input* or a file.
    Raises CommandFailed when the program is missing, ends with a code outside *accepted*, or overruns.
    """
    import subprocess  # noqa: PLC0415 - loaded when needed: users wait for a switch

    shown = " ".join(arguments)
    shown = shown if len(shown) <= SHOWN_LENGTH else f"{shown[:SHOWN_LENGTH]}…"
    try:
        ended = subprocess.run(
            list(arguments),
            input=standard_input,
            stdin=subprocess.DEVNULL if standard_input is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=deadline,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(
            f"The program {arguments[0]} is missing on this host.", where=shown, next_step=next_step
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(
            f"{arguments[0]} did not end in time and was stopped.",
            expected=f"an answer within {deadline:g} s",
            where=shown,
            next_step=next_step,
        ) from error
    if ended.returncode not in accepted:
        message = (ended.stderr.strip() or ended.stdout.strip() or "no output").splitlines()
        raise CommandFailed(
            f"{arguments[0]} failed with exit code {ended.returncode}.",
            found="\n    ".join(message[-5:]),
            where=shown,
            next_step=next_step,
        )
    return Completed(ended.returncode, ended.stdout, ended.stderr)
