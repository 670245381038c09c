# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a load balancer may be damaged, missing, newer or another run's: a deploy is refused, nothing is lost.

A clock that jumps cannot be made real here, for all hosts share the machine's clock; unit tests of _state do that.
"""

from __future__ import annotations

import contextlib
import json
import time
import typing as t

import pytest

STATE = "/var/lib/rollout/reference"
LIVE = ("-e", "rollout_version=1.0.0")
NIGHT_SHIFT = {"id": "night-shift-7", "epoch": 0, "operation": "deploy", "actor": "kim", "source": "AWX job 7"}
REASON = ("-e", "rollout_reason='the job hangs'")


@pytest.fixture(autouse=True)
def nothing_changes(lab: t.Any) -> t.Iterator[None]:
    before, state = lab.fingerprint(), lab.state()
    yield
    assert (lab.fingerprint(), lab.state()) == (before, state)


@pytest.fixture
def host(lab: t.Any) -> t.Any:
    """The first load balancer."""
    return lab.connect(lab.group("load_balancer")[0])


def step(host: t.Any, name: str, **parameters: t.Any) -> dict[str, t.Any]:
    """A step of another run, whose controller may have the same name: the program is asked as a run asks it."""
    protocol = int(host.check_output("rollout-guard --version").rpartition(" ")[2])
    request = {"protocol": protocol, "application": "reference", "environment": "lab", "step": name}
    request |= {"run": NIGHT_SHIFT, "parameters": parameters}
    answer: dict[str, t.Any] = json.loads(host.check_output("echo %s | rollout-guard step", json.dumps(request)))
    assert not answer.get("failed"), answer
    return answer


def refused(lab: t.Any, *parts: str, arguments: t.Sequence[str] = ()) -> None:
    played = lab.play("deploy", *LIVE, *arguments)
    assert played.code != 0
    for part in parts:
        assert part in played.output


def test_a_second_run_is_refused_at_once_and_says_who_holds_it_and_for_how_long(lab: t.Any, host: t.Any) -> None:
    step(host, "begin", lease_seconds=120)
    take_over = ("-e", "rollout_break_lease=night-shift-7")
    refused(lab, "Another run changes reference now: deploy by kim (AWX job 7)", " s left", take_over[1])
    refused(lab, "needs a reason", arguments=take_over)
    refused(lab, "not the one that holds", arguments=("-e", "rollout_break_lease=day-shift", *REASON))
    taken = lab.play("deploy", *LIVE, *take_over, *REASON)
    assert taken.code == 0
    assert "Broke the lease of run night-shift-7 (deploy by kim, AWX job 7): the job hangs" in taken.output
    assert "the job hangs" in host.check_output(f"cat {STATE}/journal.ndjson")


def test_a_lease_whose_time_is_over_is_taken_over_and_that_is_said(lab: t.Any, host: t.Any) -> None:
    step(host, "begin", lease_seconds=1)
    time.sleep(1.5)
    played = lab.play("deploy", *LIVE)
    assert played.code == 0
    assert "Took over the lease of run night-shift-7 (deploy by kim, AWX job 7), whose time was over" in played.output


@pytest.mark.parametrize("file", ["state.json", "lease.json", "intent.json"])
def test_garbage_in_a_state_file_is_refused_with_the_file_and_what_to_do(lab: t.Any, host: t.Any, file: str) -> None:
    with changed(host, file, "{garbage"):
        refused(lab, "A state file is damaged", f"mv {STATE}/{file} {STATE}/{file}.damaged")


def test_a_file_of_a_newer_collection_is_refused(lab: t.Any, host: t.Any) -> None:
    newer = json.dumps({**lab.state(), "schema": 99})
    with changed(host, "state.json", newer):
        refused(lab, "newer", "99", f"{STATE}/state.json")


def test_a_state_folder_that_is_gone_is_refused(lab: t.Any, host: t.Any) -> None:
    host.check_output(f"mv {STATE} {STATE}.away")
    try:
        refused(
            lab, "There is no traffic map for reference on this host", "ansible-playbook vitalops.rollout.provision"
        )
    finally:
        host.check_output(f"rm -rf {STATE}; mv {STATE}.away {STATE}")


def test_a_state_folder_that_takes_no_file_is_refused_before_anything_changes(lab: t.Any, host: t.Any) -> None:
    host.check_output(f"mount --bind {STATE} {STATE} && mount -o remount,ro,bind {STATE}")
    try:
        refused(lab, "read-only", STATE)
    finally:
        host.check_output(f"umount {STATE}")


@contextlib.contextmanager
def changed(host: t.Any, file: str, content: str) -> t.Iterator[None]:
    """*file* has *content* for as long as that lasts."""
    path = f"{STATE}/{file}"
    host.check_output(f"if [ -e {path} ]; then cp -a {path} /root/kept; fi")
    host.check_output(f"printf %s %s > {path}", "%s", content)
    try:
        yield
    finally:
        host.check_output(f"if [ -e /root/kept ]; then mv /root/kept {path}; else rm {path}; fi")
