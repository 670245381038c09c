# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A description of gates is understood as a whole, or refused with every problem and its place."""

from __future__ import annotations

import math
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import AtMost

READY: dict[str, t.Any] = {"name": "ready", "type": "http", "path": "/ready"}
TRAFFIC: dict[str, t.Any] = {"name": "errors", "type": "traffic", "at_most": {"error_share": "1 %"}}


def problems(told: t.Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        specification.read(told)
    assert "nothing was changed" in caught.value.what
    return [line.strip(" -") for line in str(caught.value.found).splitlines() if line.strip()]


def test_defaults_are_filled_in_and_units_are_those_of_the_collection() -> None:
    (gate,) = specification.read({"before_switch": [{**READY, "at_most": {"p95": "200 ms", "error_share": "0.1 %"}}]})
    assert (gate.phase, gate.name, gate.type, gate.enforce) == ("before_switch", "ready", "http", True)
    assert gate.at_most == pytest.approx({"p95": 0.2, "error_share": 0.001})
    assert (gate.min_samples, gate.interval, gate.allowed) == (1, 5.0, AtMost(0, 3, None))
    assert (gate.fields["timeout"], gate.fields["samples"], gate.fields["status"]) == (5.0, 3.0, [200])


def test_every_phase_and_type_can_be_described() -> None:
    told = {
        "before_switch": [
            READY | {"json": ["status == 'ready'", "database == 'connected'"], "status": [200, 204]},
            {"name": "smoke", "type": "command", "command": ["pytest", "-m", "smoke"], "timeout": "2 min"},
        ],
        "during_shift": [TRAFFIC | {"worse_than_live_by": {"error_share": "1 %", "p95": "150 %"}, "min_samples": 500}],
        "bake": [
            {"name": "slow", "type": "prometheus", "url": "https://p", "query": "q", "at_most": {"value": 0.5}},
            {"name": "database", "type": "postgres", "at_most": {"connection_share": "80 %", "replication_lag": "5 s"}},
            {"name": "cache", "type": "redis", "at_least": {"hit_share": "60 %"}, "on_inconclusive": "hold"},
            {
                "name": "users",
                "type": "command",
                "command": ["locust", "--headless"],
                "values": {"p95": "stats.p95"},
                "at_most": {"p95": 200},
            },
        ],
        "after_roll_back": [TRAFFIC | {"enforce": False, "no_data_at_most": 10}],
    }
    found = specification.read(told)
    assert [(gate.phase, gate.name) for gate in found] == [
        (phase, gate["name"]) for phase, gates in told.items() for gate in gates
    ]
    assert {gate.type for gate in found} == set(specification.TYPES)
    assert specification.read({}) == []


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (READY | {"type": "htttp"}, "there is no type htttp, did you mean http?"),
        (READY | {"timeot": "5 s"}, "a gate of type http has no timeot, did you mean timeout?"),
        (READY | {"timeout": 5}, "timeout: expected a number with one of the units"),
        (TRAFFIC | {"worse_than_live_by": {"p99": "20 %"}}, "there is no limit p99, did you mean p95?"),
        (READY | {"at_most": {"p95": 200}}, "at_most.p95: expected a number with one of the units"),
        (
            READY | {"at_most": {"errorshare": "1 %"}},
            "at_most: there is no limit errorshare, did you mean error_share?",
        ),
        (READY | {"at_most": "1 s"}, "at_most: expected limits by name, found '1 s'"),
        (READY | {"json": "status =="}, "json: status ==: the expression ends too early"),
        (READY | {"json": "nonsense(status)"}, "json: nonsense(status): unknown function nonsense"),
        (READY | {"json": [1]}, "json: expected JMESPath expressions, found a list"),
        (READY | {"url": "http://a"}, "expected exactly one of url, path"),
        ({"name": "ready", "type": "http"}, "expected exactly one of url, path"),
        (READY | {"status": 42}, "status: expected statuses of HTTP, 100 to 599, found 42"),
        (
            READY | {"method": "GOT"},
            "method: expected GET or HEAD or POST or PUT or PATCH or DELETE or OPTIONS, found GOT, did you mean GET?",
        ),
        (READY | {"enforce": "no"}, "enforce: expected true or false, found 'no'"),
        (READY | {"min_samples": 0}, "min_samples: expected 1 or more: what was not seen is no pass"),
        (READY | {"samples": 0}, "samples: expected 1 to 10000"),
        (READY | {"concurrency": 500}, "concurrency: expected 1 to 100"),
        (READY | {"deadline": "1 s"}, "deadline: expected at least the timeout"),
        (READY | {"method": "HEAD", "text": "ok"}, "method: the answer to HEAD has no body"),
        (READY | {"through": "load_balancer", "min_samples": 9}, "min_samples: expected at most 3"),
        (READY | {"status": 200.5}, "status: expected statuses of HTTP"),
        (READY | {"interval": "0 s"}, "interval: expected more than 0 s"),
        (READY | {"on_inconclusive": "wait"}, "on_inconclusive: expected extend or hold or revert, found wait"),
        (READY | {"failures_at_most": "two"}, "failures_at_most: expected a number without a unit"),
        ({"type": "traffic", "at_most": {"error_share": "1 %"}}, "gate 1: name is missing"),
        (TRAFFIC | {"at_most": {"error_share": "120 %"}}, "found 120 % (more than 100 %)"),
        (
            {"name": "d", "type": "postgres", "query": "select 1", "at_most": {"invalid_indexes": 0}},
            "query needs expected",
        ),
        ({"name": "c", "type": "redis", "at_most": {"queue_length": 100}}, "queue_length needs queue"),
        (
            {"name": "c", "type": "command", "command": ["k6"], "values": {"p95": "p95"}, "at_most": {"p99": 1}},
            "the limit p99 is about no value; values has p95",
        ),
        (
            {
                "name": "p",
                "type": "prometheus",
                "url": "u",
                "query": "q",
                "at_most": {"value": 1},
                "at_least": {"value": 2},
            },
            "value: at_least is more than at_most: nothing could pass",
        ),
        ({"name": "p", "type": "prometheus", "url": "http://p"}, "query is missing"),
        ({"name": "p", "type": "prometheus", "url": "u", "query": "q"}, "expected a limit (value): nothing could fail"),
        ({"name": "e", "type": "traffic"}, "expected a limit (error_share, response_4xx_share"),
        ({"name": "d", "type": "postgres", "min_samples": 2}, "expected 1: a look of this type is one sample"),
        ({"name": "c", "type": "redis", "min_samples": 500}, "min_samples: expected at_least.hit_share, too"),
        ({"name": "c", "type": "redis", "timeout": "0 s"}, "timeout: expected more than 0 s"),
        (
            {"name": "p", "type": "prometheus", "url": "u", "query": "q", "user": "u", "at_most": {"value": 1}},
            "user needs secret_password",
        ),
        (
            {"name": "c", "type": "command", "command": ["k6"], "values": {"p95": "p95["}, "at_most": {"p95": 1}},
            "p95[: ",
        ),
        (
            {"name": "p", "type": "prometheus", "url": "u", "query": "q", "at_most": {"value": math.nan}},
            "at_most.value: expected a number, found nan",
        ),
        (
            {"name": "p", "type": "prometheus", "url": "u", "query": "q", "at_least": {"value": -math.inf}},
            "at_least.value: expected a number, found -inf",
        ),
        (
            {"name": "c", "type": "redis", "queue": "q", "at_most": {"queue_length": "9" * 400}},
            "a number that is too large",
        ),
        ({"name": "c", "type": "redis", "at_most": {"memory": 1000}}, "at_most.memory: expected a number with one"),
        (READY | {"body": "a", "secret_body": "b"}, "expected one of body, secret_body"),
        (
            {"name": "d", "type": "postgres", "query": "show server_version", "expected": "16"},
            "query: expected one that begins with select, with, values or table",
        ),
        ("ready", "gate 1: expected a gate with a name and a type, found 'ready'"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(gate: t.Any, problem: str) -> None:
    (found,) = problems({"bake": [gate]})
    assert found.startswith("rollout_gates.bake, gate ")
    assert problem in found


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (
            [READY],
            "expected lists of gates by phase (before_switch, during_shift, bake, after_roll_back), found a list",
        ),
        (None, "found nothing"),
        ({"baking": [READY]}, "there is no phase baking, did you mean bake?"),
        ({"bake": READY}, "rollout_gates.bake: expected a list of gates, found a dict"),
        ({"bake": "ready"}, "rollout_gates.bake: expected a list of gates, found 'ready'"),
        ({"bake": [READY, READY]}, "another gate of this phase has the same name"),
        ({"bake": [READY | {"ca_path": "p.pem"}]}, "ca_path: expected a path that begins with /, found p.pem"),
    ],
)
def test_what_is_no_list_of_gates_by_phase_is_told(told: t.Any, problem: str) -> None:
    (found,) = problems(told)
    assert problem in found


def test_every_problem_is_told_at_once() -> None:
    found = problems({"bake": [READY | {"timeout": 5, "interval": 2}, TRAFFIC | {"enforce": 1}], "baking": []})
    assert len(found) == 4


def test_the_same_name_may_stand_in_two_phases() -> None:
    assert len(specification.read({"before_switch": [READY], "bake": [READY]})) == 2


@pytest.mark.parametrize(
    "gate",
    [
        READY | {"secret_headers": "Bearer s3cr3t"},
        READY | {"secret_headers": {"Authorization": 7, "X": "s3cr3t"}},
        {"name": "p", "type": "prometheus", "url": "u", "query": "q", "secret_password": ["s3cr3t"]},
    ],
)
def test_no_problem_repeats_a_secret(gate: dict[str, t.Any]) -> None:
    (found,) = problems({"bake": [gate]})
    assert "s3cr3t" not in found
    assert "secret_" in found


@pytest.mark.parametrize(
    "query", ["select 1", "(SELECT 1)", "-- why\nselect 1", "/* a\nb */ with x as (select 1) table x"]
)
def test_a_query_that_can_stand_in_the_place_of_a_table_is_taken(query: str) -> None:
    [gate] = specification.read({"bake": [{"name": "d", "type": "postgres", "query": query, "expected": "1"}]})
    assert gate.fields["query"] == query
