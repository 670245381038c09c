# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of PostgreSQL's settings costs: seconds of the operator, and queries of users that fail meanwhile.

pgbench writes on two connections that stay, and reads with a new connection for every query, so often a second that
processors are left for the play: here they are the same. The setting needs a reload only; the play is the one an
operator runs, for the database host alone.
"""

from __future__ import annotations

import json
import re
import statistics
import typing as t

from . import labs
from .labs import Lab, say

HOST = "data1"
SECONDS = 20
_UNITS = {"kept": "-c 2 -R 200", "new": "-S -C -c 1 -R 20"}
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_BENCH = "runuser -u postgres -- $(ls -d /usr/lib/postgresql/*/bin)/pgbench"


def measure(lab: Lab, repeats: int) -> dict[str, t.Any]:
    """Returns the seconds of each run, and what pgbench counted over all of them."""
    say(f"\n  Settings of PostgreSQL on {HOST}")
    labs.shell(lab.name, HOST, f"cd /tmp; {_BENCH} -iq postgres 2>&1")
    walls: list[float] = []
    done = failed = 0
    for number in range(repeats):
        for unit, options in _UNITS.items():
            run = f"systemd-run --quiet --unit=bench-{unit}-{number} --property=Type=exec --remain-after-exit"
            labs.shell(lab.name, HOST, f"cd /tmp; {run} {_BENCH} -n {options} -T {SECONDS} postgres")
        wanted = {"postgres_settings": {"work_mem": f"{5 + number}MB"}}
        walls.append(labs.play(lab.name, "provision", "--limit", HOST, "-e", json.dumps(wanted)).wall)
        for unit in _UNITS:
            counted = _ended(lab, f"bench-{unit}-{number}")
            done, failed = done + counted[0], failed + counted[1]
    return {"walls": walls, "transactions": done, "failures": failed}


def _ended(lab: Lab, unit: str) -> tuple[int, int]:
    """Waits for one pgbench. Returns how many transactions it did, and how many failed."""
    script = f"until systemctl show -P SubState {unit} | grep -q -e exited -e failed; do sleep 1; done"
    told = labs.shell(lab.name, HOST, f"{script}; journalctl -o cat -u {unit}", deadline=2 * SECONDS)
    done, failed = _DONE.search(told), _FAILED.search(told)
    if not done or not failed or "aborted" in told:
        raise SystemExit(f"pgbench on {HOST} did not come to its end:\n{told}")
    return int(done[1]), int(failed[1])


def lines(found: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the figures in one sentence. Pure."""
    walls = found["walls"]
    seconds = f"{statistics.median(walls):.1f} s (p50), at most {max(walls):.1f} s, {len(walls)} runs (goal < 8)"
    return [
        f"A setting of PostgreSQL that needs a reload: {seconds}; "
        f"{found['failures']} of {found['transactions']} transactions of pgbench failed meanwhile (goal 0)."
    ]
