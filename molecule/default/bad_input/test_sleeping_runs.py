# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose controller slept still believes that it may go on: another one has its lease by then."""

from __future__ import annotations

import json
import typing as t

STATE = "/var/lib/rollout/reference"
NEXT = ("-e", "rollout_version=1.1.0")
REASON = ("-e", "rollout_reason='the first one hangs'")


def test_a_run_that_slept_while_another_took_over_changes_nothing_when_it_wakes_up(lab: t.Any) -> None:
    with lab.asleep("deploy", *NEXT, after="arm") as wake:
        first = holder(lab)
        taken = lab.play("deploy", *NEXT, "-e", f"rollout_break_lease={first}", *REASON)
        assert taken.code == 0
        assert f"Broke the lease of run {first} " in taken.output
        second = holder(lab)
        assert second != first
        before = everything(lab)
        woken = wake()
    assert everything(lab) == before
    assert woken.code != 0
    said = " ".join(woken.output.split())
    assert f"Run {first} (deploy by " in said
    assert "may not change reference any more, and changed nothing" in said
    assert f"found: run {second} with epoch " in said
    assert lab.ask("/version")["version"] == "1.1.0"


def holder(lab: t.Any) -> str:
    """Returns the id of the run that had the lease last."""
    told = lab.connect(lab.group("load_balancer")[0]).check_output(f"cat {STATE}/lease.json")
    return str(json.loads(told)["id"])


def everything(lab: t.Any) -> list[str]:
    """Returns what runs and what is rolled out, and who was there: a run that may do nothing leaves no line either."""
    files = f"find {STATE} -type f ! -name '.*lock' -exec sha256sum {{}} + | sort"
    names = sorted({*lab.group("application"), *lab.group("load_balancer")})
    return [*lab.fingerprint(), *(lab.connect(name).check_output(files) for name in names)]
