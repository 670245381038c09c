# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters probation and host_questions: application hosts know whom to ask, and are asked before it matters."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.host_questions import host_questions
from ansible_collections.vitalops.rollout.plugins.filter.probation import probation
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.probation import plan as keep
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.probation import read
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.plugin_utils._probation import pointer_places, untold_pointers

PLAN: dict[str, t.Any] = {
    "operation": "deploy",
    "slot": "green",
    "release": {"id": "1.1.0-bbb"},
    "previous_slot": "blue",
    "previous_release": {"id": "1.0.0-aaa"},
    "kept_release_id": "0.9.0-ccc",
    "moves": True,
}
HOSTS: dict[str, t.Any] = {
    "lb1": {"rollout_address": "192.0.2.10", "group_names": ["load_balancer"]},
    "lb2": {"ansible_host": "2001:db8::2", "rollout_public_port": "8080", "group_names": ["load_balancer"]},
    "app1": {"rollout_address": "192.0.2.21", "group_names": ["application"]},
    "data1": {"group_names": ["postgres"]},
}
ALONE = {"rollout_bake_seconds": 60, "rollout_bake_attended": "no", "rollout_gates": {}}


def test_what_a_host_is_told_is_what_it_can_read(tmp_path: t.Any) -> None:
    told = probation(PLAN, HOSTS, ["lb1", "lb2"], ["worker"], "180", "20")
    assert told is not None
    keep(str(tmp_path), Run("run-kim", 1, "deploy", "kim", "AWX job 42"), told, _clock())
    found = read(str(tmp_path))
    assert found is not None
    assert (found.slot, found.release_id, found.kept_release_id) == ("green", "1.1.0-bbb", "0.9.0-ccc")
    assert (found.previous_slot, found.previous_release_id, found.kinds) == ("blue", "1.0.0-aaa", ("worker",))
    assert found.load_balancers == {"lb1": "192.0.2.10:80", "lb2": "[2001:db8::2]:8080"}
    assert (found.withholds, found.drain_seconds) == (True, 20.0)
    assert found.seconds >= 180 + 60


def _clock() -> Clock:
    return Clock(boottime=lambda: 100.0, boot_id=lambda: "kernel:1")


@pytest.mark.parametrize("change", [{"moves": False}, {"previous_release": None}])
def test_where_users_come_from_nowhere_nothing_follows(change: dict[str, t.Any]) -> None:
    assert probation({**PLAN, **change}, HOSTS, ["lb1"], ["worker"], 180, 20) is None


class Templated(dict[str, t.Any]):
    """Variables of a load balancer that only its own role can template."""

    def get(self, *_of: t.Any) -> t.Any:
        raise AnsibleError("ansible_facts is undefined")


def test_load_balancers_that_cannot_be_found_are_told_before_a_deploy_and_stop_none_that_has_switched() -> None:
    hosts = {**HOSTS, "lb2": Templated(group_names=["load_balancer"])}
    assert probation(PLAN, hosts, ["lb1", "lb2"], ["worker"], 180, 20) is None
    with pytest.raises(AnsibleError, match="undefined"):
        host_questions(hosts, "app1", ["lb2", "app1"], {"rollout_gates": {}})


def test_one_load_balancer_that_answers_for_another_is_not_believed() -> None:
    shared = {name: {"load_balancer_bind_address": "192.0.2.99"} for name in ("lb1", "lb2")}
    assert probation(PLAN, shared, ["lb1", "lb2"], ["worker"], 180, 20) is None
    assert probation(PLAN, shared, ["lb1"], ["worker"], 180, 20) is not None


def test_what_a_roll_back_leaves_is_not_stopped() -> None:
    told = probation({**PLAN, "operation": "roll_back"}, HOSTS, ["lb1"], ["worker"], 180, 20)
    assert told is not None
    assert told["withholds"] is False


@pytest.mark.parametrize("wrong", [{}, {"previous_release": {"id": "x"}, "moves": True}, "plan"])
def test_another_shape_is_refused(wrong: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a plan"):
        probation(wrong, HOSTS, ["lb1"], ["worker"], 180, 20)


@pytest.mark.parametrize(
    ("bound", "place"),
    [
        ("[fd00::9]", "[fd00::9]:80"),
        (None, "192.0.2.10:80"),
        ("*", "192.0.2.10:80"),
        ("::", "192.0.2.10:80"),
        ("192.0.2.99", "192.0.2.99:80"),
    ],
)
def test_a_load_balancer_is_asked_where_it_listens(bound: str | None, place: str) -> None:
    variables = {"lb1": {**HOSTS["lb1"], "load_balancer_bind_address": bound}}
    assert pointer_places(variables, ["lb1"]) == {"lb1": place}


@pytest.mark.parametrize(
    ("host", "change", "asked"),
    [
        ("app1", {}, {"lb1": "192.0.2.10:80", "lb2": "[2001:db8::2]:8080"}),
        ("lb1", {}, {}),
        ("data1", {}, {}),
        ("app1", {"rollout_bake_attended": True}, {}),
        ("app1", {"rollout_bake_seconds": 0}, {}),
    ],
)
def test_application_hosts_ask_where_nobody_attends(host: str, change: t.Any, asked: t.Any) -> None:
    assert host_questions(HOSTS, host, [*HOSTS], {**ALONE, **change})["load_balancers"] == asked


@pytest.mark.parametrize(
    ("gates", "paths"),
    [
        ({"bake": [{"ca_path": "/b.pem"}, {}], "before_switch": [{"ca_path": "/a.pem"}]}, ["/a.pem", "/b.pem"]),
        ({"bake": [{"ca_path": "/b.pem"}, {"ca_path": "/b.pem"}]}, ["/b.pem"]),
        ({"bake": [{"ca_path": 5}, "smoke", None]}, []),
        ({"bake": {"ca_path": "/b.pem"}}, []),
        ({"bake": "smoke"}, []),
        (["smoke"], []),
        (None, []),
    ],
)  # fmt: skip
def test_every_host_is_asked_for_the_authorities_of_gates(gates: t.Any, paths: list[str]) -> None:
    assert host_questions(HOSTS, "data1", [*HOSTS], {"rollout_gates": gates})["authorities"] == paths


def test_hosts_of_another_shape_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="wrong shape"):
        host_questions({"app1": []}, "app1", ["app1"], ALONE)


def test_who_cannot_ask_is_told_with_what_to_do() -> None:
    places = {"lb1": "192.0.2.10:80", "lb2": "192.0.2.11:80"}
    told = {"app1": {"lb1": None, "lb2": "status 404"}, "app2": {"lb1": None, "lb2": None}}
    (one,) = map(str, untold_pointers(told, places))
    assert "app1: lb2 at 192.0.2.11:80: status 404" in one
    assert "app2" not in one
    assert "load_balancer_pointer_networks" in one
    assert [*untold_pointers({"app1": {"lb1": None}}, places)] == []


def test_load_balancers_at_one_address_cannot_be_told_apart() -> None:
    (one,) = map(str, untold_pointers({}, {"lb1": "192.0.2.99:80", "lb2": "192.0.2.99:80", "lb3": "192.0.2.3:80"}))
    assert "found: 192.0.2.99:80 for lb1, lb2" in one
