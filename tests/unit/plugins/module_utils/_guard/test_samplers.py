# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks for the gates of a load balancer, told by a HAProxy that is not there; Molecule asks a real one."""

from __future__ import annotations

import functools
import re
import types
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import Times
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.traffic import Slots
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import samplers
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.driver import Counted
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.haproxy import RuntimeApi

PLACE = samplers.Place("shop", Slots("green", "blue"), "https://shop.example.com/ready", {})


def server(
    name: str, answers: int, errors: int = 0, connections: int = 0, slot: str = "green", took: int = 0
) -> dict[str, str]:
    told = {"pxname": f"shop_{slot}", "svname": name, "status": "UP", "addr": f"10.0.0.11:{18000 + len(name)}"}
    counted = {"hrsp_2xx": answers - errors, "hrsp_5xx": errors, "econ": connections, "rtime": took}
    return {**told, **{key: str(count) for key, count in counted.items()}}


def answered(name: str, times: list[int]) -> dict[str, str]:
    """A server that has given these answers, with the average that HAProxy tells of their times (freq_ctr.h)."""
    total = 0
    for took in times:
        total += took - (total + 511) // 512
    samples = min(len(times), 512)
    return server(name, len(times), took=(total + samples - 1) // samples)


def haproxy(*rows: dict[str, str]) -> t.Any:
    api = types.SimpleNamespace(statistics=lambda: list(rows), path="/run/haproxy/admin.sock", name="HAProxy")
    api.servers = functools.partial(RuntimeApi.servers, api)
    return api


def gate(**told: t.Any) -> specification.GateSpecification:
    return specification.read({"bake": [{"name": "ready", "type": "http", **told}]})[0]


def test_the_instances_with_most_errors_since_the_watch_began_are_named_the_worst_first() -> None:
    api = haproxy(server("a", 900, 800), server("b", 0), server("c", 0), server("x", 0, slot="blue"))
    worst = samplers._blame(samplers._Here(PLACE, Times(1, 1), api))
    assert worst(False) == []
    now = [server("a", 1000, 801), server("b", 40, 12, 3), server("c", 50), server("x", 90, 90, slot="blue")]
    api.statistics = lambda: now
    assert worst(False) == [
        "b: 12 of its 40 answers were errors, 3 connections failed",
        "a: 1 of its 100 answers were errors, 0 connections failed",
    ]


def test_the_slowest_instances_are_named_and_none_that_is_twice_as_fast() -> None:
    api = haproxy(server("a", 0), server("b", 0), server("c", 0), server("d", 0))
    worst = samplers._blame(samplers._Here(PLACE, Times(1, 1), api))
    api.statistics = lambda: [answered("a", [12] * 60), answered("b", [1003] * 60), answered("c", [1999] * 60)]
    assert worst(True) == [
        "c: its 60 answers took 1999 ms on average",
        "b: its 60 answers took 1003 ms on average",
    ]
    api.statistics = lambda: [server("a", 90), server("b", 90)]  # nobody measures
    assert worst(True) == []


def test_what_was_answered_before_the_watch_began_counts_from_the_switch_on() -> None:
    api = haproxy(server("a", 400, 12), server("b", 300), answered("c", [2000] * 80))
    place = PLACE._replace(instances={"a": Counted(390, 10, 0, 5), "b": Counted(5000, 5000)})  # b: HAProxy was reloaded
    worst = samplers._blame(samplers._Here(place, Times(1, 1), api))
    assert worst(False) == ["a: 2 of its 10 answers were errors, 0 connections failed"]
    assert worst(True) == ["c: its 80 answers took 2000 ms on average"]


def test_what_was_slow_in_an_earlier_release_is_not_named() -> None:
    earlier = {"a": [2000] * 200, "b": [8] * 3000}
    api = haproxy(*(answered(name, times) for name, times in earlier.items()))
    worst = samplers._blame(samplers._Here(PLACE, Times(1, 1), api))
    assert worst(True) == []
    api.statistics = lambda: [answered("a", [*earlier["a"], *[8] * 60]), answered("b", [*earlier["b"], *[2000] * 60])]
    (told,) = worst(True)
    found = re.fullmatch(r"b: its 60 answers took (\d+) ms on average", told)
    assert found and 1980 <= int(found[1]) <= 2020, told


def test_a_gate_asks_the_instances_of_the_candidate_or_what_users_ask() -> None:
    api = haproxy(server("a", 1), server("bb", 1), server("x", 1, slot="blue"))
    assert samplers.http_targets(gate(path="/ready"), PLACE, api) == [
        ("a", "http://10.0.0.11:18001/ready"),
        ("bb", "http://10.0.0.11:18002/ready"),
    ]
    through = gate(path="/login", through="load_balancer")
    assert samplers.http_targets(through, PLACE, api) == [("load balancer", "https://shop.example.com/login")]
    assert samplers.http_targets(gate(url="http://other:81/x"), PLACE, api) == [("other:81", "http://other:81/x")]
    with pytest.raises(NotFound, match="no instance to ask"):
        samplers.http_targets(gate(path="/ready"), PLACE, haproxy())
