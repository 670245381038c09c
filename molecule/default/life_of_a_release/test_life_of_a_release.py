# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a release, under load: upgrade, a broken one refused, roll back. No request of a user may fail.

The tests build on each other, in the order of this file; the load runs from the first to the last.
"""

from __future__ import annotations

import json
import re
import time
import typing as t

import pytest

RATE = 30
KEEP_WARM = 5  # s
STATE = "/var/lib/rollout/reference"
CHANGED = re.compile(r"changed=[1-9]")
# What AWX passes to every playbook, besides the same under names that begin with tower_.
AWX = ("-e", "awx_job_id=42", "-e", "awx_user_name=kim")


@pytest.fixture(scope="module", autouse=True)
def load(lab: t.Any) -> t.Iterator[None]:
    urls = [option for url in lab.urls() for option in ("--url", url)]
    lab.verb("load", "start", *urls, "--rate", str(RATE), "--max-seconds", "1000")
    yield
    lab.verb("load", "stop")


def test_an_upgrade_goes_live_and_keeps_the_old_release_warm(lab: t.Any) -> None:
    assert lab.play("deploy", "-e", "rollout_version=1.1.0", *AWX).code == 0
    assert lab.ask("/version")["version"] == "1.1.0"
    state = lab.state()
    assert (state["live"], state["slots"]["blue"]["release"]["version"]) == ("green", "1.0.0")
    webs = lab.running("web")
    assert len([web for web in webs if "-blue-" in web]) == len([web for web in webs if "-green-" in web]) > 0


def test_every_load_balancer_knows_who_did_it_and_from_where(lab: t.Any) -> None:
    assert lab.state()["slots"]["green"]["by"] == "kim"
    for name in lab.group("load_balancer"):
        lines = lab.connect(name).check_output(f"cat {STATE}/journal.ndjson").splitlines()
        told = {(one["step"], one["actor"], one["source"]) for one in map(json.loads, lines)}
        assert {(step, "kim", "AWX job 42") for step in ("begin", "arm", "switch", "confirm")} <= told


def test_workers_follow_and_one_scheduler_runs(lab: t.Any) -> None:
    assert all("-green-" in worker for worker in lab.running("worker"))
    assert len(lab.running("worker")) == len(lab.group("application"))
    assert len(lab.running("scheduler")) == 1


def test_the_same_version_again_changes_nothing(lab: t.Any) -> None:
    played = lab.play("deploy", "-e", "rollout_version=1.1.0")
    assert played.code == 0
    assert not CHANGED.search(played.output)


def test_a_check_of_the_next_upgrade_touches_nothing(lab: t.Any) -> None:
    before = lab.fingerprint()
    played = lab.play("deploy", "-e", "rollout_version=1.0.0", "-e", "rollout_drain_deadline=5", "--check", "--diff")
    assert played.code == 0
    assert "Switch all traffic to slot blue" in played.output
    assert lab.fingerprint() == before


def test_a_release_that_answers_wrongly_through_the_load_balancer_is_taken_back(lab: t.Any) -> None:
    before = lab.running("web")
    wrong = json.dumps({"rollout_version": "1.0.0", "rollout_verify_body": "version == 'nobody'"})
    played = lab.play("deploy", "-e", wrong)
    assert played.code != 0
    assert "Users had it for a moment; 1.1.0-" in played.output
    assert lab.ask("/version")["version"] == "1.1.0"
    assert lab.running("web") == before
    assert all("-green-" in worker for worker in lab.running("worker"))
    assert len(lab.running("scheduler")) == 1
    assert lab.state()["history"][-1]["outcome"] == "refused"


def test_a_release_that_is_never_ready_is_refused_and_kept_for_a_look_at_it(lab: t.Any) -> None:
    before = lab.running("web")
    played = lab.play("deploy", "-e", "rollout_version=1.2.0", "-e", "rollout_ready_deadline=12")
    assert played.code != 0
    assert "Users noticed nothing: 1.1.0-" in played.output
    assert "It stays in slot blue, for a look at it" in played.output
    assert "503" in played.output
    assert lab.ask("/version")["version"] == "1.1.0"
    assert lab.running("web") == [one for one in before if "-green-" in one]
    for name in lab.group("application"):
        record = json.loads(lab.connect(name).file(f"{STATE}/slots/blue.json").content_string)
        assert record["current"]["release"]["version"] == "1.2.0"
    assert lab.state()["history"][-1]["outcome"] == "refused"
    assert "possible, must start first" in " ".join(lab.play("status").output.split())


def test_roll_back_needs_no_version(lab: t.Any) -> None:
    assert lab.play("roll_back").code == 0
    assert lab.ask("/version")["version"] == "1.0.0"
    assert all("-blue-" in worker for worker in lab.running("worker"))
    assert len(lab.running("scheduler")) == 1


def test_a_second_roll_back_in_a_row_changes_nothing(lab: t.Any) -> None:
    played = lab.play("roll_back")
    assert played.code == 0
    assert not CHANGED.search(played.output)
    assert lab.ask("/version")["version"] == "1.0.0"


def test_a_driver_that_dies_after_its_switch_changes_nothing_for_long(lab: t.Any) -> None:
    # Long enough for somebody to look before they are over.
    short = {"rollout_guard_deadline": 10, "rollout_lease_seconds": 10, "rollout_allow": ["short_guard", "short_lease"]}
    lab.killed("deploy", "-e", "rollout_version=1.1.0", "-e", json.dumps(short), *AWX, after="switch")
    status = lab.play("status")
    assert status.code == 0
    shown = " ".join(status.output.split())
    assert "deploy by kim (AWX job 42) since " in shown
    # On one host for all, the journal of the load balancer has the steps of an application host as well.
    assert re.search(r"(in|after) step (switch|drain|stop|workers)\b", shown)
    assert "traffic returns to blue in " in shown
    says = "the switch of reference to green by kim was not confirmed after 10 s: traffic is back on blue"
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "lease stale: run ", seconds=30)
        lab.wait_for(name, "journalctl -u 'rollout-guard@*' -o cat", says, seconds=5)
        host = lab.connect(name)
        assert host.file(f"{STATE}/traffic.map").content_string == "reference blue:none:0\n"
        assert not host.file(f"{STATE}/intent.json").exists
    assert lab.ask("/version")["version"] == "1.0.0"


def test_the_next_run_just_works(lab: t.Any) -> None:
    # By shares, and with a gate that looks from none of its hosts: all of them wait for it.
    smoke = {"name": "smoke", "type": "command", "command": ["true"]}
    shift = {"rollout_shift": [30, 100], "rollout_shift_seconds": 2, "rollout_gates": {"during_shift": [smoke]}}
    played = lab.play("deploy", "-e", "rollout_version=1.1.0", "-e", json.dumps(shift))
    assert played.code == 0
    assert "smoke: pass (" in played.output
    assert lab.ask("/version")["version"] == "1.1.0"
    assert lab.play("roll_back").code == 0
    assert lab.ask("/version")["version"] == "1.0.0"


def test_users_who_were_taken_back_while_nobody_attended_are_followed_by_work(lab: t.Any) -> None:
    wrong = {
        "name": "right",
        "type": "http",
        "through": "load_balancer",
        "path": "/version",
        "json": "version == 'nobody'",
        "interval": "1 s",
        "failures_at_most": 15,  # it is not refused before the run has ended
    }
    alone = {"rollout_bake_attended": False, "rollout_bake_seconds": 30, "rollout_gates": {"bake": [wrong]}}
    # Another release than the one that a roll back goes to: that one would run on.
    alone["rollout_configuration"] = {"LOG_LEVEL": "debug"}
    assert lab.play("deploy", "-e", "rollout_version=1.1.0", "-e", json.dumps(alone)).code == 0
    unit = "/etc/systemd/system/reference-blue-worker@.service"
    if lab.systemd:  # as an earlier version of the collection wrote it: what starts by it writes it anew
        for name in lab.group("application"):
            lab.connect(name).check_output(f"echo '# Of an earlier version.' >> {unit}")
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", "lease free", seconds=60)
    # Each host by itself; no run comes. What its timer starts once a minute is not waited for (`default` does).
    says = "is stopped, and kept for a look at it in slot green"
    turn = "systemctl start rollout-retire; sleep 3; journalctl -u rollout-retire -o cat"
    for name in lab.group("application"):
        lab.wait_for(name, turn, "users are back on 1.0.0-", says, seconds=150)
        assert not lab.systemd or "Of an earlier version" not in lab.connect(name).check_output(f"cat {unit}")
    assert all("-blue-" in one for one in (*lab.running("web"), *lab.running("worker")))
    assert (len(lab.running("worker")), len(lab.running("scheduler"))) == (len(lab.group("application")), 1)
    assert lab.ask("/version")["version"] == "1.0.0"


def test_the_only_slot_that_answers_keeps_users_and_gets_the_work_until_a_release_comes_that_works(lab: t.Any) -> None:
    # Long enough for the other slot to be down on every host before its guard acts, also where hosts are busy.
    short = {"rollout_guard_deadline": 25, "rollout_lease_seconds": 25, "rollout_allow": ["short_guard", "short_lease"]}
    lab.killed("deploy", "-e", "rollout_version=1.1.0", "-e", json.dumps(short), after="switch")
    lab.stop("blue", "web")
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "INCONSISTENT", "green does: a person must look", seconds=90)
    assert lab.ask("/version")["version"] == "1.1.0"
    assert "blue does not answer and green does: a person must look" in " ".join(lab.play("status").output.split())
    played = lab.play("deploy", "-e", "rollout_version=1.2.0", "-e", "rollout_ready_deadline=12")
    assert played.code != 0
    assert lab.ask("/version")["version"] == "1.1.0"
    assert all("-green-" in worker for worker in lab.running("worker"))
    assert (len(lab.running("worker")), len(lab.running("scheduler"))) == (len(lab.group("application")), 1)
    assert lab.play("deploy", "-e", "rollout_version=1.0.0").code == 0
    assert lab.ask("/version")["version"] == "1.0.0"
    assert all("-blue-" in worker for worker in lab.running("worker"))
    assert (len(lab.running("worker")), len(lab.running("scheduler"))) == (len(lab.group("application")), 1)
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", seconds=5)


def test_a_slot_that_nobody_needs_is_retired_and_can_still_come_back(lab: t.Any) -> None:
    assert lab.play("retire").code == 0
    assert all("-blue-" in web for web in lab.running("web"))
    at_once = {"rollout_version": "1.1.0", "rollout_keep_warm_seconds": 0}
    refused = lab.play("deploy", "-e", json.dumps(at_once))
    assert refused.code != 0
    assert "one_slot in rollout_allow" in refused.output
    assert lab.play("deploy", "-e", json.dumps({**at_once, "rollout_allow": ["one_slot"]})).code == 0
    assert all("-green-" in web for web in lab.running("web"))
    # The timer that stops the slot looks once a minute; the tests that run meanwhile do not void its plan.
    soon = {"rollout_keep_warm_seconds": KEEP_WARM, "rollout_drain_deadline": KEEP_WARM}
    assert lab.play("roll_back", "-e", json.dumps(soon)).code == 0
    assert lab.ask("/version")["version"] == "1.0.0"


def test_status_fits_on_a_screen_and_tells_the_truth(lab: t.Any) -> None:
    played = lab.play("status")
    assert played.code == 0
    shown = played.output[played.output.index("1.0.0 is live in slot blue") :]
    assert "1.1.0-" in shown
    assert len(shown.splitlines()) < 35


def test_provisioning_a_live_fleet_again_changes_nothing(lab: t.Any) -> None:
    played = lab.play("provision")
    assert played.code == 0
    assert not CHANGED.search(played.output)


def test_a_changed_setting_of_the_load_balancer_is_a_reload(lab: t.Any) -> None:
    assert lab.play("provision", "-e", "rollout_ready_path=/health").code == 0
    for name in lab.group("load_balancer"):
        assert "/health" in lab.connect(name).check_output("cat /etc/haproxy/rollout.d/reference.cfg")


def test_a_slot_that_was_kept_warm_for_its_time_stops_by_itself(lab: t.Any) -> None:
    says = f"reference: slot green was kept warm for {KEEP_WARM} s and is retired"
    for name in lab.group("application"):
        lab.wait_for(name, "journalctl -u rollout-retire -o cat", says, seconds=90)
    webs = lab.running("web")
    assert webs
    assert all("-blue-" in web for web in webs)
    assert lab.ask("/version")["version"] == "1.0.0"
    assert lab.play("roll_back").code == 0  # the second one in a row: users get what they got, and nobody is woken up
    assert lab.running("web") == webs


def test_no_request_of_any_user_failed(lab: t.Any) -> None:
    now = str(time.time())
    report = json.loads(lab.verb("load", "report", "--until", now))
    assert report["requests"] > RATE * 20
    assert report["failures"] == 0, report["first_failures"]
