# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program rollout-guard. A step, which users may wait for, loads no more than it needs. PRIVATE."""

from __future__ import annotations

import json
import sys
import typing as t

from .._foundation.errors import BadInput, RolloutError, playbook
from .._foundation.refusal import refusal
from .._state.lease import LeaseLost
from . import steps
from .call import TakenBack
from .guard import Guard


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Runs one word. Returns 0, or 1 with a message on standard error when it must be tried again."""
    told = sys.argv[1:] if arguments is None else arguments
    if list(told) == ["step"]:
        return step()
    from . import words  # noqa: PLC0415 - loaded when needed: users wait for a switch

    return words.main(told)


def step() -> int:
    """Does what standard input asks. Always 0: a refusal is an answer, too. The answer is one line, the last one."""
    try:
        answer = steps.perform(json.load(sys.stdin), Guard)
    except RolloutError as error:
        answer = _failure(error)
    except OSError as error:
        answer = _failure(refusal(error))
    except ImportError as error:
        answer = _failure(
            RolloutError(
                "The program rollout-guard was replaced while it worked.",
                found=f"{type(error).__name__}: {error}",
                where="a provision that ran at the same time",
                next_step="run the playbook again when the provision has ended",
            )
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        answer = _failure(
            BadInput(
                "The step cannot be understood.",
                expected="a JSON object as the collection of the same version writes it",
                found=f"{type(error).__name__}: {error}",
                next_step=f"use one version of the collection on controller and host: {playbook('provision')}",
            )
        )
    sys.stdout.write(f"{json.dumps(answer, sort_keys=True)}\n")
    sys.stdout.flush()
    return 0


def _failure(error: RolloutError) -> dict[str, t.Any]:
    told = {"failed": True, "changed": isinstance(error, TakenBack), "msg": str(error), "error": error.details()}
    # What another run decides now is no failure of the host: whoever asks must be able to tell.
    return {**told, "lost": error.found} if isinstance(error, LeaseLost) else told
