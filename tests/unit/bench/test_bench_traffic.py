# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load generator and HAProxy say is read as they say it: no failure is overlooked."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import steps
from ansible_collections.vitalops.rollout.tests.bench import traffic
from ansible_collections.vitalops.rollout.tests.bench.on_host import asking, request_log, switches

SAID = """\
starting benchmark...
progress: 100% done

finished in 18.19s, 4949.11 req/s, 734.64KB/s
requests: 90000 total, 90000 started, 89998 done, 89990 succeeded, 8 failed, 5 errored, 3 timeout
status codes: 89990 2xx, 0 3xx, 0 4xx, 5 5xx
traffic: 13.05MB (13680000) total, 5.15MB (5400000) headers (space savings 0.00%), 527.34KB (540000) data
"""
CONFIGURATION = """\
frontend shop
    use_backend shop_%[var(txn.slot)]

backend shop_blue
    server app1-web-1 192.0.2.1:18000
    server app1-web-2 192.0.2.1:18001
    server app2-web-1 192.0.2.12:18000

backend shop_green
    server app1-web-1 192.0.2.1:18100
    server app2-web-1 192.0.2.12:18100
"""


def test_every_request_that_was_not_answered_well_is_a_failure() -> None:
    found = traffic.parse(SAID)
    assert found["failures"] == 10
    assert (found["rate"], found["seconds"]) == (4949.11, 18.19)
    assert (found["requests"]["errored"], found["requests"]["timeout"], found["statuses"]["5xx"]) == (5, 3, 5)


@pytest.mark.parametrize(("told", "seconds"), [("940.50ms", 0.9405), ("750us", 0.00075)])
def test_short_loads_tell_their_time_in_smaller_units(told: str, seconds: float) -> None:
    assert traffic.parse(SAID.replace("18.19s", told))["seconds"] == pytest.approx(seconds)


def test_a_load_generator_that_says_nothing_is_no_good_result() -> None:
    with pytest.raises(ValueError, match="did not say"):
        traffic.parse("finished in 1s, 5 req/s")


def test_the_origins_answer_where_the_load_balancer_looks_for_the_slots_of_their_host() -> None:
    places = traffic.places(CONFIGURATION, "shop", "192.0.2.1")
    assert places == {"blue": ["192.0.2.1:18000", "192.0.2.1:18001"], "green": ["192.0.2.1:18100"]}


def test_an_origin_says_its_slot_on_every_place_of_it() -> None:
    text = traffic.origin({"blue": ["192.0.2.1:18000", "192.0.2.1:18001"], "green": ["192.0.2.1:18100"]})
    _start, blue, green = text.split("frontend ")
    assert (blue.count("bind "), green.count("bind ")) == (2, 1)
    assert "hdr x-slot blue" in blue
    assert "hdr x-slot green" in green


def test_the_log_gives_latencies_and_the_switches_that_lie_within_the_load() -> None:
    lines = [f"{1_000_000_000 + number * 1_000_000}\t200\t{number * 1000}\n" for number in range(1, 11)]
    found = request_log.summary([*lines, "1005000000\t-1\t500\n"], [1000.0, 1001.0, 1010.005, 1011.0])
    assert found["statuses"] == {"200": 10, "-1": 1}
    assert (found["p50_ms"], found["max_ms"], found["moments_within"]) == (5.0, 10.0, 2)


def test_a_log_without_lines_has_no_latency() -> None:
    found = request_log.summary([], [1.0])
    assert (found["p99_ms"], found["span_s"], found["moments_within"]) == (None, 0.0, 0)


def test_the_live_slot_is_read_from_the_map() -> None:
    text = "0x55 other green:none:0\n0x56 shop blue:none:0\n"
    assert asking.live_in(text, "shop") == "blue"
    assert asking.live_in("", "shop") is None
    assert asking.other("blue") == "green"


def test_counters_are_told_as_what_came_on_top() -> None:
    before = {"blue": {"req_tot": 5, "wretr": 1}}
    assert switches.grown(before, {"blue": {"req_tot": 9, "wretr": 1}}) == {"blue": {"req_tot": 4, "wretr": 0}}


def test_the_benchmarks_speak_the_protocol_of_the_program() -> None:
    assert asking.PROTOCOL == steps.PROTOCOL
