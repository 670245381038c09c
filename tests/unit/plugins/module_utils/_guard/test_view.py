# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host: everything it knows, no secret, and whatever cannot be read hides nothing else."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._guard import view
from ansible_collections.vitalops.rollout.plugins.module_utils._state.recovery import Action

Host = t.Any


def test_a_clean_host_shows_what_is_live(host: Host) -> None:
    told = view.look(host.guard())
    assert (told["application"], told["environment"], told["state"]["live"]) == ("shop", "staging", "blue")
    assert told["pointer"] == {"file": "blue:none:0", "haproxy": "blue:none:0"}
    assert [(one["slot"], one["up"]) for one in told["servers"]] == [("blue", True), ("green", True)]
    assert (told["action"], told["says"], told["problem"], told["intent"], told["lease"]) == (
        "nothing",
        "",
        "",
        None,
        None,
    )
    assert json.loads(json.dumps(told)) == told


def test_an_armed_host_shows_its_guard_without_the_token(host: Host) -> None:
    host.begins()
    token = host.armed_and_switched().token
    host.now += 10
    told = view.look(host.guard())
    assert (told["intent"]["left"], told["intent"]["timer"], told["intent"]["target"]) == (20.0, True, "green")
    assert (told["unfinished"]["step"], told["action"]) == ("switch", "revert")
    assert told["lease"]["remaining"] == 110
    assert token not in json.dumps(told)


def test_a_timer_that_is_missing_is_told(host: Host) -> None:
    host.arm()
    host.timer.running.clear()
    assert view.look(host.guard())["intent"]["timer"] is False


def test_without_haproxy_the_rest_is_told(host: Host) -> None:
    host.armed_and_switched()
    host.haproxy_is_down()
    told = view.look(host.guard())
    assert told["pointer"] == {"file": "green:none:0", "haproxy": None}
    assert "HAProxy does not answer" in told["problem"]
    assert (told["action"], told["servers"]) == ("revert", [])
    assert told["problem"].count("HAProxy does not answer") == 1


def test_a_haproxy_that_hangs_is_no_haproxy_that_follows_the_file(host: Host) -> None:
    host.armed_and_switched()
    host.peer.map["shop"] = "nonsense"
    told = view.look(host.guard())
    assert told["action"] is None
    assert "traffic pointer cannot be understood" in told["problem"]


def test_a_damaged_state_does_not_hide_the_guard(host: Host) -> None:
    host.arm()
    (host.root / "shop" / "state.json").write_text("{")
    told = view.look(host.guard(), environment="staging")
    assert (told["state"], told["intent"]["target"], told["environment"]) == (None, "green", "staging")
    assert told["problem"].count("damaged") >= 1


def test_a_host_before_its_first_rollout_has_the_environment_of_the_run(host: Host) -> None:
    (host.root / "shop" / "state.json").unlink()
    assert view.look(host.guard(), environment="staging")["environment"] == "staging"


def test_find_tells_what_an_earlier_run_left(host: Host) -> None:
    run, _view = host.begins()
    host.arm(run)
    found = view.find(host.guard())
    assert (found.action, found.entry.step) == (Action.DISARM, "arm")
    assert "cut off after step arm" in found.says
