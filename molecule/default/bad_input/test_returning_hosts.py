# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Application hosts that were away, or are new, hold other releases than the fleet: no user may get one of those.

The tests build on each other, in the order of this file.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

LIVE = ("-e", "rollout_version=1.0.0")
NEXT = ("-e", "rollout_version=1.1.0")
AFTER = ("-e", "rollout_version=1.3.0")


@pytest.fixture(scope="module", autouse=True)
def as_before(lab: t.Any) -> t.Iterator[None]:
    """Every host holds 1.0.0 in the live slot and 1.1.0 beside it; so it is again afterwards."""
    yield
    assert lab.play("deploy", *NEXT).code == 0
    assert lab.play("deploy", *LIVE).code == 0


def test_a_roll_back_uses_the_hosts_that_hold_the_release(lab: t.Any) -> None:
    first, second = lab.group("application")
    assert lab.play("deploy", *NEXT).code == 0
    live = lab.state()["live"]
    idle = "green" if live == "blue" else "blue"
    empty(lab, first, idle)

    played = lab.play("roll_back")
    assert played.code == 0
    assert f"{first} does not hold release 1.0.0-" in played.output
    assert {lab.ask("/version")["version"] for _again in range(8)} == {"1.0.0"}
    assert slots(lab, "web", first) == {live}
    assert slots(lab, "worker", first) == set()
    assert (slots(lab, "worker", second), slots(lab, "scheduler", second)) == ({idle}, {idle})
    assert len(lab.running("scheduler")) == 1
    assert lab.play("roll_back").code == 0  # the second one in a row changes nothing
    assert len(lab.running("scheduler")) == 1

    assert lab.play("deploy", *LIVE).code == 0
    assert slots(lab, "worker", first) == slots(lab, "scheduler", first) == {idle}
    assert slots(lab, "web", first) == {live, idle}
    assert len(lab.running("scheduler")) == 1


def test_a_roll_back_to_what_nobody_holds_is_refused_and_users_stay(lab: t.Any) -> None:
    assert lab.play("deploy", *NEXT).code == 0
    state = lab.state()
    idle = "green" if state["live"] == "blue" else "blue"
    for name in lab.group("application"):
        empty(lab, name, idle)
    played = lab.play("roll_back")
    assert played.code != 0
    assert "No application host holds release 1.0.0-" in played.output
    assert "vitalops.rollout.deploy -i INVENTORY -e rollout_version=1.0.0" in played.output
    assert (lab.ask("/version")["version"], lab.state()) == ("1.1.0", state)


def test_a_live_release_that_is_down_on_every_host_is_replaced(lab: t.Any) -> None:
    live = lab.state()["live"]
    for name in lab.group("application"):
        webs = [web.partition("/")[2] for web in lab.running("web") if web.startswith(f"{name}/reference-{live}-")]
        assert webs, f"{name} has no live instance to stop"
        lab.connect(name).check_output(f"{'systemctl' if lab.systemd else 'docker'} stop {' '.join(webs)}")
    assert not [web for web in lab.running("web") if f"/reference-{live}-" in web]
    assert lab.play("deploy", *LIVE).code == 0
    assert {lab.ask("/version")["version"] for _again in range(8)} == {"1.0.0"}
    assert lab.state()["live"] != live


def test_a_host_that_was_away_gets_no_users_before_it_holds_what_is_live(lab: t.Any, tmp_path: Path) -> None:
    away = lab.group("application")[0]  # the one with the scheduler; it holds 1.0.0, which is live, and 1.1.0
    lab.verb("push", "1.3.0", "--kind", "image")
    with without(lab, away, tmp_path):
        assert lab.play("provision").code == 0
        assert lab.play("deploy", *AFTER).code == 0
    live = lab.state()["live"]
    assert lab.ask("/version")["version"] == "1.3.0"

    refused = lab.play("provision")
    assert refused.code != 0
    assert f"{away} missed runs" in refused.output
    assert "found: release 1.1.0-" in refused.output
    typed = re.search(r"empty that slot: (ansible .+?'); then provision", refused.output)
    assert typed is not None
    command = shlex.split(typed[1].replace("-i INVENTORY", ""))
    subprocess.run([*command, *lab.sources()], check=True, timeout=120)

    assert lab.play("provision").code == 0
    assert lab.play("deploy", *AFTER).code == 0
    assert live in slots(lab, "web", away)
    assert slots(lab, "worker", away) == {live}
    assert len(lab.running("scheduler")) == 1
    assert {lab.ask("/version")["version"] for _again in range(8)} == {"1.3.0"}


def empty(lab: t.Any, name: str, slot: str) -> None:
    """The host is as if it had been rebuilt, as far as *slot* goes."""
    request = json.dumps({"application": "reference", "slot": slot, "state": "absent"})
    command = ["ansible", name, "-b", "-m", "vitalops.rollout.slot_release", "-a", request, *lab.sources()]
    subprocess.run(command, check=True, timeout=120)


def slots(lab: t.Any, process: str, name: str) -> set[str]:
    """Returns the slots in which *process* runs on a host."""
    return {
        slot for slot in ("blue", "green") if any(f"{name}/reference-{slot}-" in one for one in lab.running(process))
    }


@contextlib.contextmanager
def without(lab: t.Any, name: str, folder: Path) -> t.Iterator[None]:
    """The inventory does not have the host."""
    content = yaml.safe_load((lab.inventory / "hosts.yml").read_text())
    del content["all"]["hosts"][name]
    for group in content["all"]["children"].values():
        group["hosts"].pop(name, None)
    (folder / "hosts.yml").write_text(yaml.safe_dump(content))
    whole, lab.inventory = lab.inventory, folder
    try:
        yield
    finally:
        lab.inventory = whole
