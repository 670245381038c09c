# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates ask is real: a Prometheus, the Redis of the application, and Locust, as the examples have it.

A deploy asks several gates at once: those that are not enforced say what they see, and stop nothing. These tests need
what those of test_gates.py have installed, and deploy whichever version users do not have.
"""

from __future__ import annotations

import base64
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from . import prometheus
from .prometheus import Prometheus
from .test_gates import READY, deploy, live, other

PROJECT = Path(__file__).parents[3]
#: The worked example, with a thousand users.
LOAD = yaml.safe_load((PROJECT / "examples/gates/load.yml").read_text())["rollout_gates"]["before_switch"][0]
#: What the Redis of the application does meanwhile: of a hundred lookups a second four in five find something, and
#: hundreds of keys are forgotten.
BUSY = {
    "looks": "for _ = 1, 4 do redis.call('get', 'gates:known') end redis.call('get', 'gates:unknown')",
    "fills": "for _ = 1, 20 do redis.call('set', 'gates:' .. redis.call('incr', 'gates:number'),"
    " string.rep('x', 10000), 'EX', 60) end",
}
REPLICA = """
port 6390
bind 127.0.0.1
dir /run/gates-replica
replicaof {address} 6379
masterauth {password}
"""


def told(output: str, gate: str, verdict: str) -> str:
    """Returns what a gate saw last, as the run told it; in the end its verdict was *verdict*, and no pass before."""
    said = re.findall(rf"(?<![\w-]){gate}(?: \(not enforced\))?: ([a-z_]+) \(([^)]*)", output)
    assert said, f"nothing was said of the gate {gate}"
    assert said[-1][0] == verdict, said
    assert verdict == "pass" or "pass" not in dict(said), said
    return str(said[-1][1])


def another(lab: t.Any) -> str:
    """Returns the version that users do not have."""
    return {"1.0.0": "1.1.0", "1.1.0": "1.0.0"}[live(lab)]


@pytest.fixture(scope="module")
def monitor(lab: t.Any, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Prometheus]:
    """A Prometheus that looks at itself every second."""
    yield prometheus.start(lab, tmp_path_factory.mktemp("prometheus"))
    prometheus.stop(lab)


def asks(monitor: Prometheus, name: str, query: str, **more: t.Any) -> dict[str, t.Any]:
    """Returns a gate that asks Prometheus, with what it needs to be let in."""
    password = {"user": prometheus.USER, "secret_password": monitor.password}
    where = {"url": monitor.url, "ca_path": prometheus.CA_PATH, "interval": "1 s", **password}
    return {"name": name, "type": "prometheus", "query": query, **where, **more}


def hidden(output: str, password: str) -> bool:
    token = base64.b64encode(f"{prometheus.USER}:{password}".encode()).decode()
    return password not in output and token not in output


def test_a_limit_that_prometheus_does_not_keep_refuses_a_release(lab: t.Any, monitor: Prometheus) -> None:
    before, version = lab.pointed(), another(lab)
    series = asks(monitor, "series", "prometheus_tsdb_head_series", range="3 s", at_most={"value": 10})
    played = deploy(lab, version, rollout_gates={"before_switch": [series]}, rollout_bake_seconds=0)
    assert played.code != 0
    assert "refuse it (before the switch): series: failures 1, at most 0." in played.output
    found = re.search(r"^value (\d+), at most 10, worst of ", told(played.output, "series", "fail"))
    assert found and int(found[1]) > 10
    assert lab.pointed() == before
    assert hidden(played.output, monitor.password)


def test_prometheus_is_asked_by_tls_and_with_a_password(lab: t.Any, monitor: Prometheus) -> None:
    before, version = lab.pointed(), another(lab)
    up, one, seen = "up{job='prometheus'}", {"at_least": {"value": 1}}, {"enforce": False}
    gates = [
        READY,
        asks(monitor, "up", up, range="5 s", **one),
        asks(monitor, "strict", "prometheus_tsdb_head_series", at_most={"value": 10}, **seen),
        # An answer for now would often be good.
        asks(monitor, "swings", "time() % 5", range="5 s", at_most={"value": 3}, **seen),
        asks(monitor, "nobody", up, range="5 s", **one, **seen, secret_password="of-somebody-else"),
        asks(monitor, "stranger", up, range="5 s", **one, **seen, ca_path=None),
        asks(monitor, "unknown", "up{job='nowhere'}", range="5 s", **one, **seen),
        asks(monitor, "mistaken", "up{", **one, **seen),
    ]
    played = deploy(lab, version, *gates, rollout_bake_seconds=8)
    assert played.code == 0
    assert live(lab) == version
    assert lab.pointed() == other(before)
    assert told(played.output, "up", "pass").startswith("value 1, at least 1, worst of ")
    assert re.match(r"value \d{2,}, at most 10", told(played.output, "strict", "fail"))
    assert re.match(r"value [34]\.\d+, at most 3", told(played.output, "swings", "fail"))
    assert "401" in told(played.output, "nobody", "error")
    assert told(played.output, "stranger", "error").startswith("the certificate is not accepted (")
    assert "the query found nothing" in told(played.output, "unknown", "no_data")
    assert "bad_data" in told(played.output, "mistaken", "error")
    assert hidden(played.output, monitor.password)
    assert hidden(played.output, "of-somebody-else")


def smaller(run_time: str, **more: t.Any) -> dict[str, t.Any]:
    """Returns the gate of the example with 20 users, who come from the controller."""
    file = f"{PROJECT}/examples/load_test/locustfile.py"
    command = list(LOAD["command"])
    for option, value in {"-f": file, "--users": "20", "--spawn-rate": "20", "--run-time": run_time}.items():
        command[command.index(option) + 1] = value
    return {**LOAD, "host": "localhost", "command": command, "at_least": {"users": 20, "requests": 30}, **more}


def test_a_load_test_with_locust_refuses_what_is_too_slow(lab: t.Any) -> None:
    before, version = lab.pointed(), another(lab)
    gate = smaller("3s", at_least={"users": 20}, at_most={"p95": 0, "errors": 0.1})
    played = deploy(lab, version, rollout_gates={"before_switch": [gate]}, rollout_bake_seconds=0)
    assert played.code != 0
    assert "refuse it (before the switch): load did not pass." in played.output
    found = re.match(
        r"exit code 0, p95 ([\d.]+), at most 0, errors 0, at most 0.1, ", told(played.output, "load", "fail")
    )
    assert found and float(found[1]) > 0
    assert "Users noticed nothing: " in played.output
    assert lab.pointed() == before


def test_a_load_test_with_locust_passes_as_the_example_has_it(lab: t.Any) -> None:
    before, version = lab.pointed(), another(lab)
    played = deploy(lab, version, rollout_gates={"before_switch": [smaller("10s")]}, rollout_bake_seconds=0)
    assert played.code == 0
    words = told(played.output, "load", "pass")
    found = re.match(
        r"exit code 0, p95 ([\d.]+), at most 195, errors 0, at most 0.1, users 20, at least 20, requests (\d+),", words
    )
    assert found and 0 < float(found[1]) <= 195 and int(found[2]) >= 30, words
    assert live(lab) == version
    assert lab.pointed() == other(before)


@pytest.fixture
def busy(lab: t.Any) -> t.Iterator[None]:
    """The Redis of the application has much to do, too little memory, queues, and a replica."""
    name = lab.group("redis")[0]
    host, password = lab.connect(name), lab.hosts["vars"]["lab_redis_password"]

    def ask(*words: str) -> str:
        return str(host.check_output(f"REDISCLI_AUTH=%s redis-cli {' '.join(['%s'] * len(words))}", password, *words))

    def run(unit: str, command: str) -> None:
        run = "systemd-run --quiet --property=RuntimeMaxSec=180 --property=StandardOutput=null"
        host.check_output(f"{run} --unit=gates-{unit} --setenv=REDISCLI_AUTH=%s sh -c %s", password, f"exec {command}")

    # What has no end, as what users wait for, is not forgotten.
    settings = {"maxmemory-policy": "volatile-lru", "maxmemory": "8mb", "repl-diskless-sync-delay": "0"}
    kept = {setting: ask("config", "get", setting).split()[1] for setting in settings}
    try:
        ask("config", "resetstat")
        ask("set", "gates:known", "1")
        ask("rpush", "gates:waiting", *"1234567")
        ask("zadd", "gates:delayed", "1", "a", "2", "b", "3", "c")
        ask("config", "set", *(word for setting in settings.items() for word in setting))
        host.check_output("mkdir -m 0700 /run/gates-replica")
        replica = REPLICA.format(address=lab.address(name), password=password)
        host.check_output("umask 077 && printf %s %s > /run/gates-replica/redis.conf", "%s", replica)
        run("replica", "redis-server /run/gates-replica/redis.conf")
        for unit, script in BUSY.items():
            run(unit, f'redis-cli -r -1 -i 0.05 eval "{script}" 0')
        lab.wait_for(name, "redis-cli -p 6390 info replication", "master_link_status:up", seconds=20)
        forgets = f"REDISCLI_AUTH={password} redis-cli info stats | grep evicted_keys:[1-9]"
        lab.wait_for(name, forgets, "evicted_keys:", seconds=20)
        yield
    finally:
        host.run("systemctl stop 'gates-*'")
        host.run("rm -rf /run/gates-replica")
        ask("config", "set", *(word for setting in kept.items() for word in setting))
        ask("eval", "for _, key in ipairs(redis.call('keys', 'gates:*')) do redis.call('unlink', key) end", "0")


def test_what_the_redis_of_the_application_does_is_seen(lab: t.Any, busy: None) -> None:
    before, version = lab.pointed(), another(lab)
    hits = {"min_samples": 100, "at_least": {"hit_share": "60 %"}}
    limits: dict[str, dict[str, t.Any]] = {
        "hits": hits,
        "strict": {**hits, "at_least": {"hit_share": "95 %"}},
        "once": {**hits, "interval": "1 min"},
        "waiting": {"queue": "gates:waiting", "at_most": {"queue_length": 5}},
        "delayed": {"queue": "gates:delayed", "at_most": {"queue_length": 5}},
        "nothing": {"queue": "gates:nothing", "at_most": {"queue_length": 5}},
        "text": {"queue": "gates:known", "at_most": {"queue_length": 5}},
        "replica": {"at_least": {"replicas": 1}},
        "replicas": {"at_least": {"replicas": 2}},
        "forgets": {"at_most": {"evictions": "10 /s"}},
        "tolerated": {"at_most": {"evictions": "100000 /s"}},
        "memory": {"at_most": {"memory_share": "50 %"}},
    }
    looks = {"type": "redis", "interval": "1 s"}
    seen = [{**looks, "name": name, "enforce": False, **limit} for name, limit in limits.items()]
    # What ends it, when all of them have looked for a while: too few lookups are no pass.
    patient = {**looks, **hits, "name": "patient", "min_samples": 1_000_000}
    gates = {"before_switch": [*seen, patient]}
    played = deploy(lab, version, rollout_gates=gates, rollout_before_switch_seconds=8, rollout_bake_seconds=0)
    assert played.code != 0
    assert "refuse it (before the switch): patient: inconclusive when its time was over." in played.output
    assert lab.pointed() == before

    def said(gate: str, verdict: str, words: str) -> float:
        found = re.match(words, told(played.output, gate, verdict))
        assert found, told(played.output, gate, verdict)
        return float(found[1])

    assert said("patient", "inconclusive", r"(\d+) lookups, at least 1000000, ") > 100
    # Workers look, too, and most often there is nothing to do.
    assert 70 < said("hits", "pass", r"hit_share ([\d.]+) %, at least 60 %") <= 80
    assert 70 < said("strict", "fail", r"hit_share ([\d.]+) %, at least 95 %") <= 80
    assert said("once", "no_data", r"(\d+) lookups, at least 100, ") == 0
    assert said("waiting", "fail", r"queue_length (\d+), at most 5") == 7
    assert said("delayed", "pass", r"queue_length (\d+), at most 5") == 3
    assert said("nothing", "pass", r"queue_length (\d+), at most 5") == 0
    assert "the key gates:known is of type string" in told(played.output, "text", "error")
    assert said("replica", "pass", r"replicas (\d+), at least 1") == 1
    assert said("replicas", "fail", r"replicas (\d+), at least 2") == 1
    assert 50 < said("forgets", "fail", r"evictions ([\d.]+) /s, at most 10 /s") < 1000
    assert 50 < said("tolerated", "pass", r"evictions ([\d.]+) /s, at most 100000 /s") < 1000
    assert said("memory", "fail", r"memory_share ([\d.]+) %, at most 50 %") > 90
    assert lab.hosts["vars"]["lab_redis_password"] not in played.output
