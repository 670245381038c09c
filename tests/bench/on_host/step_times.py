# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times a switch inside a load-balancer host, from the start of the program to the moment HAProxy's pointer has moved.

Standard input: {"application": …, "samples": N}. Every sample is a whole run: begin, arm, switch (timed), confirm.
HAProxy is asked every half millisecond, which is how exact the times are. Beside each sample: what Python alone takes,
and Python with everything that the program imports, as wall time and as time on a core, which other work changes less.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time

from . import asking
from .asking import Application, Json

POLL_SECONDS = 0.0005
MOST_SECONDS = 10.0
BARE = ("/usr/bin/python3", "-I", "-c", "pass")
IMPORTS = (
    *("/usr/bin/python3", "-I", "-c"),
    f"import sys; sys.path.insert(0, {asking.PROGRAM!r}); import rollout._guard.cli",
)


def on_core() -> float:
    """Returns the milliseconds that programs started from here, and ended, have spent on a core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def costs(command: tuple[str, ...]) -> tuple[float, float]:
    """Returns the milliseconds that *command* takes, and those on a core."""
    started, before = time.monotonic(), on_core()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return (time.monotonic() - started) * 1000, on_core() - before


def switch(application: Application, run: Json) -> dict[str, float]:
    """Moves traffic. Returns the milliseconds until the pointer had moved and the program had ended, and on a core."""
    told = json.dumps(asking.request(application, "switch", run, asking.switching(application, run))).encode()
    before, started = on_core(), time.monotonic()
    with subprocess.Popen([asking.PROGRAM, "step"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(told)
        process.stdin.close()
        moved = None
        while moved is None and time.monotonic() - started < MOST_SECONDS:
            ended = process.poll() is not None
            if asking.live(application) == run["slot"]:
                moved = time.monotonic()
            elif ended:
                break
            time.sleep(POLL_SECONDS)
        output = process.stdout.read()
    over = time.monotonic()
    asking.answered(output)
    if moved is None:
        raise asking.Refused("the program says that it switched, but the pointer did not move")
    return {
        "moved_ms": (moved - started) * 1000,
        "ended_ms": (over - started) * 1000,
        "ended_core_ms": on_core() - before,
    }


def sample(application: Application) -> dict[str, float]:
    """Returns one sample, in milliseconds."""
    run, token = asking.begin_and_arm(application, asking.GUARD_SECONDS)
    switched = switch(application, run)
    confirmation = {
        "release": asking.releases(application)[run["slot"]],
        "token": token,
        "verify": asking.verification(application, run, consecutive=1),
    }
    asking.ask(application, "confirm", run, confirmation)
    (python, python_core), (imports, imports_core) = costs(BARE), costs(IMPORTS)
    alone = {"python_ms": python, "python_core_ms": python_core, "imports_ms": imports, "imports_core_ms": imports_core}
    return {**switched, **alone}


def measure(application: Application, wanted: Json) -> Json:
    """Returns the samples, and how long the journal was at the end: every step reads it."""
    samples = [sample(application) for _number in range(int(wanted["samples"]))]
    return {"samples": samples, "journal_bytes": os.path.getsize(f"{application.folder}/journal.ndjson")}


if __name__ == "__main__":
    asking.main(measure)
