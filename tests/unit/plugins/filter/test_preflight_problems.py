# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter preflight_problems: a sound fleet has none; each thing that can be wrong is told once and clearly."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.preflight_problems import preflight_problems

KNOWN = ["rollout_environment", "rollout_application", "rollout_processes", "rollout_ports", "rollout_database"]
KNOWN += ["rollout_guard", "rollout_guard_deadline", "rollout_drain_deadline", "rollout_keep_warm_seconds"]
KNOWN += ["rollout_allow", "rollout_public_port", "rollout_version", "rollout_bind_address"]
KNOWN += ["rollout_lease_seconds", "rollout_ready_deadline", "rollout_address"]
GROUPS = {"lb1": "load_balancer", "app1": "application", "app2": "application", "data1": "postgres"}
VARIABLES: dict[str, t.Any] = {
    "rollout_environment": "production",
    "rollout_application": "shop",
    "rollout_processes": [{"name": "web", "kind": "web", "instances": 2}],
    "rollout_database": {"host": "10.0.0.5", "port": 5432, "name": "shop", "user": "shop", "password": "hunter2"},
    "ansible_host": "10.0.0.1",
    "rollout_address": "10.0.0.1",
}
DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}

WEB: dict[str, t.Any] = {"name": "web", "kind": "web", "instances": 2}
WORKER: dict[str, t.Any] = {"name": "worker", "kind": "worker"}

Fleet = dict[str, dict[str, t.Any]]
Change = t.Callable[[Fleet], None]


def sound_fleet() -> Fleet:
    return {
        name: {
            "variables": copy.deepcopy(VARIABLES),
            "groups": [group],
            "host_info": {
                "changed": False,
                "init": {"name": "systemd", "systemd": True},
                "distribution": dict(DEBIAN),
                "listeners": [],
            },
            "login": None,
        }
        for name, group in GROUPS.items()
    }


def put(fleet: Fleet, host: str, **variables: t.Any) -> None:
    fleet[host]["variables"].update(variables)


def listener(port: int, **more: t.Any) -> dict[str, t.Any]:
    nothing = {"address": "0.0.0.0", "process": None, "pid": None, "unit": None, "container": None}
    return {"port": port, **nothing, **more}


def hears(fleet: Fleet, host: str, port: int, **more: t.Any) -> None:
    fleet[host]["host_info"]["listeners"].append(listener(port, **more))


def everywhere(**variables: t.Any) -> Change:
    def change(fleet: Fleet) -> None:
        for host in fleet:
            put(fleet, host, **variables)

    return change


def unreachable(fleet: Fleet) -> None:
    fleet["app1"]["host_info"] = {"unreachable": True, "msg": "Failed to connect\nto the host via ssh: No route"}
    fleet["app2"]["host_info"] = {"unreachable": True, "msg": "Permission denied (publickey)."}


def refused_login(fleet: Fleet) -> None:
    answer = {"is_available": False, "conn_err_msg": 'FATAL: password "hunter2" failed for user "shop"\n'}
    fleet["app1"]["login"] = fleet["app2"]["login"] = answer


def ours(fleet: Fleet) -> None:
    hears(fleet, "lb1", 80, process="haproxy", pid=3, unit="haproxy.service")
    hears(fleet, "app1", 18000, process="docker-proxy", pid=4, unit="docker.service", container="shop-blue-web-1")
    hears(fleet, "app2", 18101, process="python3", pid=5, unit="shop-green-web@2.service")
    hears(fleet, "data1", 5432, process="postgres", pid=6, unit="postgresql@17-main.service")
    hears(fleet, "app2", 9100, process="python3", pid=8, unit="shop-green-web@1.service")
    hears(fleet, "app1", 80, process="nginx", pid=7, unit="nginx.service")


FOUND: list[tuple[str, Change, list[str]]] = [
    (
        "an application host that nobody can find",
        lambda fleet: fleet["app2"]["variables"].pop("rollout_address"),
        ["Load balancers do not know where application hosts are", "expected: rollout_address", "app2"],
    ),
    (
        "a guard that is off",
        everywhere(rollout_guard="false"),
        ["rollout_guard gives up safety: a run that dies", "no_guard in rollout_allow"],
    ),
    (
        "no drain",
        everywhere(rollout_drain_deadline=0),
        ["rollout_drain_deadline gives up safety", "no_drain in rollout_allow"],
    ),
    (
        "nothing kept warm",
        everywhere(rollout_keep_warm_seconds="0"),
        ["rollout_keep_warm_seconds gives up safety", "one_slot in rollout_allow"],
    ),
    (
        "a guard that is faster than the workers",
        everywhere(rollout_guard_deadline=30, rollout_processes=[WEB, {**WORKER, "stop_timeout": 120}]),
        ["The guard would fire while workers", "at least 195 s", "found: 30 s"],
    ),
    (
        "a lease that is shorter than the gate",
        everywhere(rollout_lease_seconds=30, rollout_ready_deadline=90),
        ["The lease would end while instances", "at least rollout_ready_deadline, 90 s", "found: 30 s"],
    ),
    (
        "unreachable hosts share one message",
        unreachable,
        [
            "2 hosts cannot be reached.",
            "app1: Failed to connect to the host via ssh: No route\n",
            "app2: Permission denied (publickey).\n",
            "try ssh app1; to go on without, take it out of the inventory",
        ],
    ),
    (
        "a host that failed to tell",
        lambda fleet: fleet["app1"].update(host_info={"failed": True, "msg": "no python"}),
        [
            "1 host did not tell what it is.",
            "app1: no python",
            "ansible app1 -i INVENTORY -b -m vitalops",
        ],
    ),
    (
        "a host without any result",
        lambda fleet: fleet["app1"].update(host_info=None),
        ["1 host did not tell what it is.", "app1: no reason was given"],
    ),
    (
        "a host without systemd",
        lambda fleet: fleet["app2"]["host_info"].update(init={"name": "runit", "systemd": False}),
        ["app2 does not run systemd.", "found: runit as process 1", "ps -p 1 -o comm="],
    ),
    (
        "two environments",
        lambda fleet: put(fleet, "app2", rollout_environment="staging"),
        ["The play mixes environments.", "production: lb1, app1, data1\n    staging: app2\n"],
    ),
    (
        "a host without environment",
        lambda fleet: fleet["data1"]["variables"].pop("rollout_environment"),
        ["Some hosts do not say to which environment they belong.", "(none): data1\n"],
    ),
    (
        "no environment at all",
        everywhere(rollout_environment=""),
        ["No host says to which environment it belongs.", "(none): lb1, app1, app2, data1"],
    ),
    (
        "a mistyped variable with a neighbour",
        everywhere(rollout_proceses=[]),
        ["Nothing reads the variable rollout_proceses.", "did you mean rollout_processes?", "set for all 4 hosts"],
    ),
    (
        "a variable that resembles none",
        lambda fleet: put(fleet, "app1", rollout_xyzzy=1),
        ["Nothing reads the variable rollout_xyzzy.", "a variable of role rollout", "set for app1\n"],
    ),
    (
        "an empty group",
        lambda fleet: t.cast(None, fleet.pop("lb1")),
        ["no host for deploy in: load_balancer.", "found: hosts in application, postgres"],
    ),
    (
        "a port taken by a service",
        lambda fleet: hears(fleet, "app1", 18000, process="nginx", pid=42, unit="nginx.service"),
        [
            "Port 18000 of app1 is taken by someone else.",
            "expected: port 18000 free, or used by ours (slot blue, web instance 1)",
            "found: process nginx, pid 42, unit nginx.service\n",
            "where: app1, 0.0.0.0:18000",
            "on app1: ss -ltnp sport = :18000",
        ],
    ),
    (
        "a port taken by another container",
        lambda fleet: hears(
            fleet, "app1", 18101, process="docker-proxy", pid=9, unit="docker.service", container="blog-blue-web-1"
        ),
        ["Port 18101 of app1 is taken by someone else.", "unit docker.service, container blog-blue-web-1"],
    ),
    (
        "a port taken by nobody who can be seen",
        lambda fleet: hears(fleet, "lb1", 80),
        ["Port 80 of lb1 is taken by someone else.", "found: a process that cannot be seen\n"],
    ),
    (
        "the users' port forwarded by an engine that does not tell to whom",
        lambda fleet: hears(fleet, "lb1", 80, process="docker-proxy", pid=9, unit="docker.service"),
        ["Port 80 of lb1 is taken by someone else."],
    ),
    (
        "ports that move away from running containers",
        lambda fleet: (
            hears(fleet, "app1", 17000, process="docker-proxy", unit="docker.service", container="shop-blue-web-1"),
            hears(fleet, "app1", 17001, process="docker-proxy", unit="docker.service", container="shop-blue-web-2"),
        )[0],
        [
            "rollout_ports would move slot blue of app1 away from its running instances.",
            "expected: web instances of slot blue on ports 18000, 18001",
            "found: instances of slot blue on ports 17000, 17001\n",
            "where: app1\n",
            "put rollout_ports back; ports can move only with the idle slot empty",
        ],
    ),
    (
        "ports that move away from a running unit, to those of the other slot",
        lambda fleet: hears(fleet, "app2", 18000, process="python3", unit="shop-green-web@1.service"),
        [
            "would move slot green of app2",
            "expected: web instances of slot green on ports 18100, 18101",
            "on port 18000\n",
        ],
    ),
    (
        "a name to bind to",
        everywhere(rollout_bind_address="app.internal"),
        ["rollout_bind_address is not an IP address", "found: app.internal\n", "where: app1, app2\n"],
    ),
    (
        "ports given by hand",
        lambda fleet: (
            fleet["data1"].update(expected_ports=[{"port": 7, "purpose": "echo", "owners": ["^echo"]}]),
            hears(fleet, "data1", 7, process="other"),
        )[0],
        ["Port 7 of data1 is taken by someone else.", "used by ours (echo)"],
    ),
    (
        "slots that overlap",
        everywhere(rollout_ports={"blue": 18000, "green": 18001}),
        [
            "The configured ports clash.",
            "at least 2 ports between the slots",
            "blue takes 18000 to 18001; green takes 18001 to 18002",
            "where: app1, app2",
        ],
    ),
    (
        "a slot on the users' port",
        lambda fleet: (
            fleet["app1"]["groups"].append("load_balancer"),
            put(fleet, "app1", rollout_public_port=18001),
        )[0],
        ["The configured ports clash.", "port 18001 for load balancer, users and for slot blue, web instance 2"],
    ),
    (
        "a refused login, asked from two hosts",
        refused_login,
        [
            "The login of rollout_database is not accepted.",
            'FATAL: password "********" failed for user "shop"',
            "where: 10.0.0.5:5432, database shop, user shop, asked from app1, app2",
            "psql -h 10.0.0.5 -p 5432 -U shop shop",
        ],
    ),
    (
        "a login that could not be tried",
        lambda fleet: fleet["app1"].update(login={"failed": True, "msg": "psycopg2 is missing"}),
        ["The login of rollout_database is not accepted.", "psycopg2 is missing"],
    ),
    (
        "an unsupported distribution",
        lambda fleet: fleet["app1"]["host_info"].update(
            distribution={"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04 LTS"}
        ),
        [
            "The distribution of app1 is not supported.",
            "Debian 12 or 13",
            "Ubuntu 24.04 LTS",
            "unsupported_distribution",
        ],
    ),
    (
        "a Debian of another age",
        lambda fleet: fleet["app1"]["host_info"].update(distribution={**DEBIAN, "version": "11"}),
        ["The distribution of app1 is not supported."],
    ),
]


@pytest.mark.parametrize(("change", "parts"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_one_thing_wrong_is_one_message(change: Change, parts: list[str]) -> None:
    fleet = sound_fleet()
    change(fleet)
    found = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0")
    assert len(found) == 1, found
    for part in parts:
        assert part in found[0] + "\n"
    assert "hunter2" not in found[0]


SOUND: list[tuple[str, Change, str]] = [
    ("an untouched fleet", lambda fleet: None, "deploy"),
    ("our own programs on our ports, others elsewhere", ours, "deploy"),
    (
        "a slot's port forwarded by an engine that does not tell to whom",
        lambda fleet: hears(fleet, "app1", 18000, process="docker-proxy", pid=9, unit="docker.service"),
        "deploy",
    ),
    (
        "a worker that tells metrics, and an instance of another application",
        lambda fleet: (
            everywhere(rollout_processes=[*VARIABLES["rollout_processes"], {"name": "mail", "kind": "worker"}])(fleet),
            hears(fleet, "app1", 9100, process="python3", unit="shop-blue-mail@1.service"),
            hears(fleet, "app1", 9200, process="docker-proxy", container="workshop-blue-web-1"),
        )[0],
        "deploy",
    ),
    (
        "status where ports have moved",
        lambda fleet: hears(fleet, "app1", 17000, process="docker-proxy", container="shop-blue-web-1"),
        "status",
    ),
    ("an IPv4 address to bind to", everywhere(rollout_bind_address="0.0.0.0"), "deploy"),
    ("an IPv6 address to bind to", everywhere(rollout_bind_address="2001:db8::1"), "deploy"),
    ("a login that is accepted", lambda fleet: fleet["app1"].update(login={"is_available": True}), "deploy"),
    ("a login that was not asked for", lambda fleet: fleet["app1"].update(login={"skipped": True}), "deploy"),
    ("provision without application hosts", lambda fleet: t.cast(None, fleet.pop("lb1")), "provision"),
    ("status where a port is taken", lambda fleet: hears(fleet, "app1", 18000, process="nginx"), "status"),
    (
        "an unsupported distribution that is allowed",
        lambda fleet: (
            fleet["app1"]["host_info"].update(distribution={"id": "ubuntu", "version": "24.04"}),
            put(fleet, "app1", rollout_allow=["unsupported_distribution"]),
        )[0],
        "deploy",
    ),
]


@pytest.mark.parametrize(("change", "verb"), [row[1:] for row in SOUND], ids=[row[0] for row in SOUND])
def test_nothing_wrong_is_no_message(change: Change, verb: str) -> None:
    fleet = sound_fleet()
    change(fleet)
    assert preflight_problems(fleet, verb, KNOWN, version="1.1.0") == []


def test_everything_wrong_at_once_is_told_at_once_causes_first() -> None:
    fleet = sound_fleet()
    unreachable(fleet)
    put(fleet, "lb1", rollout_enviroment="production")
    hears(fleet, "lb1", 80, process="nginx")
    first = [message.splitlines()[0] for message in preflight_problems(fleet, "deploy", KNOWN, version="1.1.0")]
    assert first == [
        "2 hosts cannot be reached.",
        "Nothing reads the variable rollout_enviroment.",
        "Port 80 of lb1 is taken by someone else.",
    ]


def test_names_known_elsewhere_are_no_typing_errors() -> None:
    fleet = sound_fleet()
    put(fleet, "lb1", rollout_verb="deploy")
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", also_known=["rollout_verb"]) == []


def test_hostvars_are_looked_at_for_the_named_hosts_only() -> None:
    hostvars = {
        name: {
            **entry["variables"],
            "group_names": entry["groups"],
            "__rollout_host": entry["host_info"],
            "login": {"is_available": name != "data1", "conn_err_msg": "no"},
        }
        for name, entry in sound_fleet().items()
    }
    del hostvars["app2"]["__rollout_host"]
    hosts = ["lb1", "app1"]
    assert preflight_problems(hostvars, "deploy", KNOWN, version="1.1.0", hosts=hosts) == []
    assert len(preflight_problems(hostvars, "deploy", KNOWN, version="1.1.0", hosts=[*hosts, "app2"])) == 1
    found = preflight_problems(hostvars, "deploy", KNOWN, version="1.1.0", hosts=[*hosts, "data1"], login="login")
    assert "asked from data1" in found[0]


@pytest.mark.parametrize(
    "arguments",
    [
        (["lb1"], "deploy", KNOWN),
        ({}, None, KNOWN),
        ({}, "deploy", "rollout_environment"),
        ({"lb1": None}, "deploy", KNOWN),
        ({"lb1": {"variables": {}}}, "deploy", KNOWN),
        ({"lb1": {"variables": [], "groups": []}}, "deploy", KNOWN),
    ],
)
def test_input_of_another_shape_is_refused_by_name(arguments: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^vitalops\.rollout\.preflight_problems: "):
        preflight_problems(*arguments)


def test_a_deploy_without_a_version_is_refused_and_a_roll_back_needs_none() -> None:
    fleet = sound_fleet()
    for verb in ("deploy", "site"):
        found = preflight_problems(fleet, verb, KNOWN, version="")
        assert ["It is not clear which version to deploy." in one for one in found] == [True]
    assert preflight_problems(fleet, "roll_back", KNOWN) == []


def test_a_part_of_the_fleet_can_be_provisioned_but_no_load_balancer_alone() -> None:
    fleet = sound_fleet()
    for verb in ("deploy", "roll_back", "retire", "provision", "site"):
        found = preflight_problems(fleet, verb, KNOWN, version="1.1.0", left_out=["app3", "app4"])
        assert ["found: without app3, app4" in one for one in found] == [True]
    del fleet["lb1"]
    assert preflight_problems(fleet, "provision", KNOWN, left_out=["lb1", "app3"]) == []


# The clock of the load balancer that is behind runs ahead.
LIVE = {"slot": "green", "release": "1.1.0-bbb", "epoch": 10, "confirmed_at": "2026-01-31T22:10:05Z"}
OLDER = {"slot": "blue", "release": "1.0.0-aaa", "epoch": 9, "confirmed_at": "2026-02-28T22:10:05Z"}


def with_slots(**app2: t.Any) -> Fleet:
    """Two load balancers, one of which is behind; app1 holds what is live, app2 what *app2* says."""
    fleet = sound_fleet()
    fleet["lb2"] = copy.deepcopy(fleet["lb1"])
    fleet["lb1"]["host_info"]["rollout"] = {"epoch": 0, "live": OLDER, "slots": {}, "retires": None}
    fleet["lb2"]["host_info"]["rollout"] = {"epoch": 0, "live": LIVE, "slots": {}, "retires": None}
    right = {"epoch": 5, "live": None, "slots": {"blue": "1.0.0-aaa", "green": "1.1.0-bbb"}, "retires": "blue"}
    fleet["app1"]["host_info"]["rollout"] = right
    fleet["app2"]["host_info"]["rollout"] = {**right, **app2}
    return fleet


@pytest.mark.parametrize(
    "app2",
    [
        {},
        {"slots": {"blue": None, "green": None}, "retires": None},
        {"slots": {"blue": "0.9.0", "green": "1.1.0-bbb"}},
        {"slots": {"blue": "1.0.0-aaa", "green": None}, "retires": "green"},
    ],
    ids=["the same", "a new host", "another release where no users are", "a slot that was emptied as told"],
)
def test_a_host_that_harms_nobody_may_come_into_the_fleet(app2: dict[str, t.Any]) -> None:
    assert preflight_problems(with_slots(**app2), "provision", KNOWN) == []


@pytest.mark.parametrize(
    ("app2", "found"),
    [
        ({"slots": {"blue": "1.0.0-aaa", "green": "0.9.0-ccc"}}, "found: release 0.9.0-ccc\n"),
        ({"retires": "green"}, "found: release 1.1.0-bbb, which its timer will stop\n"),
    ],
)
def test_a_host_that_missed_runs_does_not_get_users(app2: dict[str, t.Any], found: str) -> None:
    fleet = with_slots(**app2)
    for verb in ("provision", "site"):
        told = preflight_problems(fleet, verb, KNOWN, version="1.1.0")
        assert len(told) == 1
        assert "app2 missed runs" in told[0]
        assert found in told[0]
        assert "-a 'application=shop slot=green state=absent'" in told[0]
    # A deploy replaces what the host holds.
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0") == []


def test_without_epochs_the_clock_says_which_load_balancer_is_behind() -> None:
    fleet = with_slots(retires="green")
    for name, at in (("lb1", "2026-01-30T22:10:05Z"), ("lb2", "2026-01-31T22:10:05Z")):
        told = fleet[name]["host_info"]["rollout"]
        told["live"] = {**told["live"], "epoch": 0, "confirmed_at": at}
    assert ["app2 missed runs" in one for one in preflight_problems(fleet, "provision", KNOWN)] == [True]


def test_losses_that_are_named_are_accepted() -> None:
    fleet = sound_fleet()
    losses = {"rollout_guard": False, "rollout_drain_deadline": 0, "rollout_keep_warm_seconds": 0}
    losses |= {"rollout_guard_deadline": 1, "rollout_lease_seconds": 1}
    everywhere(**losses, rollout_processes=[WEB, WORKER])(fleet)
    everywhere(rollout_allow=["no_guard", "no_drain", "one_slot", "short_guard", "short_lease"])(fleet)
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0") == []


def test_a_roll_back_does_not_wait_for_hosts_and_still_refuses_a_loss_of_safety() -> None:
    fleet = sound_fleet()
    for entry in fleet.values():
        entry.pop("host_info", None)
    assert preflight_problems(fleet, "roll_back", KNOWN) == []
    everywhere(rollout_guard=False, rollout_guard_deadline=1, rollout_processes=[WEB, WORKER])(fleet)
    found = preflight_problems(fleet, "roll_back", KNOWN)
    assert [one.splitlines()[0].split(" ")[0] for one in found] == ["rollout_guard", "The"]


def test_gates_that_ask_stores_need_their_libraries_before_anything_starts() -> None:
    fleet = sound_fleet()
    gates = {
        "rollout_gates": {
            "before_switch": [
                {"name": "database", "type": "postgres", "at_most": {"connection_share": "80 %"}},
                {"name": "cache", "type": "redis", "at_least": {"hit_share": "60 %"}},
            ]
        },
        "rollout_database": {"host": "data1"},
        "rollout_redis": {"host": "data1"},
    }
    fleet["app1"]["host_info"]["python"] = {"libraries": {"psycopg2": True, "redis": False}}
    (found,) = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates)
    assert "the Python library redis" in found
    assert "app1" in found
    assert preflight_problems(fleet, "site", KNOWN, version="1.1.0", gates=gates) == []  # it installs it first
    fleet["app1"]["host_info"]["python"]["libraries"]["redis"] = True
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates) == []


@pytest.mark.parametrize("gates", ["smoke", {"bake": {"name": "smoke"}}, {"bake": ["smoke", 3]}, {"bake": None}])
def test_gates_of_another_shape_are_told_as_such(gates: t.Any) -> None:
    (found,) = preflight_problems(sound_fleet(), "deploy", KNOWN, version="1.1.0", gates={"rollout_gates": gates})
    assert found.startswith("The gates cannot be used; nothing was changed.")


def test_gates_that_cannot_trust_are_refused_by_a_deploy_and_only_by_it() -> None:
    fleet = sound_fleet()
    gate = {"name": "alerts", "type": "prometheus", "url": "https://p:9090", "query": "up", "at_least": {"value": 1}}
    gates = {
        "rollout_gates": {"after_roll_back": [{**gate, "ca_path": "/etc/ssl/p.pem"}]},
        "rollout_after_roll_back_seconds": 60,
    }
    told = fleet["lb1"]["host_info"]["authorities"] = {"/etc/ssl/p.pem": "nothing"}
    (found,) = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates)
    for part in ("found: nothing", "/etc/ssl/p.pem", "lb1, rollout_gates.after_roll_back, gate alerts", "next: put"):
        assert part in found
    for verb in ("provision", "site", "retire", "status", "roll_back", "confirm"):  # provision may bring it
        assert preflight_problems(fleet, verb, KNOWN, version="1.1.0", gates=gates) == []
    told["/etc/ssl/p.pem"] = None
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates) == []
    fleet["lb1"]["host_info"] = {"unreachable": True, "msg": "timed out"}
    (found,) = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates)
    assert "cannot be reached" in found


def test_a_bake_that_nobody_attends_needs_application_hosts_that_hear_of_its_end() -> None:
    fleet = sound_fleet()
    gates: dict[str, t.Any] = {"rollout_gates": {"bake": [{"name": "ready", "type": "http", "path": "/ready"}]}}
    gates |= {"rollout_bake_seconds": 60, "rollout_bake_attended": False}
    fleet["app2"]["host_info"]["load_balancers"] = {"lb1": "status 404"}
    (found,) = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates)
    assert "app2: lb1 at 10.0.0.1:80: status 404" in found
    assert preflight_problems(fleet, "site", KNOWN, version="1.1.0", gates=gates) == []  # provision brings it
    gates["rollout_bake_attended"] = True
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates) == []


def test_gates_that_read_counters_are_refused_where_nginx_routes() -> None:
    gates = {
        "rollout_gates": {"bake": [{"name": "errors", "type": "traffic", "at_most": {"error_share": "2 %"}}]},
        "rollout_bake_seconds": 60,
    }
    fleet = sound_fleet()
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates) == []
    put(fleet, "lb1", load_balancer_driver="nginx")
    (problem,) = preflight_problems(fleet, "deploy", KNOWN, version="1.1.0", gates=gates)
    for part in ("nginx does not count", "bake: errors", "nginx on lb1", "http and prometheus"):
        assert part in problem


def test_stores_that_need_more_memory_than_their_host_has_are_told_before_they_are_provisioned() -> None:
    fleet = sound_fleet()
    data = fleet["data1"]
    data["groups"].append("redis")
    data["host_info"]["memory_bytes"] = {"total": 4 * 1024**3, "usable": 2 * 1024**3}
    assert preflight_problems(fleet, "provision", KNOWN) == []
    put(fleet, "data1", postgres_memory="75 %", redis_maxmemory="512mb")
    assert ["data1 can give" in one for one in preflight_problems(fleet, "provision", KNOWN)] == [True]
    assert preflight_problems(fleet, "deploy", KNOWN, version="1.1.0") == []
    data["groups"].remove("redis")
    assert preflight_problems(fleet, "provision", KNOWN) == []
