# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a release carries, is given or is switched to, so that gates and rollbacks have something to catch.

Standard library only: the build checks the faults it bakes in with this file.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import typing as t
from collections.abc import Mapping
from dataclasses import asdict, dataclass

EXIT_CRASH = 70
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_TOP = {"latency_ms": 60_000.0, "error_share": 1.0, "memory_mb": 4_096.0, "crash": 86_400.0}


@dataclass
class Faults:
    """The faults in force. Zero and False mean none."""

    latency_ms: float = 0.0  # every request or job takes this much longer
    error_share: float = 0.0  # share (0-1) of requests answered 500, or of jobs that fail
    error_path: str = ""  # and only of requests for this path
    memory_mb: float = 0.0  # MB more memory held, each second
    crash: float = 0.0  # the process dies this many seconds after its start or after this was set
    hang_on_stop: bool = False  # SIGTERM is ignored
    not_ready: bool = False  # /ready answers 503
    wrong_body: bool = False  # status 200 with a body that nobody asked for

    def update(self, values: Mapping[str, t.Any]) -> None:
        """Sets the given faults; raises ValueError, and changes nothing, when one is unknown or out of range."""
        if not isinstance(values, Mapping):
            raise ValueError("faults must be an object such as {'latency_ms': 200}")
        for name, value in {name: parse_fault(name, value) for name, value in values.items()}.items():
            setattr(self, name, value)

    def update_from_environment(self, environment: Mapping[str, str]) -> None:
        """Sets the faults that stand in variables such as FAULT_LATENCY_MS."""
        given = {name[6:].lower(): value for name, value in environment.items() if name.startswith("FAULT_")}
        self.update({name: value for name, value in given.items() if value})

    def as_dict(self) -> dict[str, t.Any]:
        """Returns every fault by name."""
        return asdict(self)

    def strikes(self, path: str = "") -> bool:
        """Tells whether this request for *path*, or this job, is one of the error share."""
        if self.error_path and path != self.error_path:
            return False
        return self.error_share > 0 and random.random() < self.error_share  # noqa: S311  not a secret


def parse_fault(name: str, value: t.Any) -> float | bool | str:
    """Returns the typed value of one fault; raises ValueError that names what would be right."""
    if name not in Faults.__dataclass_fields__:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(Faults().as_dict())}")
    if name == "error_path":
        if not isinstance(value, str) or (value and not value.startswith("/")):
            raise ValueError(f"fault {name} must be a path such as /api/v1/patients, found {value!r}")
        return value
    word = value.strip().lower() if isinstance(value, str) else value
    word = _WORDS.get(word, word) if isinstance(word, str) else word
    try:
        number = float(word)
    except (TypeError, ValueError):
        number = -1.0
    top = _TOP.get(name, 1.0)
    if not 0 <= number <= top:
        raise ValueError(f"fault {name} must be a number from 0 to {top:g}, found {value!r}")
    return number if name in _TOP else bool(number)


async def misbehave(faults: Faults) -> None:
    """Runs beside every process: holds more and more memory, or ends the process, when a fault says so."""
    held: list[bytes] = []
    crash, since = faults.crash, time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        if faults.crash != crash:
            crash, since = faults.crash, time.monotonic()
        if crash and time.monotonic() - since >= crash:
            os._exit(EXIT_CRASH)
        if faults.memory_mb:
            held.append(os.urandom(4096) * int(faults.memory_mb * 25.6))
        else:
            held.clear()
