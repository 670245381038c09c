# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches to and fro many times, evenly spread, with the product's own code out of the installed program.

Standard input: {"application": …, "count": N, "seconds": S}. Every switch is the step switch with guarded: false, in
this process: lease, journal, map file and HAProxy as always, but no timer is armed and nothing is confirmed in between.
A request is sent through HAProxy before and after each: its header x-slot must name the slot that has the traffic.
"""

from __future__ import annotations

import csv
import http.client
import importlib
import sys
import time
import typing as t

from . import asking
from .asking import Application, Json

TIMEOUT = 5.0  # s, for one request
LOADED = 500  # requests/s, more than checks and people ask
LOAD_SECONDS = 30.0


class Switch(t.NamedTuple):
    """One switch: when it began (s since 1970), what it took (s), and which slots answered before and after it."""

    at: float
    seconds: float
    before: str | None
    after: str | None


def answering() -> str | None:
    """Returns the slot that answers a user now, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=TIMEOUT)
    try:
        connection.request("GET", "/")
        return connection.getresponse().getheader("x-slot")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def statistics() -> list[dict[str, str]]:
    """Returns the rows of ``show stat``."""
    return list(csv.DictReader(asking.haproxy("show stat").lstrip("# ").splitlines()))


def counters(application: Application) -> dict[str, dict[str, int]]:
    """Returns what HAProxy has counted of each slot: requests, retries and redispatches, since it started."""
    told = statistics()
    return {
        slot: {name: int(row[name] or 0) for name in ("req_tot", "wretr", "wredis", "econ", "eresp")}
        for slot in asking.SLOTS
        for row in told
        if (row["pxname"], row["svname"]) == (f"{application.name}_{slot}", "BACKEND")
    }


def grown(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Returns by how much the counters grew. Pure."""
    return {slot: {name: after[slot][name] - before[slot][name] for name in after[slot]} for slot in after}


def wait_for_load() -> None:
    """Waits until requests come in. Raises Refused when none do."""
    ends = time.monotonic() + LOAD_SECONDS
    while not any(int(row["req_rate"] or 0) > LOADED for row in statistics() if row["svname"] == "FRONTEND"):
        if time.monotonic() > ends:
            raise asking.Refused(f"no load has come within {LOAD_SECONDS:g} s")
        time.sleep(0.05)


def switches(application: Application, run: Json, count: int, seconds: float) -> t.Iterator[Switch]:
    """Does *count* switches, evenly spread over *seconds* (or as fast as it can)."""
    perform = importlib.import_module("rollout._guard.steps").perform
    started = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, started + number * seconds / count - time.monotonic()))
        before = answering()
        at, began = time.time(), time.monotonic()
        answer = perform(asking.request(application, "switch", run, {"guarded": False, "lease_seconds": 60}))
        took = time.monotonic() - began
        if not answer["changed"]:
            raise asking.Refused(f"switch {number + 1} moved nothing")
        yield Switch(at, took, before, answering())
        run = {**run, "slot": run["previous"], "previous": run["slot"]}


def measure(application: Application, wanted: Json) -> Json:
    """Returns every switch, and what HAProxy counted meanwhile. Traffic ends where it was: *count* is even."""
    sys.path.insert(0, asking.PROGRAM)
    run = asking.begin(application)
    wait_for_load()
    before = counters(application)
    try:
        done = list(switches(application, run, int(wanted["count"]), float(wanted["seconds"])))
    finally:
        asking.ask(application, "end", run, {})
    moved = [
        one.before == (run["previous"], run["slot"])[number % 2]
        and one.after == (run["slot"], run["previous"])[number % 2]
        for number, one in enumerate(done)
    ]
    return {
        "switches": [one._asdict() for one in done],
        "answered_by_the_right_slot": sum(moved),
        "haproxy": grown(before, counters(application)),
    }


if __name__ == "__main__":
    asking.main(measure)
