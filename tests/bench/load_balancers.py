# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch costs users behind HAProxy and behind nginx: the same load on the same host, one after the other.

Clients on client1 keep their connections, each of them idle for a moment between two requests, and send none twice.
"""

from __future__ import annotations

import statistics
import threading
import typing as t

from ..lab import state
from . import labs
from .labs import Lab, say
from .traffic import CLIENT, CONNECTIONS, TAIL

#: Not the first one, on which other parts of the benchmark look.
HOST = "lb2"
METHODS = ("GET", "POST")
SWITCHES, SECONDS, RATE = 20, 20.0, 300.0
_NGINX = "systemctl disable --quiet --now nginx; rm -f /var/lib/rollout/{application}/load_balancer.json"


def measure(lab: Lab) -> dict[str, t.Any]:
    """Returns the figures of each load balancer and method. HAProxy routes on HOST before and afterwards."""
    say(f"\n  {SWITCHES} switches of HAProxy, then of nginx on {HOST}")
    rows = [_load(lab.name, method) for method in METHODS]
    # Beside the inventory of the lab, as an operator would say it of one host.
    variables = labs.folder(lab.name) / "host_vars" / f"{HOST}.yml"
    variables.parent.mkdir(exist_ok=True)
    try:
        variables.write_text("---\nload_balancer_driver: nginx\n", encoding="utf-8")
        labs.shell(lab.name, HOST, "systemctl disable --quiet --now haproxy")
        labs.play(lab.name, "provision")
        rows += [_load(lab.name, method) for method in METHODS]
    finally:
        variables.unlink(missing_ok=True)
    labs.shell(lab.name, HOST, _NGINX.format(application=labs.application()["name"]))
    labs.play(lab.name, "provision")
    return {"clients": CONNECTIONS, "switches": SWITCHES, "rows": rows}


def _load(lab: str, method: str) -> dict[str, t.Any]:
    """Returns how the switches went, and what became of the requests meanwhile."""
    url = f"http://{state.load(lab).addresses()[HOST]}/version"
    load = {"url": url, "method": method, "clients": CONNECTIONS, "rate": RATE, "seconds": SECONDS}
    ended: list[dict[str, t.Any]] = []

    def send() -> None:
        told = {"application": labs.application(), **load}
        ended.append(labs.on_host(lab, CLIENT, "keep_alive_load", told, deadline=SECONDS * 10))

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    wanted = {"application": labs.application(), "count": SWITCHES, "seconds": SECONDS * (1 - TAIL)}
    switched = labs.on_host(lab, HOST, "driver_switches", wanted, deadline=SECONDS * 10)
    sending.join()
    if not ended:
        raise SystemExit("the load did not end well; its message is above")
    took = sorted(switched["seconds"])
    return {
        "load_balancer": switched["load_balancer"],
        "method": method,
        **ended[0],
        "switch_p50_ms": statistics.median(took) * 1000,
        "switch_max_ms": took[-1] * 1000,
    }


def lines(found: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the table. Pure."""
    shown = [f"{found['switches']} switches under {found['clients']} kept connections; a switch in ms.", ""]
    shown.append(f"{'':<14}{'sent':>8}{'lost':>8}{'closed':>8}{'p50':>8}{'max':>8}")
    for row in found["rows"]:
        counts = "".join(f"{row[key]:>8}" for key in ("sent", "lost", "closed"))
        times = "".join(f"{row[key]:>8.0f}" for key in ("switch_p50_ms", "switch_max_ms"))
        shown.append(f"{row['load_balancer'] + ' ' + row['method']:<14}{counts}{times}")
    return shown
