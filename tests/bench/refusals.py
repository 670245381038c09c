# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long users have a bad release: from its first bad answer until the gates of a bake have taken traffic back."""

from __future__ import annotations

import json
import time
import typing as t

from ..lab import load, state
from . import labs
from .labs import Lab, say

RATE = 60.0  # requests/s
INTERVAL = 2.0  # s
SHARE = 0.3  # of the answers of the bad release that are errors
USED_SECONDS = 5.0
TARGETS = ("lb1", "lb2")
_GATE = {
    "name": "users",
    "type": "traffic",
    "min_samples": 100,
    "interval": f"{INTERVAL:g} s",
    "at_most": {"error_share": "1 %"},
}
BAD = {
    "rollout_version": labs.VERSIONS[0],
    "rollout_configuration": {"LOG_LEVEL": "info", "FAULT_ERROR_SHARE": str(SHARE)},
    "rollout_gates": {"bake": [_GATE]},
    "rollout_bake_seconds": 60,
}


def measure(lab: Lab, samples: int) -> dict[str, t.Any]:
    """Returns for how many s users got errors, for each of *samples* bad releases; every deploy must be refused."""
    say(f"\n  {samples} bad releases that gates take back")
    verbs = [option for target in TARGETS for option in ("--url", f"http://{target}/")]
    labs.verb(lab.name, "load", "start", *verbs, "--rate", f"{RATE:g}", "--max-seconds", "600")
    try:
        seconds = [_one(lab) for _sample in range(samples)]
    finally:
        labs.verb(lab.name, "load", "stop")
    return {"interval_s": INTERVAL, "rate": RATE, "error_share": SHARE, "bad_s": seconds}


def _one(lab: Lab) -> float:
    began = time.time()
    time.sleep(USED_SECONDS)
    labs.play(lab.name, "deploy", "-e", json.dumps(BAD), expected=2)
    told = load.report(state.load(lab.name), since=str(began), until=str(time.time()))
    return spent(told["targets"])


def spent(targets: t.Mapping[str, t.Mapping[str, t.Any]]) -> float:
    """Returns the s from the first to the last bad answer of *targets*, as a load report tells them. Pure."""
    bad = [one for one in targets.values() if one["failures"]]
    if not bad:
        raise SystemExit("no user ever had the bad release, so nothing was measured")
    return float(max(one["last_failure"] for one in bad) - min(one["first_failure"] for one in bad))


def lines(found: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the figures as lines. Pure."""
    ordered = sorted(found["bad_s"])
    return [
        f"A bad release ({100 * found['error_share']:.0f} % errors, {found['rate']:.0f} requests/s, a look every "
        f"{found['interval_s']:g} s): from its first to its last bad answer {ordered[len(ordered) // 2]:.2f} s "
        f"(p50), at most {ordered[-1]:.2f} s, {len(ordered)} samples (goal {found['interval_s'] + 2:g})."
    ]
