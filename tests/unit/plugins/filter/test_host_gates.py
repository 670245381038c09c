# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates look from where they can see; a gate that cannot, or that would prove nothing, is refused before a run."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.command_hosts import command_hosts
from ansible_collections.vitalops.rollout.plugins.filter.host_gates import host_gates
from ansible_collections.vitalops.rollout.plugins.filter.planned_gates import planned_gates
from ansible_collections.vitalops.rollout.plugins.filter.watch_hosts import watch_hosts
from ansible_collections.vitalops.rollout.plugins.filter.watchers import watchers
from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_problems import gate_problems, missing_authorities

TRAFFIC = {"name": "errors", "type": "traffic", "at_most": {"error_share": "1 %"}}
READY = {"name": "ready", "type": "http", "path": "/ready"}
SITE = {"name": "site", "type": "http", "path": "/", "through": "load_balancer"}
DATABASE = {"name": "database", "type": "postgres"}
CACHE = {"name": "cache", "type": "redis"}
QUERY = {"name": "alerts", "type": "prometheus", "url": "http://p:9090", "query": "up", "at_least": {"value": 1}}
LOAD = {"name": "load", "type": "command", "command": ["locust"], "host": "tester1"}
SMOKE = {"name": "smoke", "type": "command", "command": ["pytest"]}
ALL = [TRAFFIC, READY, SITE, DATABASE, CACHE, QUERY, LOAD, SMOKE]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("lb1", ["errors", "ready", "site", "alerts"]),
        ("lb2", ["errors", "site"]),
        ("app1", ["database", "cache"]),
        ("app2", []),
        ("tester1", ["load"]),
        ("localhost", ["smoke"]),
    ],
)
def test_each_gate_looks_from_where_it_can_see(host: str, expected: list[str]) -> None:
    told = host_gates({"bake": ALL}, "bake", host, ["lb1", "lb2"], ["app1", "app2"])
    assert [gate["name"] for gate in told] == expected
    assert host_gates({"bake": ALL}, "before_switch", host, ["lb1", "lb2"], ["app1", "app2"]) == []


def test_a_load_balancer_that_is_left_alone_looks_through_every_gate_that_it_can() -> None:
    told = host_gates({"bake": ALL[:3]}, "bake", "lb2", ["lb1", "lb2"], ["app1"], alone=True)
    assert [gate["name"] for gate in told] == ["errors", "ready", "site"]


@pytest.mark.parametrize(("host", "expected"), [("lb1", ["errors", "ready", "site", "alerts"]), ("app1", [])])
def test_before_a_bake_only_load_balancers_look_through_what_needs_no_run(host: str, expected: list[str]) -> None:
    told = host_gates({"bake": ALL}, "bake", host, ["lb1"], ["app1"], without_a_run=True)
    assert [gate["name"] for gate in told] == expected
    together = host_gates({"bake": ALL}, "bake", "one", ["one"], ["one"], without_a_run=True)
    assert [gate["name"] for gate in together] == ["errors", "ready", "site", "alerts"]


def test_every_load_balancer_watches_and_who_has_a_gate() -> None:
    fleet = (["lb1", "lb2"], ["app1", "app2"])
    assert watchers({"bake": ALL}, "bake", *fleet) == ["lb1", "lb2", "app1", "localhost", "tester1"]
    assert watchers({"bake": [READY]}, "bake", *fleet) == ["lb1", "lb2"]
    assert watchers({"bake": [DATABASE]}, "bake", ["one"], ["one"]) == ["one"]


def test_one_host_looks_at_everything() -> None:
    assert len(host_gates({"bake": ALL[:6]}, "bake", "one", ["one"], ["one"])) == 6


def test_hosts_that_run_commands_are_named_once() -> None:
    assert command_hosts({"bake": [LOAD, TRAFFIC], "before_switch": [LOAD, SMOKE]}) == ["localhost", "tester1"]
    assert command_hosts({}) == []


def test_a_phase_without_gates_has_no_hosts() -> None:
    fleet = {"load_balancer": ["lb1"], "application": ["app1"]}
    hostvars: dict[str, t.Any] = {"lb1": {"rollout_gates": {"bake": [TRAFFIC]}}, "app1": {}}
    assert watch_hosts(fleet, hostvars, "bake") == "load_balancer:application"
    assert watch_hosts({**fleet, "rollout_gate_hosts": ["tester1"]}, hostvars, "bake").endswith(":rollout_gate_hosts")
    assert watch_hosts(fleet, hostvars, "before_switch") == "all:!all"
    assert watch_hosts(fleet, {"lb1": {}}, "bake") == watch_hosts({}, {}, "bake") == "all:!all"


def test_what_is_no_list_by_phase_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="found list"):
        host_gates(t.cast(t.Any, [TRAFFIC]), "bake", "lb1", [], [])
    with pytest.raises(AnsibleFilterError, match="found str"):
        command_hosts(t.cast(t.Any, "errors"))


def found(gates: dict[str, t.Any], **variables: t.Any) -> list[str]:
    return [str(one) for one in gate_problems({"rollout_gates": gates, **variables}, ["lb1", "tester1"])]


STORES = {"rollout_database": {"host": "data1"}, "rollout_redis": {"host": "data1"}}


def test_gates_that_can_look_are_no_problem() -> None:
    before = [READY, DATABASE, CACHE, QUERY, LOAD, SMOKE]
    assert found({"bake": ALL, "before_switch": before}, rollout_bake_seconds=60, **STORES) == []
    assert found({"bake": [TRAFFIC, READY]}, rollout_bake_seconds="60", rollout_bake_attended=False) == []
    assert found({}) == []


@pytest.mark.parametrize(
    ("gates", "variables", "says"),
    [
        ({"bake": [TRAFFIC]}, {}, "found: no rollout_bake_seconds"),
        ({"before_switch": [READY]}, {"rollout_bake_seconds": 60}, "found: no gate"),
        ({}, {"rollout_shift": [50, 100]}, "found: no gate"),
        ({"during_shift": [DATABASE]}, {"rollout_shift": [50, 100]}, "expected: rollout_database with host"),
        ({}, {"rollout_shift": [50, 25, 100]}, "found: [50, 25, 100]"),
        ({}, {"rollout_shift": [5]}, "shares that grow and end with 100"),
        ({"after_roll_back": [TRAFFIC]}, {}, "found: no rollout_after_roll_back_seconds"),
        ({"before_switch": [DATABASE]}, {}, "expected: rollout_database with host"),
        ({"before_switch": [CACHE]}, {"rollout_redis": {"port": 1}}, "expected: rollout_redis with host"),
        ({"before_switch": [{**LOAD, "host": "tester9"}]}, {}, "found: tester9"),
        (
            {"bake": [SMOKE]},
            {"rollout_bake_seconds": 60, "rollout_bake_attended": False},
            "expected: gates of the types http, traffic, prometheus",
        ),
        ({"before_switch": [TRAFFIC]}, {}, "users do not have the release yet"),
        ({"before_switch": [SITE]}, {}, "found: http through the load balancer"),
        ({"during_shift": [SITE]}, {"rollout_shift": [5, 100]}, "what answers there is one slot or the other"),
        (
            {"after_roll_back": [{**TRAFFIC, "worse_than_live_by": {"p95": "9 %"}}]},
            {"rollout_after_roll_back_seconds": 9},
            "the release that was left is no measure",
        ),
        (
            {"bake": [TRAFFIC]},
            {"rollout_bake_seconds": 9, "rollout_bake_attended": False, "rollout_guard": False},
            "guard",
        ),
        ({"before_switch": [{**READY, "paht": "/"}]}, {}, "has no paht, did you mean path?"),
        ({"before_switch": [{**READY, "path": "ready"}]}, {}, "expected a path that begins with /, found ready"),
        ({"before_switch": [{**READY, "path": None, "url": "ftp://x/"}]}, {}, "the scheme 'ftp'"),
        ({"before_switch": [{**QUERY, "url": "prometheus:9090"}]}, {}, "cannot be asked"),
        ({"before_switch": [{**SMOKE, "interval": "5 s"}]}, {}, "a gate of type command looks once"),
        ({"during_shift": [TRAFFIC]}, {"rollout_shift": [0.5, 100]}, "whole shares that grow"),
        ({"during_shift": [TRAFFIC]}, {"rollout_shift": ["5 %", 100]}, "whole shares that grow"),
        ({"bake": [{**TRAFFIC, "interval": "10 h"}]}, {"rollout_bake_seconds": 600}, "an interval of at most 600 s"),
        (
            {"before_switch": [{**READY, "interval": "6 min"}]},
            {"rollout_before_switch_seconds": 300},
            "at most 300 s, which is rollout_before_switch_seconds",
        ),
    ],
)
def test_a_gate_that_proves_nothing_is_told(gates: dict[str, t.Any], variables: dict[str, t.Any], says: str) -> None:
    (one,) = found(gates, **variables)
    assert says in one


def test_a_plan_names_its_gates_in_the_order_in_which_they_look() -> None:
    gates = {"bake": [TRAFFIC, {**READY, "enforce": False}], "before_switch": [SMOKE], "after_roll_back": [READY]}
    seconds = {"bake": 600, "during_shift": "60", "after_roll_back": 1800}
    names = f"{TRAFFIC['name']} (traffic), {READY['name']} (http, not enforced)"
    assert planned_gates(gates, "deploy", seconds=seconds) == [
        f"Before the switch pass: {SMOKE['name']} (command).",
        f"Bake for 600 s while the run looks on: {names}.",
    ]
    alone = planned_gates({"bake": [TRAFFIC]}, "deploy", seconds=seconds, attended=False)
    assert "without this run; " in alone[0]
    assert "take it back, and work follows within a minute" in alone[0]
    assert planned_gates({"during_shift": [TRAFFIC]}, "deploy", [5, 25, 100], seconds) == [
        f"Give it to 5 %, 25 % and 100 % of the users, each share for 60 s: {TRAFFIC['name']} (traffic)."
    ]
    assert planned_gates(gates, "roll_back", seconds=seconds) == [f"Watch it for 1800 s: {READY['name']} (http)."]
    assert planned_gates(gates, "retire") == []
    with pytest.raises(AnsibleFilterError, match="expected lists of gates by phase"):
        planned_gates(t.cast(t.Any, [TRAFFIC]), "deploy")


TRUST = {**QUERY, "url": "https://p:9090", "ca_path": "/etc/ssl/p.pem"}
EDGE = {**SITE, "ca_path": "/etc/ssl/edge.pem"}


def untrusted(gates: dict[str, t.Any], told: dict[str, dict[str, str | None]], **variables: t.Any) -> list[str]:
    each = {"rollout_gates": gates, "rollout_public_url": "https://127.0.0.1/ready", **variables}
    return [str(one) for one in missing_authorities(each, told, ["lb1", "lb2"])]


def test_authorities_count_where_a_gate_looks() -> None:
    good: dict[str, dict[str, str | None]] = {"lb1": {"/etc/ssl/p.pem": None, "/etc/ssl/edge.pem": None}}
    nothing = {"/etc/ssl/p.pem": "nothing", "/etc/ssl/edge.pem": "nothing"}
    gates = {"bake": [TRUST, READY, TRAFFIC]}
    alone = {"rollout_bake_seconds": 60, "rollout_bake_attended": False}
    assert untrusted(gates, {**good, "lb2": {**nothing}}) == []
    assert untrusted({"before_switch": [TRUST]}, {**good, "lb2": {**nothing}}, **alone) == []
    (left,) = untrusted(gates, {**good, "lb2": {**nothing}}, **alone)
    assert "where: lb2, rollout_gates.bake, gate alerts\n" in left
    (each,) = untrusted({"bake": [EDGE]}, {**good, "lb2": {**nothing}})
    assert "where: lb2, rollout_gates.bake, gate site\n" in each
    assert untrusted({"bake": [EDGE]}, good) == []  # what is not known of lb2 is told by others


def test_a_file_that_several_gates_miss_is_told_once_with_what_to_type() -> None:
    gates = {"before_switch": [TRUST], "bake": [TRUST, EDGE]}
    (one,) = untrusted(gates, {"lb1": {"/etc/ssl/p.pem": "nothing"}})
    assert one.splitlines()[1:] == [
        "  expected: certificates of authorities in PEM format in /etc/ssl/p.pem, on the host that looks",
        "  found: nothing",
        "  where: lb1, rollout_gates.before_switch, gate alerts; lb1, rollout_gates.bake, gate alerts",
        "  next: put the file there, or correct ca_path; to see what is there: "
        "ansible lb1 -i INVENTORY -b -a 'ls -l /etc/ssl/p.pem'",
    ]


@pytest.mark.parametrize(
    "gate",
    [
        {**TRUST, "url": "http://p:9090"},
        {**READY, "ca_path": "/etc/ssl/p.pem"},
        {**EDGE, "ca_path": "/etc/ssl/p.pem"},
    ],
)
def test_who_asks_without_tls_needs_no_authority(gate: dict[str, t.Any]) -> None:
    told: dict[str, dict[str, str | None]] = {"lb1": {"/etc/ssl/p.pem": "nothing"}}
    assert untrusted({"bake": [gate]}, told, rollout_public_url="http://127.0.0.1/ready") == []


def test_a_file_in_a_folder_that_a_watch_has_for_itself_is_refused() -> None:
    (one,) = untrusted({"bake": [{**TRUST, "ca_path": "/tmp/p.pem"}]}, {"lb1": {"/tmp/p.pem": None}})
    assert "a watch has a folder of its own there" in one
