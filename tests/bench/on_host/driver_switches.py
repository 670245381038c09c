# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches to and fro under load on a host with any load balancer, with the driver out of the installed program.

Standard input: {"application": …, "count": N, "seconds": S}. Only the driver: no lease, no journal, no guard. As
switches.py, without what only HAProxy tells.
"""

from __future__ import annotations

import importlib
import sys
import time

from . import asking
from .asking import Application, Json


def measure(application: Application, wanted: Json) -> Json:
    """Returns the name of the load balancer, and the seconds that each switch took. *count* is even: traffic ends where
    it was."""
    sys.path.insert(0, asking.PROGRAM)
    drivers, switch, pointer = (
        importlib.import_module(f"rollout._traffic.{one}") for one in ("drivers", "switch", "pointer")
    )
    api, path = drivers.of(application.name), application.map_path
    live = pointer.read_file(application.name, path).live
    count, seconds, started, took = int(wanted["count"]), float(wanted["seconds"]), time.monotonic(), []
    for number in range(count):
        time.sleep(max(0.0, started + (number + 0.5) * seconds / count - time.monotonic()))
        live, began = asking.other(live), time.monotonic()
        switch.switch(api, application.name, path, pointer.Pointer(live, None, 0))
        took.append(round(time.monotonic() - began, 4))
    return {"load_balancer": api.name, "seconds": took}


if __name__ == "__main__":
    asking.main(measure)
