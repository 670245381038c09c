# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TLS costs at the edge: the same requests to the same load balancer, first in plain text, then by HTTPS.

h2load on the client host asks as fast as it is answered, on kept connections and with a new one for each request. What
a single user waits is asked one after another, on a new connection each time. Origins of traffic.py stand behind.
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
    labs.play(lab.name, "provision", "-e", json.dumps(_ON))
    return {"connections": CONNECTIONS, "plain": plain, "tls": _asked(lab, f"https://{HOST}/")}


def _asked(lab: Lab, url: str) -> dict[str, t.Any]:
    kept, new = _load(lab, url, KEPT, CONNECTIONS), _load(lab, url, NEW, NEW)
    alone = labs.on_host(lab.name, CLIENT, "new_connections", {"url": url, "count": ALONE}, deadline=120)
    return {"kept": kept, "new": {**new, "p50_ms": alone["p50_ms"]}}


def _load(lab: Lab, url: str, requests: int, connections: int) -> dict[str, t.Any]:
    """Returns requests/s, failures, and the p50 of the requests themselves in ms."""
    said = docker(
        *("exec", state.load(lab.name).container(CLIENT), "h2load", "--h1", f"--requests={requests}"),
        *(f"--clients={connections}", f"--log-file={LOG}", url),
        deadline=300,
    ).output
    found = traffic.parse(said)
    log = labs.on_host(lab.name, CLIENT, "request_log", {"log": LOG, "moments": []}, deadline=60)
    return {"rate": found["rate"], "failures": found["failures"], "p50_ms": log["p50_ms"]}


def lines(found: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the table. Pure."""
    shown = [
        f"TLS at the edge: requests/s and p50 in ms, {found['connections']} kept connections, or a new one each.",
        "",
    ]
    shown.append(f"{'':<8}{'kept/s':>10}{'p50':>8}{'new/s':>10}{'p50':>8}{'failed':>8}")
    for name in ("plain", "tls"):
        kept, new = found[name]["kept"], found[name]["new"]
        failed = kept["failures"] + new["failures"]
        shown.append(
            f"{name:<8}{kept['rate']:>10.0f}{kept['p50_ms']:>8.2f}{new['rate']:>10.0f}{new['p50_ms']:>8.2f}{failed:>8}"
        )
    return shown
