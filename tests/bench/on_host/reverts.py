# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times the guard: a switch is armed and never confirmed, and HAProxy is asked when its pointer has moved back.

Standard input: {"application": …, "samples": N, "deadline": seconds}. Both moments are of the host's CLOCK_BOOTTIME:
the deadline as the guard keeps it in intent.json, and HAProxy's first answer with the old slot; it is asked every half
millisecond.
"""

from __future__ import annotations

import json
import os
import time

from . import asking
from .asking import Application, Json

POLL_SECONDS = 0.0005
# The guard may be early, which must be seen as well.
EARLY_SECONDS = 0.5
MOST_SECONDS = 30.0


def boottime() -> float:
    """Returns seconds since the kernel of this host started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def late(application: Application, seconds: float) -> float:
    """Returns how many seconds after its deadline of *seconds* the guard had moved the pointer back."""
    run, _token = asking.begin_and_arm(application, seconds)
    asking.ask(application, "switch", run, {**asking.switching(application, run), "verify": None})
    with open(f"{application.folder}/intent.json", encoding="utf-8") as handle:
        deadline: float = json.load(handle)["deadline_boottime"]
    time.sleep(max(0.0, deadline - EARLY_SECONDS - boottime()))
    while asking.live(application) != run["previous"]:
        if boottime() > deadline + MOST_SECONDS:
            raise asking.Refused(f"the guard has not acted {MOST_SECONDS:g} s after its deadline")
        time.sleep(POLL_SECONDS)
    moved = boottime()
    while os.path.exists(f"{application.folder}/intent.json"):
        time.sleep(0.05)
    asking.ask(application, "end", run, {"reason": "nobody confirms in a benchmark"})
    return moved - deadline


def measure(application: Application, wanted: Json) -> Json:
    """Returns how late each revert was, in seconds."""
    return {"late_s": [late(application, float(wanted["deadline"])) for _number in range(int(wanted["samples"]))]}


if __name__ == "__main__":
    asking.main(measure)
