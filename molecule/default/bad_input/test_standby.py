# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two load balancers, one of which sees nothing: no user comes through it, or no gate looks from it."""

from __future__ import annotations

import json
import time
import typing as t

USERS = {
    "name": "users",
    "type": "traffic",
    "min_samples": 50,
    "interval": "1 s",
    "at_most": {"error_share": "5 %"},
}
READY = {"name": "ready", "type": "http", "path": "/ready", "interval": "1 s"}


def bake(lab: t.Any, seconds: int, *gates: dict[str, t.Any]) -> tuple[str, str]:
    """Returns the version that is not live, and the variables of a deploy that bakes it."""
    version = {"1.0.0": "1.1.0"}.get(lab.ask("/version")["version"], "1.0.0")
    told = {"rollout_version": version, "rollout_gates": {"bake": list(gates)}, "rollout_bake_seconds": seconds}
    return version, json.dumps(told)


def test_the_load_balancer_with_users_speaks_for_the_one_that_stands_by(lab: t.Any) -> None:
    lab.verb("load", "start", "--url", lab.urls()[0], "--rate", "30", "--max-seconds", "120")
    try:
        time.sleep(3)
        version, told = bake(lab, 8, USERS)
        assert lab.play("deploy", "-e", told).code == 0
        report = json.loads(lab.verb("load", "report", "--until", str(time.time())))
    finally:
        lab.verb("load", "stop")
    assert lab.ask("/version")["version"] == version
    assert report["failures"] == 0


def test_a_person_ends_a_bake_that_only_the_first_load_balancer_watches(lab: t.Any) -> None:
    version, told = bake(lab, 600, READY)
    driver = lab.begun("deploy", "-e", told, after="switch")
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "watch bake, ", seconds=60)
    assert lab.play("confirm").code == 0
    assert driver.wait(60) == 0
    assert lab.ask("/version")["version"] == version
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", f"live {version}-", "lease free", seconds=5)


def test_a_roll_back_ends_it_as_well(lab: t.Any) -> None:
    before = lab.ask("/version")["version"]
    _version, told = bake(lab, 600, READY)
    driver = lab.begun("deploy", "-e", told, after="switch")
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "watch bake, ", seconds=60)
    assert lab.play("roll_back").code == 0
    assert driver.wait(60) != 0
    assert lab.ask("/version")["version"] == before
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", f"live {before}-", "lease free", seconds=5)
