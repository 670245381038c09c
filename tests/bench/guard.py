# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program rollout-guard on a load-balancer host: how fast it switches, how punctually it takes a switch back."""

from __future__ import annotations

import typing as t

from . import labs
from .labs import Lab, say

HOST = "lb1"
#: Long enough to arm and switch in, on a busy machine as well.
DEADLINE_SECONDS = 4.0
#: For one sample, at most; a machine that needs more has other problems.
SAMPLE_SECONDS = 30.0


def switch(lab: Lab, samples: int) -> dict[str, t.Any]:
    """Returns what *samples* switches took inside the host, in ms; see on_host/step_times.py."""
    say(f"\n  {samples} switches inside {HOST}, each a run of its own")
    wanted = {"application": labs.application(), "samples": samples}
    return labs.on_host(lab.name, HOST, "step_times", wanted, deadline=samples * SAMPLE_SECONDS)


def revert(lab: Lab, samples: int) -> dict[str, t.Any]:
    """Returns how late *samples* reverts of the guard were, in s; see on_host/reverts.py."""
    say(f"\n  {samples} switches on {HOST} that nobody confirms")
    wanted = {"application": labs.application(), "samples": samples, "deadline": DEADLINE_SECONDS}
    return labs.on_host(lab.name, HOST, "reverts", wanted, deadline=samples * (SAMPLE_SECONDS + DEADLINE_SECONDS))
