# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that are bad in different ways meet gates that watch real users: each ends as it must.

The tests build on each other, in the order of this file. A request fails only where the application itself failed it.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import time
import typing as t

import pytest

RATE = 60
INTERVAL = 2.0  # s
BAKE = 12  # s
TRAFFIC = {
    "name": "users",
    "type": "traffic",
    "min_samples": 200,
    "interval": f"{INTERVAL:g} s",
    # Far above what the lab needs for an answer, also beside another scenario; below what a slow release takes here.
    "at_most": {"error_share": "1 %", "p95": "1 s"},
    "worse_than_live_by": {"error_share": "0.5 %"},
}
SLOWER = {**TRAFFIC, "at_most": {}, "worse_than_live_by": {"p95": "100 %"}}
# So much that no other work on the machine makes the release before look as slow.
SLOW = {"FAULT_LATENCY_MS": "2000"}
READY = {"name": "ready", "type": "http", "path": "/ready", "through": "load_balancer", "interval": "2 s"}
ANSWERS = {"name": "answers", "type": "http", "path": "/ready", "json": "status == 'ready'"}
FAULTY = "status 500"


@pytest.fixture
def load(lab: t.Any) -> t.Iterator[t.Callable[[], dict[str, t.Any]]]:
    """Users come. Returns what tells how it went for them since they did."""
    urls = [option for url in lab.urls() for option in ("--url", url)]
    lab.verb("load", "start", *urls, "--rate", str(RATE), "--max-seconds", "300")

    def report() -> dict[str, t.Any]:
        told: dict[str, t.Any] = json.loads(lab.verb("load", "report", "--until", str(time.time())))
        print(json.dumps({key: told[key] for key in ("requests", "failures", "failures_by_reason", "p95_ms")}))
        return told

    yield report
    with contextlib.suppress(subprocess.CalledProcessError):
        lab.verb("load", "stop")


def wanted(version: str, *gates: dict[str, t.Any], **more: t.Any) -> str:
    """Returns the variables of a deploy; faults are a part of the configuration of a version."""
    told: dict[str, t.Any] = {"rollout_version": version, "rollout_bake_seconds": BAKE, "rollout_guard_deadline": 60}
    told["rollout_gates"] = {"bake": list(gates or (TRAFFIC, READY))}
    told["rollout_configuration"] = {"LOG_LEVEL": "info", **more.pop("faults", {})}
    return json.dumps({**told, **more})


def deploy(lab: t.Any, version: str, *gates: dict[str, t.Any], **more: t.Any) -> t.Any:
    return lab.play("deploy", "-e", wanted(version, *gates, **more))


ASK = """
import json, sys, urllib.request as u
answers = []
for _again in range(5):
    with u.urlopen(u.Request(sys.argv[1], headers=json.loads(sys.argv[2])), timeout=5) as answer:
        answers.append([json.load(answer)["version"], answer.headers.get("Set-Cookie", "")])
print(json.dumps(answers))
"""


def five_times(lab: t.Any, host: str = "client1", **headers: str) -> list[tuple[str, str]]:
    """Asks five times from a host, as a user does. Returns version and cookie of each answer."""
    sent = json.dumps({name.replace("_", "-"): value for name, value in headers.items()})
    told = lab.connect(host).check_output("python3 -c %s %s %s", ASK, f"{lab.urls()[0]}version", sent)
    return list(map(tuple, json.loads(told)))


# A gate that looks without the run may refuse a release before its bake begins, where a drain takes long.
WATCHED = r"refuse it \((?:bake|after the switch, before the bake)\)"


def refusal(output: str, gate: str) -> str:
    """Returns what the refusal of a bake says of the gate that failed: what it saw, next to its limits."""
    assert re.search(rf"{WATCHED}: {gate}: failures \d+, at most 0\.", output)
    (words,) = set(re.findall(rf"^  {gate}: fail \((.*)\)$", output, re.MULTILINE))
    return str(words)


def error_share(words: str) -> tuple[float, float]:
    """Returns the share of errors that a gate saw, and its limit, in %."""
    found = re.search(r"error_share ([\d.]+) %, at most ([\d.]+) %", words)
    assert found, words
    return float(found[1]), float(found[2])


def times_of_failures(told: dict[str, t.Any]) -> list[float]:
    """Returns when the requests that failed were due, in the order of time."""
    return sorted(one["time"] for target in told["targets"].values() for one in target["failed"])


def live(lab: t.Any) -> str:
    return str(lab.ask("/version")["version"])


def other(slot: str) -> str:
    return {"blue": "green", "green": "blue"}[slot]


def switch_faults(lab: t.Any, slot: str, **faults: t.Any) -> None:
    """Gives every web instance of a slot these faults from now on."""
    code = (
        "import sys, urllib.request as u; url, token, values = sys.argv[1:]; "
        "u.urlopen(u.Request(url, values.encode(), {'X-Admin-Token': token, 'Content-Type': 'application/json'}), "
        "timeout=5)"
    )
    first = {"blue": 18000, "green": 18100}[slot]
    token = lab.hosts["vars"]["lab_admin_token"]
    for name in lab.group("application"):
        for port in (first, first + 1):
            url = f"http://{lab.address(name)}:{port}/admin/faults"
            lab.connect(name).check_output("python3 -c %s %s %s %s", code, url, token, json.dumps(faults))


def test_a_release_that_is_as_good_is_confirmed_when_its_bake_is_over(lab: t.Any, load: t.Any) -> None:
    before = lab.pointed()
    time.sleep(5)  # the live slot must have shown what users are used to
    played = deploy(lab, "1.1.0")
    assert played.code == 0
    assert live(lab) == "1.1.0"
    assert lab.pointed() == other(before)
    assert "users: pass (" in played.output
    assert load()["failures"] == 0


def test_a_slow_release_is_taken_back(lab: t.Any, load: t.Any) -> None:
    before = lab.pointed()
    time.sleep(5)
    played = deploy(lab, "1.0.0", SLOWER, faults=SLOW)
    assert played.code != 0
    assert re.search(r"p95 2(\.\d+)? s, live [\d.]+ ms, at most 100 % more$", refusal(played.output, "users"))
    assert "Users had it for a moment; 1.1.0-" in played.output
    assert re.search(r"^    \S+-web-\d: its \d+ answers took \d+ ms on average$", played.output, re.MULTILINE)
    assert "Last lines of reference-" in played.output
    assert lab.pointed() == before
    assert f"It stays in slot {other(before)}, for a look at it" in played.output
    assert not [name for process in ("web", "worker") for name in lab.running(process) if other(before) in name]
    assert live(lab) == "1.1.0"
    assert load()["failures"] == 0


def test_errors_on_one_endpoint_are_found(lab: t.Any, load: t.Any) -> None:
    before = lab.pointed()
    time.sleep(5)
    faults = {"FAULT_ERROR_SHARE": "0.03", "FAULT_ERROR_PATH": "/api/v1/patients"}
    # Lists and writes ask there, 45 of 100 requests: 1.4 % of all, which a limit of 1 % would not refuse so soon.
    strict = {**TRAFFIC, "at_most": {"error_share": "0.3 %"}, "worse_than_live_by": {}}
    played = deploy(lab, "1.0.0", strict, faults=faults, rollout_bake_seconds=60)
    assert played.code != 0
    seen, limit = error_share(refusal(played.output, "users"))
    assert seen > limit == 0.3
    assert live(lab) == "1.1.0"
    assert lab.pointed() == before
    told = load()
    assert set(told["failures_by_reason"]) == {FAULTY}
    assert {kind for kind, one in told["kinds"].items() if one["failures"]} <= {"list", "write"}


def test_errors_that_begin_late_are_taken_back_within_an_interval(lab: t.Any, load: t.Any) -> None:
    before, name = lab.pointed(), lab.group("load_balancer")[0]
    time.sleep(5)
    with tempfile.TemporaryFile("w+") as output:
        driver = lab.begun("deploy", "-e", wanted("1.0.0", rollout_bake_seconds=60), after="switch", output=output)
        time.sleep(20)
        lab.wait_for(name, "cat /var/lib/rollout/reference/watch.json", '"phase": "bake"', seconds=0)
        began = time.time()
        switch_faults(lab, other(before), error_share=0.3)
        struck = time.time()
        assert driver.wait(60) != 0
        output.seek(0)
        said = output.read()
    print(said[-6000:])
    assert "users: pass (" in said  # as it was until then
    seen, _limit = error_share(refusal(said, "users"))
    assert seen > 0.5  # of all since the switch: more than the live slot has, and than the gate lets it be more
    assert live(lab) == "1.1.0"
    assert lab.pointed() == before
    told = load()
    assert set(told["failures_by_reason"]) == {FAULTY}
    first, *_rest, last = times_of_failures(told)
    print(f"users were back {last - struck:.1f} s after the first bad answer could come")
    assert began <= first
    assert last - struck <= INTERVAL + 2.0
    # The release that was there before is the same one, and so are its instances.
    switch_faults(lab, other(before), error_share=0)


@pytest.fixture
def slow_requests(lab: t.Any) -> t.Iterator[None]:
    """Some users wait for long answers, so that the slot which loses its traffic drains for seconds."""
    asks = f"curl -s -o /dev/null '{lab.urls()[0]}api/v1/slow?seconds=9'"
    run = "systemd-run --quiet --collect --unit=slow-users --property=RuntimeMaxSec=90"
    lab.connect("client1").check_output(f"{run} sh -c %s", f"while sleep 0.5; do {asks} & done")
    yield
    lab.connect("client1").run("systemctl stop slow-users")


def test_a_release_that_is_bad_at_once_is_taken_back_while_the_slot_before_it_drains(
    lab: t.Any, load: t.Any, slow_requests: None
) -> None:
    before = lab.pointed()
    time.sleep(5)
    faults = {"FAULT_ERROR_SHARE": "1", "FAULT_ERROR_PATH": "/api/v1/patients"}
    played = deploy(lab, "1.0.0", faults=faults, rollout_bake_seconds=60)
    assert played.code != 0
    assert "refuse it (after the switch, before the bake): users: " in played.output
    seen, limit = error_share(refusal(played.output, "users"))
    assert seen > limit == 1
    assert "Users had it for a moment; 1.1.0-" in played.output
    assert live(lab) == "1.1.0"
    assert lab.pointed() == before
    told = load()
    assert set(told["failures_by_reason"]) == {FAULTY}
    first, *_rest, last = times_of_failures(told)
    print(f"users were back {last - first:.1f} s after the first bad answer")
    assert last - first <= INTERVAL + 2.0


@pytest.fixture
def slow_workers(lab: t.Any) -> None:
    """Workers of the release that is live stand still, so that work takes 20 s to move: their stop_timeout."""
    names = "docker ps --quiet --filter name=^reference-.*-worker-"
    for name in lab.group("application"):
        lab.connect(name).check_output(f"kill -STOP $(docker inspect --format '{{{{.State.Pid}}}}' $({names}))")


def test_a_release_that_gets_bad_while_workers_move_is_taken_back_within_an_interval(
    lab: t.Any, load: t.Any, slow_workers: None
) -> None:
    before, name = lab.pointed(), lab.group("load_balancer")[0]
    time.sleep(5)
    with tempfile.TemporaryFile("w+") as output:
        driver = lab.begun("deploy", "-e", wanted("1.0.0", rollout_bake_seconds=60), after="switch", output=output)
        lab.wait_for(name, "cat /var/lib/rollout/reference/watch.json", '"early": true', seconds=5)
        time.sleep(4)  # users are content, and a look is over
        began = time.time()
        switch_faults(lab, other(before), error_share=0.3)
        struck = time.time()
        lab.wait_for(name, "rollout-guard status", "nothing armed", f"slot {before}", seconds=10)
        assert driver.poll() is None
        output.seek(0)
        assert "PLAY [Move workers and scheduler]" in (so_far := output.read())
        assert "Gates pass in phase bake" not in so_far
        assert driver.wait(90) != 0
        output.seek(0)
        said = output.read()
    assert "refuse it (after the switch, before the bake): users: " in said
    seen, _limit = error_share(refusal(said, "users"))
    assert seen > 0.5  # of all since the switch: more than the live slot has, and than the gate lets it be more
    assert "Users had it for a moment; 1.1.0-" in said
    assert live(lab) == "1.1.0"
    assert lab.pointed() == before
    told = load()
    assert set(told["failures_by_reason"]) == {FAULTY}
    first, *_rest, last = times_of_failures(told)
    print(f"users were back {last - struck:.1f} s after the first bad answer could come")
    assert began <= first
    assert last - struck <= INTERVAL + 2.0
    for host in lab.group("application"):  # workers, too
        lab.wait_for(host, "docker ps --format '{{.Names}}'", f"reference-{before}-worker-1", seconds=5)
        assert f"reference-{other(before)}-worker-1" not in lab.connect(host).check_output("docker ps")
    # The release that was there before is the same one, and so are its instances.
    switch_faults(lab, other(before), error_share=0)


def test_a_healthy_release_that_nobody_uses_proves_nothing(lab: t.Any) -> None:
    # What gates ask themselves comes more often than this, and is no user.
    idle = {"name": "users", "type": "traffic", "interval": "1 s", "min_samples": 5, "at_most": {"error_share": "1 %"}}
    site = {**READY, "interval": "1 s"}
    address = {**site, "name": "address", "path": None, "url": f"{lab.urls()[0]}ready"}
    before = lab.pointed()
    played = deploy(lab, "1.0.0", idle, site, address, rollout_bake_seconds=8, rollout_bake_most_seconds=8)
    assert played.code != 0
    assert "too few users came" in played.output
    assert "users: no_data (0 answers, at least 5" in played.output
    assert "users: pass" not in played.output
    assert "ready: pass (" in played.output
    assert live(lab) == "1.1.0"
    assert lab.pointed() == before


def test_a_live_release_that_is_worse_keeps_no_better_one_out(lab: t.Any, load: t.Any) -> None:
    before = lab.pointed()
    switch_faults(lab, before, error_share=0.05)
    time.sleep(8)
    played = deploy(lab, "1.0.0")
    ended = time.time()
    assert played.code == 0
    found = re.findall(r"users: pass \(.* error_share 0 %, live ([\d.]+) %", played.output)
    assert found and float(found[-1]) > 0, "the gate did not know that the live slot fails"
    assert live(lab) == "1.0.0"
    assert lab.pointed() == other(before)
    told = load()
    assert set(told["failures_by_reason"]) == {FAULTY}
    # Those were of the release before: none came while the better one was watched.
    assert times_of_failures(told)[-1] < ended - BAKE


def test_a_growing_share_of_users_gets_a_release_and_a_bad_one_goes_back(lab: t.Any, load: t.Any) -> None:
    gates = {"during_shift": [{**TRAFFIC, "min_samples": 50}]}
    shift = {"rollout_shift": [25, 100], "rollout_shift_seconds": 10, "rollout_bake_seconds": 0, "rollout_gates": gates}
    assert live(lab) == "1.0.0"
    played = deploy(lab, "1.1.0", faults=SLOW, **shift)
    assert played.code != 0
    assert "while traffic shifts, 0:" in played.output
    assert live(lab) == "1.0.0"
    driver = lab.begun("deploy", "-e", wanted("1.1.0", **shift), after="shift")
    # Whoever got a number stays with it, and chosen networks see the slot that they ask for.
    for version, cookie in five_times(lab):
        number = int(cookie.partition(";")[0].removeprefix("rollout_share="))
        assert version == ("1.1.0" if number < 25 else "1.0.0")
    assert set(five_times(lab, Cookie="rollout_share=24")) == {("1.1.0", "")}
    assert set(five_times(lab, Cookie="rollout_share=25")) == {("1.0.0", "")}
    idle = other(lab.pointed())
    assert {version for version, _cookie in five_times(lab, X_Rollout_Slot=idle)} == {"1.1.0"}
    assert {version for version, _cookie in five_times(lab, X_Rollout_Slot=lab.pointed())} == {"1.0.0"}
    # From anywhere else that header is one like any other.
    stranger = five_times(lab, lab.group("application")[0], X_Rollout_Slot=idle, Cookie="rollout_share=25")
    assert {version for version, _cookie in stranger} == {"1.0.0"}
    assert driver.wait(120) == 0
    assert live(lab) == "1.1.0"
    assert load()["failures"] == 0
    assert lab.play("deploy", "-e", "rollout_version=1.0.0").code == 0


def test_a_prometheus_that_is_down_is_no_pass(lab: t.Any, load: t.Any) -> None:
    query = {"name": "alerts", "type": "prometheus", "url": "http://127.0.0.1:9", "query": "up", "interval": "1 s"}
    told = {**query, "name": "told", "at_least": {"value": 1}, "enforce": False}
    before = lab.pointed()
    played = deploy(lab, "1.1.0", READY, {**query, "at_least": {"value": 1}}, told, rollout_bake_seconds=8)
    assert played.code != 0
    assert live(lab) == "1.0.0"
    assert lab.pointed() == before
    assert re.search(rf"{WATCHED}: alerts: errors 4, at most 3\.", played.output)
    assert re.search(r"^  alerts: error \(connection.*refused", played.output, re.MULTILINE)
    assert "alerts: pass" not in played.output
    assert "told (not enforced): error" in played.output
    # A refusal before the bake names what failed, a bake tells of each gate as it comes.
    assert "ready: pass (" in played.output or "before the bake" in played.output
    assert load()["failures"] == 0


def test_a_test_program_decides_before_users_see_anything(lab: t.Any) -> None:
    program = ["python3", "-c", "print('{\"p95\": 350}')"]
    gate = {"name": "smoke", "type": "command", "command": program, "values": {"p95": "p95"}, "at_most": {"p95": 200}}
    refused = lab.play(
        "deploy", "-e", json.dumps({"rollout_version": "1.1.0", "rollout_gates": {"before_switch": [gate, ANSWERS]}})
    )
    assert refused.code != 0
    assert "p95 350, at most 200" in refused.output
    assert "Users noticed nothing: 1.0.0-" in refused.output
    assert live(lab) == "1.0.0"


def test_a_test_program_ends_when_another_gate_refuses(lab: t.Any) -> None:
    program = ["sh", "-c", "exec sleep 87"]
    smoke = {"name": "smoke", "type": "command", "command": program, "timeout": "2 min"}
    wrong = {"name": "ready", "type": "http", "path": "/ready", "status": [418], "interval": "1 s"}
    began = time.monotonic()
    played = deploy(lab, "1.1.0", rollout_gates={"before_switch": [smoke, wrong]}, rollout_bake_seconds=0)
    assert played.code != 0
    assert "status 200 instead of 418" in played.output
    assert time.monotonic() - began < 60
    assert subprocess.run(["pgrep", "-f", "^sleep 87$"], check=False, stdout=subprocess.DEVNULL).returncode == 1


def secured(lab: t.Any) -> dict[str, t.Any]:
    """Returns variables of stores with self-made certificates, which everybody verifies: application, gates, checks."""
    passwords = lab.hosts["vars"]
    database = {"name": "reference", "user": "reference", "password": passwords["lab_postgres_password"], "port": 5432}
    cache = {"password": passwords["lab_redis_password"], "port": 6380, "tls": True}
    return {
        "postgres_tls": True,
        "postgres_tls_required": True,
        "redis_tls_port": 6380,
        "rollout_database": {
            **database,
            "host": lab.address(lab.group("postgres")[0]),
            "sslmode": "verify-full",
            "sslrootcert": "/etc/ssl/rollout/postgres.crt",
        },
        "rollout_redis": {
            **cache,
            "host": lab.address(lab.group("redis")[0]),
            "ca_path": "/etc/ssl/rollout/redis.crt",
        },
    }


def test_stores_are_asked_by_tls_from_where_the_application_reaches_them(lab: t.Any) -> None:
    cache = {"name": "cache", "type": "redis", "interval": "1 s", "min_samples": 1, "at_most": {"evictions": "10 /s"}}
    database = {"name": "database", "type": "postgres", "interval": "1 s", "query": "select 1", "expected": "1"}
    limits = {"connection_share": "90 %", "longest_transaction": "10 min", "invalid_indexes": 0}
    stores = {"rollout_gates": {"before_switch": [{**database, "at_most": limits}, cache]}, "rollout_bake_seconds": 0}
    missing = deploy(lab, "1.1.0", **stores)
    assert missing.code != 0
    assert "the Python library redis" in missing.output
    stores.update(secured(lab))
    assert lab.play("provision", "-e", wanted("1.1.0", **stores)).code == 0
    sees = "runuser -u postgres -- psql -qc 'GRANT pg_read_all_stats TO reference'"
    lab.connect(lab.group("postgres")[0]).check_output(sees)
    stranger = {**stores["rollout_database"], "sslrootcert": "/etc/ssl/rollout/redis.crt"}
    untrusted = deploy(lab, "1.1.0", **{**stores, "rollout_database": stranger})
    assert untrusted.code != 0
    assert "The login of rollout_database is not accepted" in untrusted.output
    assert "certificate verify failed" in " ".join(untrusted.output.split())
    other = {**stores, "rollout_gates": {"before_switch": [{**database, "expected": "2"}]}}
    refused = deploy(lab, "1.1.0", **other)
    assert refused.code != 0
    assert "database: fail (" in refused.output
    assert live(lab) == "1.0.0"
    played = deploy(lab, "1.1.0", **stores)
    assert played.code == 0
    assert "database: pass (" in played.output
    assert "cache: pass (" in played.output
    # The URLs of the application are made of the same two connections.
    assert live(lab) == "1.1.0"
    assert lab.play("roll_back").code == 0


def test_a_store_that_goes_away_in_the_bake_takes_the_release_back(lab: t.Any) -> None:
    store, before = lab.connect(lab.group("redis")[0]), lab.pointed()
    cache = {"name": "cache", "type": "redis", "interval": "1 s", "min_samples": 1, "at_most": {"evictions": "10 /s"}}
    database = {"name": "database", "type": "postgres", "interval": "1 s", "at_most": {"connection_share": "95 %"}}
    told = wanted("1.1.0", cache, database, rollout_bake_seconds=60, **secured(lab))
    with tempfile.TemporaryFile("w+") as output:
        driver = lab.begun("deploy", "-e", told, after="switch", output=output)
        bake = '"phase": "bake"'
        lab.wait_for(lab.group("load_balancer")[0], "cat /var/lib/rollout/reference/watch.json", bake, seconds=60)
        store.check_output("systemctl stop redis-server")
        try:  # the application needs its Redis in both slots: traffic goes back as soon as one of them answers
            lab.wait_for(lab.group("load_balancer")[0], "rollout-guard status", "cache fail (connection", seconds=30)
        finally:
            store.check_output("systemctl start redis-server")
        assert driver.wait(90) != 0
        output.seek(0)
        said = output.read()
    print(said[-6000:])
    assert "database: pass (" in said
    assert "cache: fail (" in said
    assert "refuse it (bake): cache: failures " in said
    assert lab.pointed() == before
    ready = f"python3 -c 'import urllib.request as u; print(u.urlopen(\"{lab.urls()[0]}ready\", timeout=5).read())'"
    lab.wait_for("client1", ready, "ready", seconds=60)
    assert live(lab) == "1.0.0"


#: Asks every web instance of the slot what it is.
ASKS_INSTANCES = """
import json, os, urllib.request as u
urls = os.environ["ROLLOUT_INSTANCE_URLS"].split()
versions = [json.load(u.urlopen(f"{url.rstrip('/')}/version", timeout=5))["version"] for url in urls]
right = versions.count(os.environ["ROLLOUT_VERSION"])
print(json.dumps({"instances": len(urls), "right": right}))
"""


def test_stores_and_programs_look_at_each_share_of_a_shift(lab: t.Any, load: t.Any) -> None:
    database = {"name": "database", "type": "postgres", "interval": "1 s", "at_most": {"connection_share": "95 %"}}
    instances = 2 * len(lab.group("application"))
    smoke = {
        "name": "smoke",
        "type": "command",
        "command": ["python3", "-c", ASKS_INSTANCES],
        "values": {"instances": "instances", "right": "right"},
        "at_least": {"instances": instances, "right": instances},
    }
    shift = {"rollout_shift": [20, 40, 100], "rollout_shift_seconds": 5, "rollout_bake_seconds": 0, **secured(lab)}
    users = {**TRAFFIC, "min_samples": 20}
    # Neither of the hosts that refuse is a load balancer: both know of it by the run.
    for gate, says in (
        ({**smoke, "at_least": {"right": instances + 1}}, f"right {instances}, at least {instances + 1}"),
        ({**database, "query": "select 1", "expected": "2"}, "database: fail ("),
    ):
        refused = deploy(lab, "1.1.0", rollout_gates={"during_shift": [users, gate]}, **shift)
        assert refused.code != 0
        assert says in refused.output
        assert "Users had it for a moment; 1.0.0-" in refused.output
        assert live(lab) == "1.0.0"
    played = deploy(lab, "1.1.0", rollout_gates={"during_shift": [users, smoke, database]}, **shift)
    assert played.code == 0
    assert played.output.count(f"smoke: pass (exit code 0, instances {instances}") >= 2
    assert "database: pass (" in played.output
    assert live(lab) == "1.1.0"
    assert load()["failures"] == 0
    assert lab.play("roll_back").code == 0


def test_a_person_decides_where_gates_have_not_seen_enough(lab: t.Any, load: t.Any) -> None:
    patient = {**TRAFFIC, "min_samples": 1_000_000, "on_inconclusive": "hold"}
    driver = lab.begun("deploy", "-e", wanted("1.1.0", patient, rollout_bake_most_seconds=120), after="switch")
    name = lab.group("load_balancer")[0]
    lab.wait_for(name, "rollout-guard status", "a person must decide", seconds=60)
    assert lab.play("confirm").code == 0
    assert driver.wait(60) == 0
    assert live(lab) == "1.1.0"
    assert lab.state()["history"][-1]["approved_by"]
    assert load()["failures"] == 0
    assert lab.play("roll_back").code == 0


def test_what_users_went_back_to_is_watched_too_and_stays(lab: t.Any, load: t.Any) -> None:
    wrong = {"name": "wrong", "type": "http", "path": "/ready", "status": [418], "interval": "1 s"}
    assert deploy(lab, "1.1.0", READY, rollout_bake_seconds=3).code == 0
    told = {"rollout_after_roll_back_seconds": 8, "rollout_gates": {"after_roll_back": [wrong]}}
    played = lab.play("roll_back", "-e", json.dumps(told))
    assert played.code != 0
    assert "Users went back to 1.0.0-" in played.output
    assert "status 200 instead of 418" in played.output
    assert "ansible-playbook vitalops.rollout.status -i INVENTORY" in played.output
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", "lease free", seconds=5)
    assert live(lab) == "1.0.0"
    assert load()["failures"] == 0


@pytest.mark.parametrize("waits", ["stage", "before_switch"])
def test_a_person_ends_what_waits_before_its_switch(lab: t.Any, waits: str) -> None:
    name, before, was = lab.group("load_balancer")[0], lab.pointed(), live(lab)
    never = {**ANSWERS, "json": "status == 'never'", "interval": "1 s", "failures_at_most": 1000}
    gates = {"rollout_gates": {waits: [never]}, "rollout_before_switch_seconds": 300, "rollout_bake_seconds": 0}
    # A release that neither slot holds yet.
    told = wanted("1.1.0", faults={"LOG_LEVEL": "debug"}, **(gates if waits == "before_switch" else {}))
    with tempfile.TemporaryFile("w+") as output:
        driver = lab.begun("deploy", "-e", told, after="begin", output=output)
        if waits == "before_switch":
            lab.wait_for(name, "cat /var/lib/rollout/reference/watch.json", f'"phase": "{waits}"', seconds=60)
        played = lab.play("roll_back")
        asked = time.monotonic()
        assert played.code != 0
        assert "it has moved no users, so nothing goes back" in played.output
        assert driver.wait(30) != 0
        print(f"the deploy had ended {time.monotonic() - asked:.1f} s after the roll back that ended it")
        output.seek(0)
        said = " ".join(output.read().split())
    assert "was not rolled out. " in said
    assert ") rolled back before its switch" in said
    assert time.monotonic() - asked < 15  # clearing up included
    journal = lab.connect(name).check_output("cat /var/lib/rollout/reference/journal.ndjson")
    assert "rolled back before its switch" in journal
    lab.wait_for(name, "rollout-guard status", "nothing armed", "lease free", seconds=5)
    lab.wait_for(name, "systemctl is-active rollout-watch@reference || true", "inactive", seconds=5)
    assert (lab.pointed(), live(lab)) == (before, was)
    for host in lab.group("application"):  # what it had staged does not run on
        assert f"reference-{other(before)}-" not in lab.connect(host).check_output("docker ps")


@pytest.mark.parametrize("waits", ["drain", "bake"])
def test_a_person_rolls_back_whatever_a_deploy_waits_for(lab: t.Any, waits: str) -> None:
    name, before = lab.group("load_balancer")[0], lab.pointed()
    # Users who are long with the release before: then the deploy drains, and its bake has not begun.
    switch_faults(lab, before, latency_ms=18_000 if waits == "drain" else 0)
    with tempfile.TemporaryFile("w+") as output, contextlib.ExitStack() as ends:
        lab.verb("load", "start", "--url", lab.urls()[0], "--rate", "2", "--timeout", "40")
        ends.callback(lab.verb, "load", "stop")
        told = wanted("1.1.0", READY, rollout_bake_seconds=90)
        driver = lab.begun("deploy", "-e", told, after="switch", output=output)
        if waits == "bake":
            lab.wait_for(name, "cat /var/lib/rollout/reference/watch.json", '"phase": "bake"', seconds=60)
        else:
            switch_faults(lab, before, latency_ms=0)  # for whoever comes now
            lab.wait_for(name, "cat /var/lib/rollout/reference/watch.json", '"early": true', seconds=5)
        assert lab.play("roll_back").code == 0
        assert lab.pointed() == before
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", "lease free", seconds=5)
        assert driver.wait(60) != 0
        output.seek(0)
        said = " ".join(output.read().split())
        assert "Another run has taken over (run " in said
        assert "roll_back by " in said
        assert "could not be taken back" not in said
        assert live(lab) == "1.0.0"
        report = json.loads(lab.verb("load", "report", "--until", str(time.time())))
        assert report["failures"] == 0, report["first_failures"]
    told = lab.connect(name).check_output("cat /var/lib/rollout/reference/journal.ndjson")
    assert " rolled back)" in told


def test_a_bake_that_nobody_attends_confirms_by_itself(lab: t.Any, load: t.Any) -> None:
    time.sleep(5)
    began = time.monotonic()
    played = deploy(lab, "1.1.0", rollout_bake_attended=False, rollout_bake_seconds=15)
    assert played.code == 0
    assert "on probation" in played.output
    assert lab.state()["slots"][lab.state()["live"]]["release"]["version"] == "1.0.0"
    shown = " ".join(lab.play("status").output.split())
    assert "bake, 0:" in shown
    assert "users: " in shown
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.1.0-", seconds=60)
    assert time.monotonic() - began > 15
    assert live(lab) == "1.1.0"
    assert load()["failures"] == 0


@pytest.mark.parametrize(("verb", "version"), [("roll_back", "1.1.0"), ("confirm", "1.0.0")])
def test_a_person_ends_a_bake_that_nobody_attends(lab: t.Any, load: t.Any, verb: str, version: str) -> None:
    assert deploy(lab, "1.0.0", rollout_bake_attended=False, rollout_bake_seconds=300).code == 0
    assert lab.play(verb).code == 0
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", f"live {version}-", "lease free", seconds=5)
    assert live(lab) == version
    assert load()["failures"] == 0


def running(lab: t.Any, host: str) -> set[str]:
    """Returns the instances that run on a host, as slot, process and number."""
    names = lab.connect(host).check_output("docker ps --format '{{.Names}}' --filter name=^reference-").split()
    return {name.partition("reference-")[2] for name in names}


def work(lab: t.Any, host: str) -> set[str]:
    return {one for one in running(lab, host) if "-web-" not in one}


def test_a_bake_that_nobody_attends_takes_back_by_itself_and_work_follows(lab: t.Any, load: t.Any) -> None:
    before = {name: running(lab, name) for name in lab.group("application")}
    slot, began = lab.pointed(), time.time()
    for name in lab.group("application"):  # until somebody has looked
        lab.connect(name).check_output("systemctl stop rollout-retire.timer")
    time.sleep(5)
    # Another release than the one that a roll back goes to: that one would run on. It gets bad when no run is there.
    another = {"LOG_LEVEL": "debug"}
    played = deploy(lab, "1.1.0", faults=another, rollout_bake_attended=False, rollout_bake_seconds=60)
    assert played.code == 0
    switch_faults(lab, other(slot), error_share=0.2)
    for name in lab.group("load_balancer"):
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", "lease free", seconds=30)
        lab.wait_for(name, "journalctl -u 'rollout-watch@*' -o cat", "was refused (phase bake: ", seconds=5)
    shown = " ".join(lab.play("status").output.split())
    assert "workers of the refused 1.1.0-" in shown
    assert f"in {other(slot)} stop within a minute, else: " in shown
    assert "journalctl -u rollout-watch@reference" in shown
    # No run, no operator: application hosts ask the load balancers.
    for name in lab.group("application"):
        lab.connect(name).check_output("systemctl start rollout-retire.timer")
        says = f"is stopped, and kept for a look at it in slot {other(slot)}"
        journal = f"journalctl -u rollout-retire -o cat --since @{began:.0f}"
        lab.wait_for(name, journal, "users are back on 1.0.0-", seconds=90)
        # A connection that the load balancer keeps for reuse is waited for, to a later turn.
        lab.wait_for(name, f"systemctl start rollout-retire; sleep 3; {journal}", says, seconds=90)
        assert running(lab, name) == {one for one in before[name] if one.startswith(slot)}
        assert f"reference-{other(slot)}-web-1" in lab.connect(name).check_output(
            "docker ps --all --format '{{.Names}}'"
        )
    shown = " ".join(lab.play("status").output.split())
    assert "workers of the refused" not in shown
    assert "because" in shown
    assert live(lab) == "1.0.0"
    assert set(load()["failures_by_reason"]) <= {FAULTY}


def test_a_watch_that_dies_confirms_nothing(lab: t.Any, load: t.Any) -> None:
    before = {name: work(lab, name) for name in lab.group("application")}
    time.sleep(3)
    short = {"rollout_guard_deadline": 15, "rollout_allow": ["short_guard"]}
    assert deploy(lab, "1.1.0", rollout_bake_attended=False, rollout_bake_seconds=60, **short).code == 0
    for name in lab.group("load_balancer"):
        lab.connect(name).check_output("systemctl kill --signal KILL rollout-watch@reference")
        says = "to blue by" if lab.pointed() == "blue" else "to green by"
        lab.wait_for(name, "journalctl -u 'rollout-guard@*' -o cat", says, "was not confirmed after 15 s", seconds=40)
        lab.wait_for(name, "rollout-guard status", "nothing armed", "live 1.0.0-", seconds=5)
    for name in lab.group("application"):
        ends = time.monotonic() + 75
        while work(lab, name) != before[name] and time.monotonic() < ends:
            lab.connect(name).check_output("systemctl start rollout-retire; sleep 3")  # as its timer does each minute
        assert work(lab, name) == before[name]
    assert live(lab) == "1.0.0"
    assert load()["failures"] == 0


def test_gates_that_cannot_be_used_are_refused_before_anything_changes(lab: t.Any) -> None:
    before = lab.fingerprint()
    played = deploy(lab, "1.1.0", {**TRAFFIC, "at_most": {"error_share": 1}}, {**READY, "json": "status =="})
    assert played.code != 0
    assert "error_share: expected a number with one of the units %, such as 0.5 %, found 1 (without a unit)" in (
        " ".join(played.output.split())
    )
    assert "gate ready" in played.output
    assert lab.fingerprint() == before
