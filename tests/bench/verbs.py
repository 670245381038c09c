# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wall times of the verbs. The median is quoted.

Gate time is what the tasks of the gate took, and the operator's choice (samples and interval).
"""

from __future__ import annotations

import statistics
import typing as t

from . import labs
from .labs import Lab, Run


def measure(lab: Lab, repeats: int) -> dict[str, t.Any]:
    """Returns the figures of *lab*: each verb runs *repeats* times."""
    runs: dict[str, list[Run]] = {"deploy": [], "roll_back": [], "status": []}
    for number in range(repeats):
        runs["deploy"].append(labs.play(lab.name, "deploy", "-e", f"rollout_version={labs.VERSIONS[number % 2]}"))
        runs["roll_back"].append(labs.play(lab.name, "roll_back"))
        runs["status"].append(labs.play(lab.name, "status"))
    return figures(lab, runs)


def figures(lab: Lab, runs: t.Mapping[str, t.Sequence[Run]]) -> dict[str, t.Any]:
    """Returns the row of *lab*, in seconds and numbers of tasks. Pure."""
    found: dict[str, t.Any] = {
        "topology": lab.topology,
        "load_balancers": 2 if lab.topology == "pair" else 1,
        "apps": lab.apps,
        "lab_up_s": lab.up,
        "provision_s": lab.provision,
        "again_s": lab.again,
        "again_changed": lab.again_changed,
    }
    for verb, taken in runs.items():
        found[f"{verb}_s"] = statistics.median(run.wall for run in taken)
        found[f"{verb}_without_gate_s"] = statistics.median(run.wall - run.gate for run in taken)
        found[f"{verb}_tasks"] = max(run.tasks for run in taken)
    return found
