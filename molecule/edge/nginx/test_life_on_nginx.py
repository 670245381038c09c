# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a release behind nginx, on both Debians at once: two load balancers, one application host.

The tests build on each other, in the order of this file. Load balancers of the scenario with HAProxy take no part.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
import typing as t

STATE = "/var/lib/rollout/reference"
BROKEN = "/etc/nginx/rollout.d/broken.conf"
# What the load says of a connection that nginx closed as a request came.
IDLE_CLOSED = ("connection reset", "connection closed before an answer")
CHANGED = re.compile(r"changed=[1-9]")
# The last line of the journal: a step has ended well. Its begin is a line before, of the same source.
DONE = ('"phase": "end"', '"outcome": "done"')
# What the workers of nginx route by.
ROUTES = "curl -s http://127.0.0.1:8406/reference"
# A lease that a killed run left.
BREAK = ("-e", "rollout_reason='its driver was killed'", "-e")


def everywhere(pointer: str) -> set[tuple[str, str, str]]:
    return {(pointer, pointer, pointer)}


def test_a_first_release_goes_live(fleet: t.Any) -> None:
    assert fleet.play("site", "-e", "rollout_version=1.0.0").code == 0
    assert fleet.versions() == {"1.0.0"}
    assert fleet.settled() == everywhere("blue:none:0")
    for name in fleet.names:
        assert "nginx blue:none:0" in fleet.on(name, "rollout-guard status")


def test_a_second_provision_and_a_check_change_nothing(fleet: t.Any) -> None:
    # A keepalived that somebody else set up is not ours to stop.
    foreign = "/etc/keepalived/keepalived.conf"
    for name in fleet.names:
        fleet.on(name, f"mkdir -p /etc/keepalived && echo '# Of somebody else.' > {foreign}")
    for options in ((), ("--check", "--diff")):
        played = fleet.play("provision", *options)
        assert played.code == 0
        assert not CHANGED.search(played.output)
    for name in fleet.names:
        assert fleet.on(name, f"cat {foreign}") == "# Of somebody else."


def test_files_that_a_dead_run_wrote_and_nobody_read_are_read_at_the_next(fleet: t.Any) -> None:
    newest = "pgrep -n -f 'nginx: worker process$'"
    before = [fleet.on(name, f"{newest}; touch /etc/nginx/nginx.conf").split()[0] for name in fleet.names]
    for changed in (2, 0):  # that it is behind, and the reload
        played = fleet.play("provision")
        assert played.code == 0
        assert [re.search(rf"{name} .* changed={changed} ", played.output) is not None for name in fleet.names] == [
            True,
            True,
        ]
    assert all(fleet.on(name, newest) != worker for name, worker in zip(fleet.names, before, strict=True))
    assert fleet.settled() == everywhere("blue:none:0")


def test_upstreams_are_as_they_were_promised(fleet: t.Any) -> None:
    for name in fleet.names:
        told = fleet.on(name, "nginx -T 2>/dev/null")
        assert fleet.on(name, "ls /etc/nginx/rollout.d").split() == ["reference.conf", "reference.status"]
        blue = told.split("upstream reference_blue {", 1)[1].split("}", 1)[0]
        assert all(one in blue for one in ("least_conn;", "max_fails=3 fail_timeout=30s;", "keepalive 64;"))
        assert "non_idempotent" not in told
        # Neither Debian has an nginx with keepalive_min_timeout (1.27.4).
        version = re.findall(r"\d+", fleet.on(name, "nginx -v 2>&1"))
        assert ("keepalive_min_timeout" in told) is ([int(part) for part in version] >= [1, 27, 4])


def test_an_upgrade_and_a_roll_back_under_load(fleet: t.Any) -> None:
    urls = [option for name in fleet.names for option in ("--url", f"http://{fleet.lab.address(name)}/")]
    # On a busy machine an answer comes late; one that was lost comes never.
    fleet.lab.verb("load", "start", *urls, "--rate", "20", "--max-seconds", "400", "--timeout", "60")
    try:
        assert fleet.play("deploy", "-e", "rollout_version=1.1.0").code == 0
        assert fleet.versions() == {"1.1.0"}
        assert fleet.settled() == everywhere("green:none:0")
        assert fleet.play("roll_back").code == 0
        assert fleet.versions() == {"1.0.0"}
    finally:
        fleet.lab.verb("load", "stop")
    report = json.loads(fleet.lab.verb("load", "report"))
    print({key: report[key] for key in ("requests", "failures_by_reason", "reconnects", "p99_ms", "max_ms")})
    assert report["requests"] > 100
    # What nginx costs, see docs/load_balancers.md: a POST on a connection that was idle at one of the four reloads, and
    # nothing else: no GET, no status of an error, nobody who is not let in, no half of an answer.
    lost = {kind: told["failures"] for kind, told in report["kinds"].items()}
    writes = lost.pop("write", 0)
    assert not any(lost.values())
    assert all(reason.startswith(IDLE_CLOSED) for reason in report["failures_by_reason"])
    # Usually none. A machine that stood still sends at once what has become due, so a reload may meet several.
    assert writes <= max(4, report["kinds"]["write"]["requests"] // 20)


def test_application_hosts_hear_where_users_are_and_nobody_else_does(fleet: t.Any) -> None:
    for name in fleet.names:
        url = f"http://{fleet.lab.address(name)}/_rollout/pointer"
        assert fleet.on("app1", f"curl -s {url}") == "blue:none:0"
        assert fleet.on("client1", f"curl -s -o /dev/null -w '%{{http_code}}' {url}") == "404"  # of the application


def test_a_preview_sees_the_slot_that_users_do_not_get(fleet: t.Any) -> None:
    for name in fleet.names:
        assert fleet.asked(name, "/version", "-H", "'X-Rollout-Slot: green'")["version"] == "1.1.0"
        assert fleet.asked(name)["version"] == "1.0.0"


def test_a_share_gets_the_release_and_a_cookie_keeps_it(fleet: t.Any) -> None:
    name = fleet.names[0]
    url = f"http://{fleet.lab.address(name)}/version"
    fleet.point(name, "'blue', 'green', 25")
    try:
        drawn = fleet.on("client1", f"for i in $(seq 200); do curl -s {url}; echo; done").splitlines()
        share = sum(json.loads(line)["version"] == "1.1.0" for line in drawn if line)
        assert 20 <= share <= 85
        for number, version in (("24", "1.1.0"), ("25", "1.0.0")):
            answers = {
                str(fleet.asked(name, "/version", "-b", f"rollout_share={number}")["version"]) for _again in range(5)
            }
            assert answers == {version}
        assert "Set-Cookie: rollout_share=" in fleet.on("client1", f"curl -si {url}")
    finally:
        fleet.point(name, "'blue', None, 0")
    assert "Set-Cookie" not in fleet.on("client1", f"curl -si {url}")


def test_a_drain_waits_for_a_request_that_an_old_worker_holds(fleet: t.Any) -> None:
    """With nothing kept warm, the slot is stopped after its drain: a slow request through nginx has ended by then."""
    name = fleet.names[0]
    slow = f"curl -s -o /dev/null -w '%{{http_code}}' 'http://{fleet.lab.address(name)}/api/v1/slow?seconds=9'"
    fleet.on("client1", f'systemd-run --quiet --unit=slow --collect sh -c "{slow} > /tmp/slow"')
    started = time.monotonic()
    stops = json.dumps({"rollout_keep_warm_seconds": 0, "rollout_allow": ["one_slot"]})
    assert fleet.play("deploy", "-e", "rollout_version=1.1.0", "-e", stops).code == 0
    assert time.monotonic() - started > 8
    assert fleet.on("client1", "cat /tmp/slow") == "200"
    assert not [one for one in fleet.lab.running("web") if "-blue-" in one]
    assert fleet.settled() == everywhere("green:none:0")


def test_what_nginx_refuses_moves_nobody(fleet: t.Any) -> None:
    name = fleet.names[1]
    fleet.on(name, f"echo 'nonsense on;' > {BROKEN}")
    try:
        played = fleet.play("deploy", "-e", "rollout_version=1.0.0")
        assert played.code != 0
        assert "nginx refuses its configuration" in played.output
        assert 'unknown directive "nonsense"' in " ".join(played.output.split())
        assert fleet.settled() == everywhere("green:none:0")
        assert fleet.play("provision").code != 0
        assert fleet.versions() == {"1.1.0"}
    finally:
        fleet.on(name, f"rm {BROKEN}")


def test_gates_on_counters_are_refused_before_anything_changes(fleet: t.Any) -> None:
    gates = json.dumps(
        {
            "rollout_gates": {"bake": [{"name": "errors", "type": "traffic", "at_most": {"error_share": "2 %"}}]},
            "rollout_bake_seconds": 10,
        }
    )
    played = fleet.play("deploy", "-e", "rollout_version=1.0.0", "-e", gates)
    assert played.code != 0
    assert "nginx does not count what each slot answers" in " ".join(played.output.split())


def test_what_nginx_cannot_do_is_refused_before_it_is_touched(fleet: t.Any) -> None:
    played = fleet.play("provision", "-e", "load_balancer_slow_start=5")
    assert played.code != 0
    assert "load_balancer_slow_start: nginx" in " ".join(played.output.split())
    assert fleet.settled() == everywhere("green:none:0")


def test_guards_take_back_what_nobody_confirms_at_the_deadline_and_at_boot(fleet: t.Any) -> None:
    first, second = fleet.names
    driver = fleet.lab.begun("deploy", "-e", "rollout_version=1.0.0", "-e", "rollout_guard_deadline=45", after="switch")
    try:
        # The first one has switched; the run goes no further, but what it has asked of the second one goes on there.
        os.killpg(driver.pid, signal.SIGSTOP)
        fleet.lab.wait_for(second, ROUTES, "blue:none:0", seconds=30)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(timeout=30)
    assert fleet.pointers(second)[0] == "blue:none:0"
    fleet.lab.verb("reboot", second)
    for name, when in ((second, "at boot"), (first, "after 45 s")):
        fleet.lab.wait_for(name, f"tail -n 1 {STATE}/journal.ndjson", f'"source": "{when}"', *DONE, seconds=90)
        # An nginx that has just started may not answer yet.
        fleet.lab.wait_for(name, ROUTES, "green:none:0", seconds=30)
    assert fleet.settled() == everywhere("green:none:0")
    assert fleet.versions() == {"1.1.0"}


def test_a_driver_that_died_in_the_middle_of_a_switch_is_followed_by_a_run_that_converges(fleet: t.Any) -> None:
    """The master of one nginx stands still: map and include have changed, no worker has, when everybody is killed."""
    first = fleet.names[0]
    master = fleet.on(first, "cat /run/nginx.pid")
    fleet.on(first, f"kill -STOP {master}")
    try:
        broken = (*BREAK, f"rollout_break_lease={fleet.lease()}")
        driver = fleet.lab.begun("deploy", "-e", "rollout_version=1.0.0", *broken, after="arm")
        ends = time.monotonic() + 60
        # Only for some seconds: a reload that does not come is given up, and the include goes back.
        stuck = fleet.pointers(first)
        while stuck[1] != "blue:none:0" and time.monotonic() < ends:
            time.sleep(0.2)
            stuck = fleet.pointers(first)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(timeout=30)
        fleet.lab.connect(first).run("pkill -KILL -f 'rollout-guard step'")
    finally:
        fleet.on(first, f"kill -CONT {master}")
    assert stuck == ("blue:none:0", "blue:none:0", "green:none:0")
    played = fleet.play("deploy", "-e", "rollout_version=1.0.0", *BREAK, f"rollout_break_lease={fleet.lease()}")
    assert played.code == 0
    assert fleet.settled() == everywhere("blue:none:0")
    assert fleet.versions() == {"1.0.0"}


def test_an_nginx_that_was_killed_comes_back_to_the_same_slot(fleet: t.Any) -> None:
    for name in fleet.names:
        fleet.on(name, "kill -KILL $(cat /run/nginx.pid)")
        fleet.lab.wait_for(name, ROUTES, "blue:none:0", seconds=30)
    assert fleet.versions() == {"1.0.0"}
