# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch costs users behind nginx and behind HAProxy: the same load, as many switches, one after the other.

Usage: cd .venv/collections && python -m ansible_collections.vitalops.rollout.tests.bench.load_balancers LAB HOST…
LAB is up, and its load balancers HOST… have a release in both slots. h2load on client1 sends GET and, in a run of its
own, POST over connections that are kept, each of them idle for a moment between two requests.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import typing as t

from ..lab import state
from ..lab.engine import docker
from . import labs, traffic
from .labs import say

CLIENT = "client1"
CONNECTIONS = 50
METHODS = {"GET": (), "POST": ("--data=/etc/hostname",)}


def measure(lab: str, host: str, method: str, count: int, seconds: float, rate: float) -> dict[str, t.Any]:
    """Returns how *count* switches of *host* went during about *seconds* of load at *rate* requests/s."""
    ended: list[str] = []
    load = threading.Thread(
        target=lambda: ended.append(_load(lab, host, method, int(rate * seconds), rate)), daemon=True
    )
    load.start()
    wanted = {"application": labs.application(), "count": count, "seconds": seconds * (1 - traffic.TAIL)}
    switched = labs.on_host(lab, host, "driver_switches", wanted, deadline=seconds * 10)
    load.join()
    if not ended:
        raise SystemExit("h2load did not end well; its message is above")
    told = traffic.parse(ended[0])
    took = sorted(switched["seconds"])
    return {
        "load_balancer": switched["load_balancer"],
        "method": method,
        "switches": count,
        "requests": told["requests"]["total"],
        # h2load counts an answer of the application, whatever it is, as an answer; what the load balancer lost is none.
        "lost": told["requests"]["failed"] + told["requests"]["errored"] + told["requests"]["timeout"],
        "statuses": told["statuses"],
        "rate": told["rate"],
        "switch_p50_ms": round(statistics.median(took) * 1000, 1),
        "switch_max_ms": round(took[-1] * 1000, 1),
    }


def _load(lab: str, host: str, method: str, requests: int, rate: float) -> str:
    known = state.load(lab)
    return docker(
        *("exec", known.container(CLIENT), "h2load", "--h1", f"--requests={requests}", f"--clients={CONNECTIONS}"),
        *(f"--rps={rate / CONNECTIONS:g}", *METHODS[method], f"http://{known.addresses()[host]}/version"),
        deadline=requests / rate * 10,
    ).output


def main(arguments: t.Sequence[str]) -> int:
    """Measures each host, one after the other, and prints one line of JSON each."""
    options = argparse.ArgumentParser(prog="load_balancers", description="What a switch costs users, by load balancer.")
    options.add_argument("lab")
    options.add_argument("host", nargs="+")
    options.add_argument("--switches", type=int, default=40)
    options.add_argument("--seconds", type=float, default=40.0)
    options.add_argument("--rate", type=float, default=1000.0, help="requests/s (default: 1000)")
    chosen = options.parse_args(arguments)
    install = "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends"
    labs.shell(chosen.lab, CLIENT, f"command -v h2load >/dev/null || {{ {install} nghttp2-client >/dev/null; }}")
    for host in chosen.host:
        for method in METHODS:
            found = measure(chosen.lab, host, method, chosen.switches, chosen.seconds, chosen.rate)
            say(json.dumps({"host": host, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
