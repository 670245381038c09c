# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of a scenario are told beside the usual, and the fleet that some need before them."""

from __future__ import annotations

import json
import time

from .cases import Case
from .fleet import CALM_GUARD_SECONDS, RUN_SECONDS, Broken, Fleet
from .looks import LOAD_BALANCERS, Look, live_release, may_roll_back
from .runs import Run
from .stops import Stop

#: Users get an answer, but never this one: the deploy is refused when traffic has moved already. The check is given up
#: after a second, not after 15 s, or the short guards of these fleets would always be faster than the run itself.
NEVER = {
    "url": "http://127.0.0.1:80/version",
    "body": "release == 'no-such-release'",
    "consecutive": 1,
    "timeout": 2,
    "deadline": 1,
}
REFUSED = ("-e", json.dumps({"__rollout_verify": NEVER}))
#: A gate that finds nothing wrong, so that nobody but the fault ends what it looks at.
CONTENT = {
    "name": "errors",
    "type": "traffic",
    "min_samples": 3,
    "interval": "1 s",
    "at_most": {"error_share": "90 %"},
    "errors_at_most": 100,
}
#: Half of the users, then all of them.
SHIFTED = (
    "-e",
    json.dumps({"rollout_shift": [50, 100], "rollout_shift_seconds": 2, "rollout_gates": {"during_shift": [CONTENT]}}),
)
#: All users, but for a while only on probation.
WATCHED = (
    "-e",
    json.dumps({"rollout_bake_seconds": 2, "rollout_bake_most_seconds": 8, "rollout_gates": {"bake": [CONTENT]}}),
)


def first(case: Case) -> tuple[str, ...]:
    """Returns more arguments for the run that is struck. Pure."""
    return {"refused": REFUSED, "shifted": SHIFTED, "watched": WATCHED}.get(case.scenario, ())


def guard(case: Case, usual: float) -> float:
    """Returns the deadline of the guard of that run: it still waits when the next run takes its switch up. Pure."""
    return CALM_GUARD_SECONDS if case.scenario == "resumed" else usual


def again(case: Case, seen: Look | None) -> tuple[str, ...]:
    """Returns more arguments for the next run, when a load balancer shows *seen*. Pure.

    A switch gives the lease as long as the guard, so who wants to go on before the guard fires must break it.
    """
    if case.scenario != "resumed":
        return ()
    lease = seen.lease["id"] if seen is not None and isinstance(seen.lease, dict) else "none"
    told = {"rollout_recovery": "resume", "rollout_break_lease": lease, "rollout_reason": "its driver was killed"}
    return ("-e", json.dumps(told))


def leader(case: Case) -> str:
    """Returns the load balancer that the other one agrees with or must follow. Pure."""
    return "lb1" if case.scenario != "behind" or case.host == "lb2" else "lb2"


def leave_behind(fleet: Fleet, host: str) -> None:
    """Makes a fleet in which *host* alone did not confirm the newest release: its program died just before.

    A roll back does it where there is something to roll back to: it costs less than a deploy. Raises Broken.
    """
    other = next(name for name in LOAD_BALANCERS if name != host)
    seen = fleet.look(other)
    known = len(seen.journal) + seen.torn if seen else 0
    stop = Stop(fleet.lab, host, "confirm", "before")
    run = fleet.start("roll_back") if may_roll_back(seen) else fleet.start("deploy", fleet.known_versions()[1])
    try:
        if not stop.reached(run.runs, RUN_SECONDS):
            raise Broken(f"the run that shall leave {host} behind did not come to its confirmation")
        ends = time.monotonic() + CALM_GUARD_SECONDS / 2
        while not _confirmed(fleet.look(other, known)) and time.monotonic() < ends:
            time.sleep(0.1)
        stop.kill()
    finally:
        stop.release()
    if run.wait(RUN_SECONDS) is None:
        run.end()
    rested = fleet.rest(agreed=False)
    lives = {live_release(rested[name]) for name in LOAD_BALANCERS}
    if len(lives) != len(LOAD_BALANCERS):
        raise Broken(f"{host} is not behind: both have {lives}: {run.text()[-600:]}")


def kill_after_switch(fleet: Fleet, case: Case) -> Run:
    """Starts the run of *case* and kills it after its switch on the host of the case, so that the guard must act.

    Raises Broken.
    """
    stop = Stop(fleet.lab, case.host, "switch", "after")
    run = fleet.start(case.verb, guard=fleet.times.guard)
    try:
        if not stop.reached(run.runs, RUN_SECONDS):
            raise Broken(f"the run whose guard is to act did not come to its switch: {run.text()[-600:]}")
        run.signal("KILL")
    finally:
        stop.release()
    return run


def _confirmed(seen: Look | None) -> bool:
    return seen is not None and any(
        (entry["step"], entry["phase"], entry.get("outcome")) == ("confirm", "end", "done") for entry in seen.journal
    )
