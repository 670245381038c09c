# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until HAProxy's own checks see every instance of both slots up, and users get answers with the header x-slot.

Standard input: {"application": …}.
"""

from __future__ import annotations

import time

from . import asking
from .asking import Application, Json
from .switches import answering, statistics

MOST_SECONDS = 60.0


def down(application: Application) -> list[str]:
    """Returns the instances that are not up."""
    backends = {f"{application.name}_{slot}" for slot in asking.SLOTS}
    return [
        f"{row['pxname']} {row['svname']} {row['status']}"
        for row in statistics()
        if row["pxname"] in backends and row["status"] != "UP"
    ]


def measure(application: Application, _wanted: Json) -> Json:
    """Returns how long it took, in seconds."""
    started = time.monotonic()
    while (missing := down(application)) or answering() != asking.live(application):
        if time.monotonic() - started > MOST_SECONDS:
            raise asking.Refused(f"no answers from the origins: {', '.join(missing) or answering()}")
        time.sleep(0.2)
    return {"seconds": time.monotonic() - started}


if __name__ == "__main__":
    asking.main(measure)
