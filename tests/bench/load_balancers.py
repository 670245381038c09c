# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch costs users behind nginx and behind HAProxy: the same load, as many switches, one after the other.

Usage: cd .venv/collections && python -m ansible_collections.vitalops.rollout.tests.bench.load_balancers LAB HOST…
LAB is up, and its load balancers HOST… have a release in both slots. Clients on client1 keep their connections, each of
them idle for a moment between two requests.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import typing as t

from ..lab import state
from . import labs
from .labs import say

CLIENT = "client1"
CLIENTS = 50
METHODS = ("GET", "POST")
#: Requests go on for this share of the time after the last switch was due.
TAIL = 0.1


def measure(lab: str, host: str, method: str, count: int, seconds: float, rate: float) -> dict[str, t.Any]:
    """Returns how *count* switches of *host* went during about *seconds* of load at *rate* requests/s."""
    url = f"http://{state.load(lab).addresses()[host]}/version"
    load = {"url": url, "method": method, "clients": CLIENTS, "rate": rate, "seconds": seconds}
    ended: list[dict[str, t.Any]] = []

    def send() -> None:
        told = {"application": labs.application(), **load}
        ended.append(labs.on_host(lab, CLIENT, "keep_alive_load", told, deadline=seconds * 10))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    wanted = {"application": labs.application(), "count": count, "seconds": seconds * (1 - TAIL)}
    switched = labs.on_host(lab, host, "driver_switches", wanted, deadline=seconds * 10)
    sending.join()
    if not ended:
        raise SystemExit("the load did not end well; its message is above")
    took = sorted(switched["seconds"])
    return {
        "load_balancer": switched["load_balancer"],
        "method": method,
        "switches": count,
        **ended[0],
        "switch_p50_ms": round(statistics.median(took) * 1000, 1),
        "switch_max_ms": round(took[-1] * 1000, 1),
    }


def main(arguments: t.Sequence[str]) -> int:
    """Measures each host, one after the other, and prints one line of JSON each."""
    options = argparse.ArgumentParser(prog="load_balancers", description="What a switch costs users, by load balancer.")
    options.add_argument("lab")
    options.add_argument("host", nargs="+")
    options.add_argument("--switches", type=int, default=40)
    options.add_argument("--seconds", type=float, default=40.0)
    options.add_argument("--rate", type=float, default=1000.0, help="requests/s (default: 1000)")
    chosen = options.parse_args(arguments)
    for host in chosen.host:
        for method in METHODS:
            found = measure(chosen.lab, host, method, chosen.switches, chosen.seconds, chosen.rate)
            say(json.dumps({"host": host, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
