# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long users have a release that turns bad in its bake: from its first bad answer until traffic is back."""

from __future__ import annotations

import json
import threading
import time
import typing as t

import yaml

from ..lab import load, state
from . import labs
from .labs import Lab, say

RATE = 60.0  # requests/s
INTERVAL = 2.0  # s
SHARE = 0.3  # of the answers of the bad release that are errors
GOOD_SECONDS = 8.0  # of the bake
BAKES_WITHIN = 120.0  # s
TARGETS = ("lb1", "lb2")
PORTS = {"blue": 18000, "green": 18100}
_GATE = {
    "name": "users",
    "type": "traffic",
    "min_samples": 100,
    "interval": f"{INTERVAL:g} s",
    "at_most": {"error_share": "1 %"},
}
RELEASE = {
    "rollout_version": labs.VERSIONS[0],
    "rollout_gates": {"bake": [_GATE]},
    "rollout_bake_seconds": 60,
}
_FOLDER = "/var/lib/rollout"
_STRIKE = (
    "import sys, urllib.request as u; url, token, values = sys.argv[1:]; "
    "headers = {'X-Admin-Token': token, 'Content-Type': 'application/json'}; "
    "u.urlopen(u.Request(url, values.encode(), headers), timeout=5)"
)


def measure(lab: Lab, samples: int) -> dict[str, t.Any]:
    """Returns for how many s users got errors, for each of *samples* bad releases; every deploy must be refused."""
    say(f"\n  {samples} releases that turn bad in their bake")
    urls = [option for target in TARGETS for option in ("--url", f"http://{target}/")]
    labs.verb(lab.name, "load", "start", *urls, "--rate", f"{RATE:g}", "--max-seconds", str(120 * samples))
    try:
        seconds = [_one(lab) for _sample in range(samples)]
    finally:
        labs.verb(lab.name, "load", "stop")
    return {"interval_s": INTERVAL, "rate": RATE, "error_share": SHARE, "bad_s": seconds}


def _one(lab: Lab) -> float:
    began = time.time()
    striker = threading.Thread(target=_strike, args=(lab,), daemon=True)
    striker.start()
    labs.play(lab.name, "deploy", "-e", json.dumps(RELEASE), expected=2)
    striker.join(30)
    told = load.report(state.load(lab.name), since=str(began), until=str(time.time()))
    return spent(told["targets"])


def _strike(lab: Lab) -> None:
    """Lets every instance of the slot that users get answer with errors, once its bake has lasted for a while."""
    folder = f"{_FOLDER}/{labs.application()['name']}"
    wait = f'until grep -qs \'"phase": "bake"\' {folder}/watch.json; do sleep 0.2; done'
    labs.shell(lab.name, TARGETS[0], f"timeout {BAKES_WITHIN:g} sh -c {json.dumps(wait)}", deadline=BAKES_WITHIN + 10)
    time.sleep(GOOD_SECONDS)
    pointer = labs.shell(lab.name, TARGETS[0], f"cat {folder}/traffic.map")
    first = PORTS[pointer.split(" ", 1)[1].partition(":")[0]]
    inventory = yaml.safe_load((labs.folder(lab.name) / "hosts.yml").read_text(encoding="utf-8"))
    token = inventory["all"]["vars"]["lab_admin_token"]
    known = state.load(lab.name)
    for name in (one.name for one in known.hosts() if "application" in one.groups):
        for port in (first, first + 1):
            url = f"http://{known.addresses()[name]}:{port}/admin/faults"
            values = json.dumps({"error_share": SHARE})
            labs.shell(lab.name, name, f"python3 -c {json.dumps(_STRIKE)} {url} {token} '{values}'")


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
        f"A release that turns bad in its bake ({100 * found['error_share']:.0f} % errors, {found['rate']:.0f} "
        f"requests/s, a look every {found['interval_s']:g} s): from its first to its last bad answer "
        f"{ordered[len(ordered) // 2]:.2f} s (p50), at most {ordered[-1]:.2f} s, {len(ordered)} samples "
        f"(goal {found['interval_s'] + 2:g})."
    ]
