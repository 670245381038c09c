# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TLS costs at the edge: the same requests to the same load balancer, first in plain text, then by HTTPS.

h2load on the client host asks as fast as it is answered, on kept connections and with a new one for each request. What
a single user waits is asked one after another, on a new connection each time. Origins of traffic.py stand behind.
Requests/s depend on what else the machine does; the time on a core that HAProxy spends on a request does not.
"""

from __future__ import annotations

import json
import typing as t

from ..lab import state
from ..lab.engine import docker
from . import labs, traffic
from .labs import Lab, say
from .traffic import CLIENT, CONNECTIONS, HOST, LOG

KEPT, NEW, ALONE = 30_000, 2_000, 300  # requests
_ON = {"load_balancer_tls": True, "load_balancer_names": [HOST]}


def measure(lab: Lab) -> dict[str, t.Any]:
    """Returns the figures of plain text and of HTTPS. The application of *lab* does not run any more afterwards."""
    say(f"\n  TLS on {HOST}")
    traffic.prepare(lab)
    plain = _asked(lab, f"http://{HOST}/")
    # Preflight lets nobody else have the ports of the application.
    traffic.stop(lab)
    labs.play(lab.name, "provision", "-e", json.dumps(_ON))
    traffic.prepare(lab)
    return {"connections": CONNECTIONS, "plain": plain, "tls": _asked(lab, f"https://{HOST}/")}


def _asked(lab: Lab, url: str) -> dict[str, t.Any]:
    kept, new = _load(lab, url, KEPT, CONNECTIONS), _load(lab, url, NEW, NEW)
    alone = labs.on_host(lab.name, CLIENT, "new_connections", {"url": url, "count": ALONE}, deadline=120)
    return {"kept": kept, "new": {**new, "p50_ms": alone["p50_ms"]}}


def _load(lab: Lab, url: str, requests: int, connections: int) -> dict[str, t.Any]:
    """Returns requests/s, failures, the p50 of the requests themselves in ms, and HAProxy's µs on a core for each."""
    before = _core_seconds(lab)
    said = docker(
        *("exec", state.load(lab.name).container(CLIENT), "h2load", "--h1", f"--requests={requests}"),
        *(f"--clients={connections}", f"--log-file={LOG}", url),
        deadline=300,
    ).output
    spent = _core_seconds(lab) - before
    found = traffic.parse(said)
    log = labs.on_host(lab.name, CLIENT, "request_log", {"log": LOG, "moments": []}, deadline=60)
    core = 1e6 * spent / requests
    return {"rate": found["rate"], "failures": found["failures"], "p50_ms": log["p50_ms"], "core_us": core}


def _core_seconds(lab: Lab) -> float:
    """Returns the seconds that HAProxy's workers have spent on a core."""
    script = "for one in $(cat /proc/$(pgrep -o haproxy)/task/*/children); do cat /proc/$one/stat; done"
    said = labs.shell(lab.name, HOST, script)
    return sum(sum(int(one) for one in line.rpartition(")")[2].split()[11:13]) for line in said.splitlines()) / 100


def lines(found: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the table. Pure."""
    shown = [
        f"TLS at the edge: requests/s and p50 in ms, {found['connections']} kept connections, or a new one each.",
        "",
    ]
    shown.append(f"{'':<8}{'kept/s':>10}{'p50':>8}{'core µs':>9}{'new/s':>10}{'p50':>8}{'core µs':>9}{'failed':>8}")
    for name in ("plain", "tls"):
        kept, new = found[name]["kept"], found[name]["new"]
        failed = kept["failures"] + new["failures"]
        figures = "".join(f"{one['rate']:>10.0f}{one['p50_ms']:>8.2f}{one['core_us']:>9.0f}" for one in (kept, new))
        shown.append(f"{name:<8}{figures}{failed:>8}")
    return shown
