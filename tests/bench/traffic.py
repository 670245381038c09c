# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many switches under load: whether a request is lost when the pointer moves.

h2load on the client host sends a fixed number of requests at a steady rate through the real HAProxy of a load-balancer
host, which the product's own code switches to and fro meanwhile. The reference application shares the machine's cores
with everything else and cannot answer that fast: in its place, an HAProxy of its own on every application host answers
on the very addresses and ports of both slots; its header x-slot says which one.
"""

from __future__ import annotations

import re
import threading
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed

from ..lab import hosts, state
from ..lab.engine import docker
from . import labs
from .labs import Lab, say

HOST, CLIENT = "lb1", "client1"
CONNECTIONS = 50
#: Requests go on for this share of the time after the last switch was due.
TAIL = 0.1
LOG = f"{labs.FOLDER}/h2load.log"
ORIGIN = f"{labs.FOLDER}/origin.cfg"
_REQUESTS = re.compile(r"^requests: (.+)$", re.MULTILINE)
_STATUSES = re.compile(r"^status codes: (.+)$", re.MULTILINE)
_FINISHED = re.compile(r"^finished in (\S+?)(us|ms|s), ([\d.]+) req/s", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_DEFAULTS = """\
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
"""


def measure(lab: Lab, count: int, seconds: float, rate: float) -> dict[str, t.Any]:
    """Returns the figures of *count* switches during about *seconds* of load at *rate* requests/s.

    The application of *lab* does not run any more afterwards.
    """
    even = count + count % 2
    say(f"\n  {even} switches on {HOST} under {rate:.0f} requests/s")
    prepare(lab)
    ended: list[Completed] = []
    load = threading.Thread(target=lambda: ended.append(_load(lab, int(rate * seconds), rate)), daemon=True)
    load.start()
    wanted = {"application": labs.application(), "count": even, "seconds": seconds * (1 - TAIL)}
    switched = labs.on_host(lab.name, HOST, "switches", wanted, deadline=seconds * 10)
    load.join()
    if not ended:
        raise SystemExit("h2load did not end well; its message is above")
    moments = [one["at"] for one in switched["switches"]]
    log = labs.on_host(lab.name, CLIENT, "request_log", {"log": LOG, "moments": moments}, deadline=120)
    return {"asked_rate": rate, "connections": CONNECTIONS, "h2load": parse(ended[0].output), "log": log, **switched}


def _load(lab: Lab, requests: int, rate: float) -> Completed:
    """Sends exactly *requests* requests: every one of them is accounted for, none is cut off at an end of time."""
    return docker(
        *("exec", state.load(lab.name).container(CLIENT), "h2load", "--h1", f"--requests={requests}"),
        *(f"--clients={CONNECTIONS}", f"--rps={rate / CONNECTIONS:g}", f"--log-file={LOG}", f"http://{HOST}/"),
        deadline=requests / rate * 10,
    )


def parse(output: str) -> dict[str, t.Any]:
    """Returns what h2load says: requests by outcome, answers by class, requests/s and seconds. Pure.

    *failures* are all that did not end with a 2xx answer, for whatever reason.
    """
    requests, statuses, finished = (one.search(output) for one in (_REQUESTS, _STATUSES, _FINISHED))
    if not (requests and statuses and finished):
        raise ValueError(f"h2load did not say what happened: {output[-2000:]}")
    outcomes, answers = _counts(requests.group(1)), _counts(statuses.group(1))
    return {
        "requests": outcomes,
        "statuses": answers,
        "failures": outcomes["total"] - answers["2xx"],
        "rate": float(finished.group(3)),
        "seconds": float(finished.group(1)) * _UNITS[finished.group(2)],
    }


def _counts(text: str) -> dict[str, int]:
    """Returns {"total": 10} of "10 total, …". Pure."""
    return {name: int(number) for number, name in (part.split(" ", 1) for part in text.split(", "))}


def origin(places: t.Mapping[str, t.Sequence[str]]) -> str:
    """Returns the configuration of an HAProxy that answers at *places* (slot → addr:port) with the slot. Pure."""
    parts = ["global\n    nbthread 1\n", _DEFAULTS]
    for slot, addresses in places.items():
        binds = "".join(f"    bind {address}\n" for address in addresses)
        answer = f"""http-request return status 200 content-type text/plain string "{slot}\\n" hdr x-slot {slot}"""
        parts.append(f"frontend {slot}\n{binds}    {answer}\n")
    return "\n".join(parts)


def places(configuration: str, application: str, address: str) -> dict[str, list[str]]:
    """Returns the places (slot → addr:port) at *address* in the load balancer's configuration. Pure."""
    found: dict[str, list[str]] = {}
    backend = ""
    for line in configuration.splitlines():
        words = line.split()
        if words[:1] == ["backend"]:
            backend = words[1]
        elif words[:1] == ["server"] and words[2].startswith(f"{address}:"):
            found.setdefault(backend[len(application) + 1 :], []).append(words[2])
    return found


def stop(lab: Lab) -> None:
    """Stops the origins; until prepare() nobody answers in the application's place."""
    for host in (one.name for one in state.load(lab.name).hosts() if "application" in one.groups):
        labs.shell(lab.name, host, "systemctl stop bench-origin")


def prepare(lab: Lab) -> None:
    """Installs load generator and origins from Debian, and puts the origins in the application's place."""
    known, application = state.load(lab.name), labs.application()["name"]
    install = "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends"
    labs.shell(lab.name, CLIENT, f"{install} nghttp2-client >/dev/null; mkdir -p {labs.FOLDER}")
    configuration = labs.shell(lab.name, HOST, f"cat /etc/haproxy/rollout.d/{application}.cfg")
    for host in (one.name for one in known.hosts() if "application" in one.groups):
        labs.shell(lab.name, host, f"{install} haproxy >/dev/null; systemctl disable --quiet --now haproxy")
        answers = origin(places(configuration, application, known.addresses()[host]))
        hosts.put_files(known.container(host), [hosts.File(ORIGIN, answers)])
        labs.shell(lab.name, host, "docker ps --quiet | xargs --no-run-if-empty docker stop >/dev/null")
        start = f"systemd-run --quiet --unit=bench-origin --collect haproxy -db -f {ORIGIN}"
        labs.shell(lab.name, host, f"systemctl is-active --quiet bench-origin || {start}")
    labs.on_host(lab.name, HOST, "origins_up", {"application": labs.application()}, deadline=90)
