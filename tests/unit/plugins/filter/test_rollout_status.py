# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter rollout_status: the screenful, and what it says about fleets that do not fit together."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.rollout_status import rollout_status
from ansible_collections.vitalops.rollout.plugins.plugin_utils._fleet import combine
from ansible_collections.vitalops.rollout.plugins.plugin_utils._status import Status, render

NOW = 1795273500.0  # 2026-11-21 15:05 UTC
NEW, OLD = "1.1.0-3f9c21ab77d0", "1.0.0-0a1b2c3d4e5f"
Model = dict[str, t.Any]


def instance(slot: str, process: str, number: int, state: str = "running", **more: t.Any) -> Model:
    return {
        "name": f"shop-{slot}-{process}-{number}",
        "process": process,
        "kind": process,
        "number": number,
        "state": state,
        "health": None,
        "restarts": 0,
        **more,
    }


def app_host() -> Model:
    return {
        "slots": {
            "blue": {
                "current": {"id": NEW},
                "previous": None,
                "processes_started": ["web", "worker"],
                "instances": [instance("blue", "web", 1, health="healthy"), instance("blue", "worker", 1)],
            },
            "green": {
                "current": {"id": OLD},
                "previous": None,
                "processes_started": ["web"],
                "instances": [instance("green", "web", 1), instance("green", "worker", 1, "stopped")],
            },
        }
    }


def sound() -> Model:
    return {
        "application": "shop",
        "environment": "production",
        "state": {
            "schema": 1,
            "live": "blue",
            "last_good": NEW,
            "slots": {
                "blue": {"release": {"id": NEW, "version": "1.1.0"}, "since": "2026-11-21T13:00:00Z", "by": "alice"},
                "green": {"release": {"id": OLD, "version": "1.0.0"}, "since": "2026-11-20T09:00:00Z", "by": "bob"},
            },
            "history": [
                {
                    "at": "2026-11-21T15:00:00Z",
                    "operation": "deploy",
                    "release": "1.2.0-bad",
                    "version": "1.2.0",
                    "slot": "green",
                    "by": "alice",
                    "outcome": "refused",
                }
            ],
        },
        "pointer": {"live": "blue", "candidate": None, "weight": 0},
        "servers": [
            {"slot": slot, "name": f"{host}-web-1", "status": "UP"}
            for slot in ("blue", "green")
            for host in ("app1", "app2")
        ],
        "instances": {"app1": app_host(), "app2": app_host()},
        "problems": [],
    }


def first(model: Model, host: str, slot: str) -> Model:
    return t.cast(Model, model["instances"][host]["slots"][slot]["instances"][0])


def nothing_deployed(model: Model) -> None:
    model.update(state=None, pointer=None, servers=[], instances={})


def first_release(model: Model) -> None:
    model["state"]["slots"]["green"] = None


def old_release_replaced(model: Model, previous: str | None) -> None:
    model["instances"]["app2"]["slots"]["green"].update(
        current={"id": "1.2.0-bad"}, previous={"id": previous} if previous else None
    )


def test_a_sound_fleet_is_one_screen_without_complaints() -> None:
    assert rollout_status(sound(), now=NOW) == [
        "shop in production: 1.1.0 is live in slot blue, for 2 h 05 min (by alice)",
        "",
        "  slot   state  release             since (UTC)                        instances  in HAProxy",
        "  blue   live   1.1.0-3f9c21ab77d0  2026-11-21 13:00 (2 h 05 min ago)  4/4 up     2/2 up",
        "  green  idle   1.0.0-0a1b2c3d4e5f  2026-11-20 09:00 (1 d 06 h ago)    2/2 up     2/2 up",
        "",
        "  instances   blue                 green",
        "  app1, app2  web 1/1  worker 1/1  web 1/1  worker off",
        "",
        f"  last good   {NEW}",
        f"  roll back   to {OLD} in green: warm, 2 of 2 web instances up",
        "  traffic     100 % to blue",
        "  last run    deploy of 1.2.0-bad in green: refused, 5 min ago by alice",
    ]


CHANGES: list[tuple[str, t.Callable[[Model], t.Any], str]] = [
    ("nothing is deployed", nothing_deployed, "shop in production: nothing is live yet"),
    ("nothing to go back from", nothing_deployed, "  roll back   no: nothing is live"),
    ("the first release", first_release, "  roll back   no: slot green is empty, this is the first release"),
    (
        "the old release can be fetched back",
        lambda model: old_release_replaced(model, OLD),
        f"  roll back   to {OLD} in green: possible, must start first (app2 holds 1.2.0-bad)",
    ),
    (
        "the old release is gone",
        lambda model: old_release_replaced(model, None),
        f"  roll back   to {OLD} in green: no, app2 does not have it any more (found 1.2.0-bad)",
    ),
    (
        "the old release is cold on one host",
        lambda model: first(model, "app1", "green").update(state="stopped"),
        f"  roll back   to {OLD} in green: possible, 1 of 2 must start first",
    ),
    (
        "no application host answered",
        lambda model: model.update(instances={}),
        f"  roll back   to {OLD} in green: unknown, no application host answered",
    ),
    (
        "a run died after its switch",
        lambda model: model["pointer"].update(live="green"),
        "  - the traffic pointer sends users to green, but the state says blue is live: roll_back goes there",
    ),
    (
        "and the way back is the recorded slot",
        lambda model: model["pointer"].update(live="green"),
        f"  roll back   to {NEW} in blue: a run was cut off after its switch",
    ),
    (
        "traffic is shared",
        lambda model: model["pointer"].update(candidate="green", weight=25),
        "  traffic     75 % to blue, 25 % to green",
    ),
    (
        "an instance is missing",
        lambda model: first(model, "app2", "blue").update(state="missing", restarts=3),
        "  - app2: shop-blue-web-1 is missing, restarted 3 times",
    ),
    (
        "its host has a row of its own",
        lambda model: first(model, "app2", "blue").update(state="missing"),
        "  app2       web 0/1  worker 1/1  web 1/1  worker off",
    ),
    (
        "an instance is unhealthy",
        lambda model: first(model, "app1", "blue").update(health="unhealthy"),
        "  - app1: shop-blue-web-1 is running but unhealthy",
    ),
    (
        "a live server gets no traffic",
        lambda model: model["servers"][1].update(status="DOWN"),
        "  - the load balancer does not send users to app2-web-1 of the live slot blue",
    ),
    (
        "the live slot holds another release",
        lambda model: model["instances"]["app1"]["slots"]["blue"].update(current={"id": OLD}),
        f"  - app1: the live slot blue holds {OLD}, not {NEW}",
    ),
    (
        "an instance nobody asked for",
        lambda model: first(model, "app1", "green").update(kind=None, name="shop-green-web-9"),
        "  - app1: shop-green-web-9 should not be there",
    ),
    (
        "an old worker that still finishes",
        lambda model: [
            model["instances"][host]["slots"]["green"]["instances"][1].update(state="running")
            for host in ("app1", "app2")
        ],
        "  app1, app2  web 1/1  worker 1/1  web 1/1  worker 1 still up",
    ),
    (
        "a problem that was told",
        lambda model: model["problems"].append("lb2 cannot be reached:\n no route"),
        "  - lb2 cannot be reached:  no route",
    ),
    (
        "a clock that runs ahead",
        lambda model: model["state"]["slots"]["blue"].update(since="2026-11-21T16:00:00+00:00"),
        "shop in production: 1.1.0 is live in slot blue, for 0 s (by alice)",
    ),
]


@pytest.mark.parametrize(("change", "line"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_the_screen_says(change: t.Callable[[Model], t.Any], line: str) -> None:
    model = sound()
    change(model)
    lines = rollout_status(model, now=NOW)
    assert line in lines, "\n".join(lines)


def test_the_largest_fleet_with_everything_wrong_still_fits_a_screen() -> None:
    model = sound()
    model["state"]["slots"]["blue"]["release"]["id"] = "1.1.0-" + "f" * 90
    model["problems"] = [f"problem {number} " + "with a long story " * 20 for number in range(2)]
    model["problems"] += [f"problem {number}" for number in range(2, 20)]
    for number in range(1, 17):
        host = copy.deepcopy(app_host())
        host["slots"]["blue"]["processes_started"].append("p" * 40)
        host["slots"]["blue"]["instances"] += [instance("blue", "p" * 40, one, "missing") for one in range(number)]
        model["instances"][f"app{number}"] = host
    lines = render(Status(**model, now=NOW, run="deploy by kim " * 30, watch="lb1  bake, 0:35 of 10:00 " * 30))
    assert len(lines) == 32
    assert max(map(len, lines)) <= 100
    assert any("more groups of hosts" in line for line in lines)
    assert lines[-2] == "  - problem 2"
    assert lines[-1].startswith("  - ... and 1")


def test_nothing_is_left_out_when_it_fits() -> None:
    model = sound()
    model["problems"] = [f"problem {number}" for number in range(8)]
    assert rollout_status(model, now=NOW)[-8:] == [f"  - problem {number}" for number in range(8)]
    model["problems"].append("problem 9")
    assert rollout_status(model, now=NOW)[-2:] == ["  - problem 6", "  - ... and 2 more"]


def hostvars() -> Model:
    model = sound()
    balancer = {"state": model["state"], "pointer": model["pointer"], "haproxy_pointer": model["pointer"]}
    balancer.update(servers=model["servers"], haproxy_error="")
    names = {"rollout_application": "shop", "rollout_environment": "production"}
    told: Model = {host: {"__status_slots": result} for host, result in model["instances"].items()}
    for host in ("lb1", "lb2"):
        told[host] = {**names, "__status_load_balancer": copy.deepcopy(balancer)}
    return told


def drawn(told: Model) -> list[str]:
    return rollout_status(told, ["lb1", "lb2"], ["app1", "app2"], now=NOW)


def test_hostvars_give_the_same_screen() -> None:
    assert drawn(hostvars()) == rollout_status(sound(), now=NOW)


@pytest.mark.parametrize(
    ("names", "heading"),
    [(("HAProxy", "HAProxy"), "in HAProxy"), (("nginx", "nginx"), "in nginx"), (("HAProxy", "nginx"), "in both")],
)
def test_what_routes_is_called_by_its_name(names: tuple[str, str], heading: str) -> None:
    told = hostvars()
    for host, name in zip(("lb1", "lb2"), names, strict=True):
        told[host]["__status_load_balancer"]["load_balancer"] = name
    assert drawn(told)[2].endswith(f"instances  {heading}")


DIFFERENCES: list[tuple[str, str, Model, str]] = [
    ("pointers differ", "lb2", {"pointer": {"live": "green"}}, "differ: traffic goes to blue on lb1, to green on lb2"),
    ("states differ", "lb2", {"state": None}, "differ: the state of lb2 is not the state of lb1"),
    ("HAProxy is down", "lb1", {"haproxy_error": "no socket"}, "HAProxy of lb1 does not answer: no socket"),
    ("HAProxy routes otherwise", "lb2", {"haproxy_pointer": None}, "HAProxy of lb2 routes otherwise than its map file"),
    ("a module failed", "lb2", {"failed": True, "msg": "oops"}, "lb2 did not answer: oops"),
    (
        "a server is down for one of two",
        "lb2",
        {"servers": [{"slot": "blue", "name": "app1-web-1", "status": "DOWN"}]},
        "the load balancer does not send users to app1-web-1",
    ),
]


@pytest.mark.parametrize(
    ("host", "change", "line"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_load_balancers_that_differ_are_told(host: str, change: Model, line: str) -> None:
    told = hostvars()
    told[host]["__status_load_balancer"].update(change)
    assert line in "\n".join(drawn(told))


def attention(model: Model, **more: t.Any) -> str:
    return " ".join(" ".join(render(Status(**model, now=NOW, **more))).partition("  attention")[2].split())


def refused_unattended() -> Model:
    """Slot green has the refused release, with all that it runs."""
    model = sound()
    model["state"]["slots"]["green"] = None
    for host in model["instances"].values():
        host["follows"] = "1.2.0-bad"
        host["slots"]["green"].update(current={"id": "1.2.0-bad"}, processes_started=["web", "worker"])
        host["slots"]["green"]["instances"][1]["state"] = "running"
    return model


def test_what_a_refused_release_still_does_is_told_with_what_to_type_and_where_to_look() -> None:
    told = attention(refused_unattended())
    assert "app1, app2: workers of the refused 1.2.0-bad in green stop within a minute, else: ansible-play" in told
    assert "ansible-playbook vitalops.rollout.deploy -i INVENTORY -e rollout_version=1.1.0" in told
    assert "why: journalctl -u rollout-watch@shop on the load balancer, log of shop-green-web-1 on app1" in told
    for change in ({"follows": None}, {"follows": "1.1.0-other"}):
        model = refused_unattended()
        model["instances"]["app2"].update(change)  # what it was told is void
        assert "workers of the refused 1.2.0-bad take jobs in green until the next deploy, or: ansible-" in attention(
            model
        )
    model = refused_unattended()
    for host in model["instances"].values():
        host["slots"]["green"]["instances"][1]["health"] = "starting"  # it takes jobs already
    assert "vitalops.rollout.roll_back -i INVENTORY" in attention(model, undone=True)


def test_a_live_release_whose_scheduler_runs_nowhere_is_told_with_what_to_type() -> None:
    model = sound()
    one = {"name": "s", "process": "clock", "kind": "scheduler", "state": "stopped", "health": None}
    for host in model["instances"].values():
        host["slots"]["blue"]["instances"].append(one)
    says = "no host runs the scheduler (clock) of the live slot blue: ansible-playbook vitalops.rollout.deploy "
    assert says in attention(model)
    assert says not in attention({**model, "problems": ["app3 cannot be reached"]})
    assert says not in attention(model, run="deploy")
    model["instances"]["app2"]["slots"]["blue"]["processes_started"] = ["web", "clock"]
    assert says not in attention(model)


@pytest.mark.parametrize("how", ["stopped", "run", "replaced", "confirmed"])
def test_what_is_left_of_no_refused_release_needs_no_attention(how: str) -> None:
    model = refused_unattended()
    for host in model["instances"].values():
        if how == "stopped":
            host["slots"]["green"].update(processes_started=[])
        if how == "replaced":
            host["slots"]["green"].update(current={"id": OLD})
    if how == "confirmed":
        model["state"]["history"][-1]["outcome"] = "confirmed"
    assert attention(model, run="deploy by kim" if how == "run" else "") == ""


def test_who_did_not_wait_for_the_gates_is_told() -> None:
    model = sound()
    model["state"]["history"][-1].update(outcome="confirmed", approved_by="lee (AWX)")
    assert any(
        "confirmed, 5 min ago by alice, approved by lee (AWX)" in line for line in rollout_status(model, now=NOW)
    )


def test_a_container_in_its_start_period_needs_no_attention() -> None:
    model = sound()
    first(model, "app1", "blue").update(health="starting")
    assert attention(model) == ""
    first(model, "app1", "blue").update(restarts=2)
    assert "shop-blue-web-1 is running but starting, restarted 2 times" in attention(model)


def test_a_roll_back_after_a_deploy_that_died_is_not_promised_to_go_further() -> None:
    told = hostvars()
    for host in ("lb1", "lb2"):
        told[host]["__status_load_balancer"]["state"].update(application="shop", environment="production")
    last = {"epoch": 8, "operation": "deploy", "step": "revert", "release": "1.2.0-bad"}
    told["lb2"]["__status_load_balancer"]["unsettled"] = last
    assert "  roll back   done already, for the last deploy was cut off; a second one goes" in "\n".join(drawn(told))
    told["lb2"]["__status_load_balancer"]["pointer"] = {"live": "green", "candidate": None, "weight": 0}
    assert f"  roll back   to {NEW} in blue: a run was cut off after its switch" in drawn(told)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (None, "  - app2 was not asked or cannot be reached"),
        ({"unreachable": True, "msg": "no route"}, "  - app2 cannot be reached: no route"),
    ],
)
def test_a_host_without_an_answer_is_told_and_not_counted(result: Model | None, line: str) -> None:
    told = hostvars()
    told["app2"] = {} if result is None else {"__status_slots": result}
    lines = drawn(told)
    assert line in lines
    assert "  app1       web 1/1  worker 1/1  web 1/1  worker off" in lines


LEASE: Model = {
    "id": "run-kim",
    "operation": "deploy",
    "actor": "kim",
    "source": "command line",
    "acquired": "2026-11-21T10:31:02Z",
    "remaining": 60.0,
    "released": False,
    "over": 0.0,
}
OVER = {**LEASE, "remaining": 0.0, "over": 12.3}
STALE = "lease stale: run run-kim by kim, over since 12 s; the next run takes it over"
OF_ROBIN = {**LEASE, "id": "run-robin", "actor": "robin"}
ENTRY: Model = {
    "run": "run-kim",
    "operation": "deploy",
    "actor": "kim",
    "source": "command line",
    "release": "1.2.0-ccc",
    "step": "switch",
    "phase": "begin",
    "outcome": None,
    "at": "2026-11-21T10:32:10Z",
}
INTENT: Model = {
    "status": "armed",
    "says": None,
    "previous": "blue",
    "armed": "2026-11-21T10:32:09Z",
    "left": 12.3,
    "timer": True,
    "run": {**ENTRY, "id": "run-kim"},
}
STUCK = {**INTENT, "status": "inconsistent", "says": "blue does not answer and green does: a person must look"}
REVERT: Model = {"action": "revert", "says": "Found it; guard armed. Now: traffic goes back to slot blue."}
ARMED: Model = {"unfinished": ENTRY, "intent": INTENT, **REVERT}
DOUBT: Model = {"action": "revert", "says": "Found it. Now: traffic goes back to slot blue if it answers again."}
STEP_REVERT = {**ENTRY, "step": "revert", "phase": "end", "outcome": "failed", "actor": "guard"}
INCONSISTENT: Model = {"unfinished": STEP_REVERT, "intent": STUCK, **DOUBT}
BEGUN: Model = {
    "unfinished": {**ENTRY, "step": "begin", "phase": "end", "outcome": "done"},
    "action": "abandon",
    "says": "Found it. Now: it is closed, as no traffic is left to move.",
}
ACTED: Model = {"action": "nothing", "says": "The guard has acted: traffic is back on blue."}
MOVE = "look at it, then move it away: mv lease.json lease.json.damaged"
DAMAGED = f"A state file is damaged.\n  expected: a JSON object\n  found: nonsense\n  where: lease.json\n  next: {MOVE}"
KIM = "deploy by kim (command line) since 10:31 UTC"
WAIT = "if it is dead, wait 60 s or break lease run-kim"
CUT = "lb1: deploy of 1.2.0-ccc by kim (command line) was cut off in step switch at 2026-11-21 10:32 UTC"
BEGUN_CUT = CUT.replace("in step switch", "after step begin")
BACK = "traffic returns to blue in 12 s unless confirmed"
NEXT = "the next run: traffic goes back to slot blue"
CLOSED = "it is closed, as no traffic is left to move"
NO_WAY = f"lb1: {STUCK['says']}; {NEXT} if it answers again"
UNREAD = f"lb1: A state file is damaged. next: {MOVE}"

# What lb1 knows, the run as it is told, and what needs attention.
RUNS: list[tuple[str, Model, str, list[str]]] = [
    ("the lease lasts, armed", {"lease": LEASE, **ARMED}, f"{KIM}, in step switch; {BACK}; {WAIT}", []),
    (
        "the lease lasts, armed before a first release",
        {"lease": LEASE, **ARMED, "intent": {**INTENT, "previous": None}},
        f"{KIM}, in step switch; traffic returns to nobody in 12 s unless confirmed; {WAIT}",
        [],
    ),
    (
        "the lease lasts, armed and not moved",
        {"lease": LEASE, **ARMED, "unfinished": {**ENTRY, "step": "arm"}, "action": "disarm"},
        f"{KIM}, in step arm; traffic stays, its guard ends in 12 s; {WAIT}",
        [],
    ),
    (
        "the lease lasts, the timer is missing",
        {"lease": LEASE, **ARMED, "intent": {**INTENT, "timer": False}},
        f"{KIM}, in step switch; "
        f"traffic returns to blue at the next boot or run (its timer is missing) unless confirmed; {WAIT}",
        [],
    ),
    (
        "the lease lasts, the deadline is over",
        {"lease": LEASE, **ARMED, "intent": {**INTENT, "timer": False, "left": 0.0}},
        f"{KIM}, in step switch; traffic returns to blue now; {WAIT}",
        [],
    ),
    (
        "the lease lasts, nothing armed",
        {"lease": LEASE, **BEGUN},
        f"{KIM}, after step begin; {WAIT}; the next run: {CLOSED}",
        [],
    ),
    (
        "the lease lasts, inconsistent",
        {"lease": LEASE, **INCONSISTENT},
        f"{KIM}, in step revert; its guard found no way back; {WAIT}",
        [NO_WAY],
    ),
    (
        "the lease of a dead run lasts, its guard has acted",
        {"lease": LEASE, **ACTED},
        f"{KIM}; {WAIT}",
        ["lb1: The guard has acted: traffic is back on blue"],
    ),
    (
        "the lease is of another run than what was left",
        {"lease": OF_ROBIN, **ARMED},
        f"{KIM}; {WAIT}".replace("kim", "robin"),
        [f"{CUT}; {BACK}; {NEXT}"],
    ),
    ("the lease lasts, nothing begun", {"lease": LEASE, "action": "nothing", "says": ""}, f"{KIM}; {WAIT}", []),
    (
        "the lease lasts, HAProxy hangs",
        {"lease": LEASE, **ARMED, "action": None, "says": ""},
        f"{KIM}, in step switch; {BACK}; {WAIT}",
        [],
    ),
    ("the lease is over, armed", {"lease": OVER, **ARMED}, "", [f"{CUT}; {BACK}; {NEXT}", STALE]),
    ("the lease is over, nothing armed", {"lease": OVER, **BEGUN}, "", [f"{BEGUN_CUT}; the next run: {CLOSED}", STALE]),
    ("the lease is over, inconsistent", {"lease": OVER, **INCONSISTENT}, "", [NO_WAY, STALE]),
    ("the lease is over, nothing begun", {"lease": OVER, "action": "nothing", "says": ""}, "", [STALE]),
    (
        "the lease was given back",
        {"lease": {**OVER, "released": True, "over": 0.0}, "action": "nothing", "says": ""},
        "",
        [],
    ),
    ("no lease, armed", {"lease": None, **ARMED}, "", [f"{CUT}; {BACK}; {NEXT}"]),
    ("no lease, nothing armed", {"lease": None, **BEGUN}, "", [f"{BEGUN_CUT}; the next run: {CLOSED}"]),
    ("no lease, inconsistent", {"lease": None, **INCONSISTENT}, "", [NO_WAY]),
    (
        "no lease, armed, no journal",
        {"lease": None, **ARMED, "unfinished": None},
        "",
        [f"{CUT.replace('in step switch', 'after its guard was armed')}; {BACK}; {NEXT}"],
    ),
    (
        "no run, HAProxy routes otherwise",
        {"lease": None, "action": "repair", "says": "Found no unfinished run. Now: HAProxy follows the map file."},
        "",
        ["lb1: Found no unfinished run; the next run: HAProxy follows the map file"],
    ),
    (
        "a damaged lease, armed",
        {"lease": None, **ARMED, "problem": DAMAGED},
        "",
        [UNREAD, f"{CUT}; {BACK}; {NEXT.replace('run', 'run that is not refused')}"],
    ),
    (
        "a damaged lease, nothing armed",
        {"lease": None, **BEGUN, "problem": DAMAGED},
        "",
        [UNREAD, f"{BEGUN_CUT}; the next run that is not refused: {CLOSED}"],
    ),
    (
        "a damaged lease, inconsistent",
        {"lease": None, **INCONSISTENT, "problem": DAMAGED},
        "",
        [UNREAD, NO_WAY.replace("next run", "next run that is not refused")],
    ),
    (
        "two problems",
        {"lease": None, "action": None, "says": "", "problem": f"{DAMAGED}\nAnother one."},
        "",
        [UNREAD, "lb1: Another one."],
    ),
]


@pytest.mark.parametrize(("known", "run", "problems"), [row[1:] for row in RUNS], ids=[row[0] for row in RUNS])
def test_who_is_at_work_or_was_and_what_happens_next(known: Model, run: str, problems: list[str]) -> None:
    balancer = {**hostvars()["lb1"]["__status_load_balancer"], "intent": None, "unfinished": None, **known}
    status = combine("shop", "production", {"lb1": balancer}, {}, NOW)
    assert (status.run, status.problems) == (run, problems)


@pytest.mark.parametrize(("early", "when"), [(True, "after the switch, before the bake"), (False, "bake")])
def test_what_a_watch_sees_is_told_with_its_phase(early: bool, when: str) -> None:
    gate = {"name": "users", "enforce": True, "verdict": "pass", "words": ["300 answers"], "answers": []}
    progress = {"action": "hold", "reasons": [], "elapsed": 4.0, "seconds": 0.0, "gates": [gate]}
    watch = {"phase": "bake", "alone": False, "early": early, "progress": progress, "says": ""}
    balancer = {**hostvars()["lb1"]["__status_load_balancer"], "watch": watch}
    told = combine("shop", "production", {"lb1": balancer}, {}, NOW).watch
    assert told == f"lb1  {when}, 0:04  users: pass (300 answers)"


SWITCHED = {**ENTRY, "phase": "end", "outcome": "done"}


@pytest.mark.parametrize(
    ("entry", "steps", "words"),
    [
        (BEGUN["unfinished"], {"app2": "stage"}, "in step stage on app2"),
        (BEGUN["unfinished"], dict.fromkeys(("app1", "app2"), "stage"), "in step stage on app1, app2"),
        (BEGUN["unfinished"], {"app1": "stage", "app2": "empty"}, "in step stage on app1, empty on app2"),
        (SWITCHED, {"app1": "workers"}, "in step workers on app1"),
        (SWITCHED, {}, "after step switch"),
        (ENTRY, {"app1": "workers"}, "in step switch"),
        ({**SWITCHED, "run": "run-robin"}, {"app1": "workers"}, "after step switch"),
        (None, {"app1": "workers"}, "in step workers on app1"),
    ],
)
@pytest.mark.parametrize("lasts", [True, False])
def test_the_step_that_an_application_host_is_in_is_told(
    entry: Model | None, steps: dict[str, str], words: str, lasts: bool
) -> None:
    run = entry["run"] if entry else "run-kim"
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(
        lease={**LEASE, "id": run} if lasts else None, **{**ARMED, "unfinished": entry}
    )
    for host, step in steps.items():
        at = "2026-11-21T10:33:10Z"
        told[host]["__status_slots"]["step"] = {"run": "run-kim", "step": step, "at": at, "at_work": lasts}
    screen = " ".join(" ".join(drawn(told)).split())
    assert (f"since 10:31 UTC, {words}; " if lasts else f"was cut off {words} at 2026-11-21 10:3") in screen


def test_a_stale_lease_is_told_once_for_all_load_balancers() -> None:
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(lease=OVER)
    told["lb2"]["__status_load_balancer"].update(lease={**OVER, "over": 3.0})
    assert drawn(told)[-2:] == ["  attention", f"  - {STALE.replace('12 s', '3 s')}"]


def test_the_load_balancer_whose_guard_is_armed_tells_of_the_run() -> None:
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(lease=LEASE, **BEGUN)
    told["lb2"]["__status_load_balancer"].update(lease=LEASE, **ARMED)
    assert drawn(told)[-2:] == [
        "  run now     deploy by kim (command line) since 10:31 UTC, in step switch; traffic returns to blue",
        "              in 12 s unless confirmed; if it is dead, wait 60 s or break lease run-kim",
    ]


def test_the_id_that_breaks_the_lease_is_told_however_long_the_names_are() -> None:
    lease = {**LEASE, "id": "7f3c09a1b2d4e5f6", "actor": "kimberly.longname@example.org", "source": "AWX job 123456"}
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(lease=lease, **{**ARMED, "unfinished": {**ENTRY, "run": lease["id"]}})
    assert "break lease 7f3c09a1b2d4e5f6" in " ".join(" ".join(drawn(told)).split())
    lease["source"] = "command line on operations-workstation-17.example.org"
    assert "break lease 7f3c09a1b2d4e5f6" in " ".join(" ".join(drawn(told)).split())


def test_a_state_that_cannot_be_read_is_told_by_another_load_balancer() -> None:
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(state=None, problem=DAMAGED)
    lines = drawn(told)
    assert lines[0] == drawn(hostvars())[0]
    assert any(line.startswith("  - lb1: A state file is damaged.") for line in lines)


def test_without_any_state_the_screen_says_who_has_the_traffic() -> None:
    told = hostvars()
    for host in ("lb1", "lb2"):
        told[host]["__status_load_balancer"].update(state=None, problem=DAMAGED)
    assert drawn(told)[0] == "shop in production: slot blue has the traffic, but no state tells what is in it"


def test_what_happens_next_is_not_cut_off() -> None:
    told = hostvars()
    told["lb1"]["__status_load_balancer"].update(lease=OVER, **INCONSISTENT)
    told["lb2"]["__status_load_balancer"].update(lease=OVER, **ARMED)
    assert drawn(told)[-7:] == [
        "  attention",
        "  - lb1: blue does not answer and green does: a person must look; the next run: traffic goes back to",
        "    slot blue if it answers again",
        "  - lb2: deploy of 1.2.0-ccc by kim (command line) was cut off in step switch at 2026-11-21 10:32",
        "    UTC; traffic returns to blue in 12 s unless confirmed; the next run: traffic goes back to slot",
        "    blue",
        f"  - {STALE}",
    ]


@pytest.mark.parametrize("arguments", [("shop",), ({"application": "shop"},), ({}, []), ({}, ["lb1"])])
def test_input_of_another_shape_is_refused_by_name(arguments: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^vitalops\.rollout\.rollout_status: "):
        rollout_status(*arguments)
