# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the hosts answered to one status: load balancers that differ are told, not hidden. Pure. PRIVATE."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._gates.refusal import BEFORE_BAKE
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states

from . import _watch as watch_words
from ._fleet_plan import undone
from ._status import Status, few

Fields = t.Mapping[str, t.Any]


def combine(
    application: str,
    environment: str,
    load_balancers: t.Mapping[str, Fields | None],
    applications: t.Mapping[str, Fields | None],
    now: float,
) -> Status:
    """Returns the status out of the results of rollout_info and slot_info by host; None for a host without a result."""
    problems = [_unanswered(host, result) for host, result in {**load_balancers, **applications}.items()]
    inside = _inside(applications)
    answered = {
        host: {**result, "inside": inside.get(_unfinished_run(result) or "")}
        for host, result in load_balancers.items()
        if result and "pointer" in result
    }
    # One whose state cannot be read tells less than another one.
    first = min(answered, key=lambda host: answered[host].get("state") is None, default=None)
    for host, result in answered.items():
        problems += _unread(host, result)
        problems += _differences(first or host, answered[first or host], host, result)
    told = answered[first] if first is not None else {}
    return Status(
        application,
        environment,
        told.get("state"),
        told.get("pointer"),
        _servers(answered.values()),
        {host: result for host, result in applications.items() if result and "slots" in result},
        [problem for problem in [*problems, *_unfinished(answered), *_stale(answered.values())] if problem],
        now,
        _run(answered),
        _undone(answered.values(), told.get("state")),
        _watched(answered),
        _router(answered.values()),
        any(_is_astray(result, told["state"]) for result in answered.values()),
    )


def _is_astray(result: Fields, state: Fields | None) -> bool:
    """Whether users of a load balancer are where neither it nor the fleet has a confirmation: a roll back ends that."""
    known = {None, *((one or {}).get("live") for one in (result.get("state"), state))}
    return state is not None and (result["pointer"] or {}).get("live") not in known


def _router(answered: t.Iterable[Fields]) -> str:
    """What stands above what load balancers say of instances; a fleet may have HAProxy and nginx."""
    names = {str(result.get("load_balancer") or "HAProxy") for result in answered} or {"HAProxy"}
    return names.pop() if len(names) == 1 else "both"


def _undone(answered: t.Collection[Fields], state: Fields | None) -> bool:
    if state is None or not any(result.get("unsettled") for result in answered):
        return False
    return undone(answered, states.from_dict(state, "state.json"))


def _unanswered(host: str, result: Fields | None) -> str:
    if not result:
        return f"{host} was not asked or cannot be reached"
    if result.get("unreachable"):
        return f"{host} cannot be reached: {result.get('msg')}"
    if result.get("failed"):
        return f"{host} did not answer: {result.get('msg')}"
    return ""


def _unread(host: str, result: Fields) -> list[str]:
    """What a host cannot read, or what contradicts itself there: of each message its first line, and the way out."""
    messages = [one.splitlines() for one in re.split(r"\n(?=\S)", result.get("problem") or "") if one]
    return [
        " ".join([f"{host}: {what}", *(part.strip() for part in parts if part.startswith("  next: "))])
        for what, *parts in messages
    ]


def _run(answered: t.Mapping[str, Fields]) -> str:
    """The run that holds the lease, its step, and what happens when it is not heard of again."""
    held = [result for result in answered.values() if _is_held(result)]
    if not held:
        return ""
    # Steps are taken host by host: the one with an armed guard tells what happens first.
    result = max(held, key=lambda one: (_is_at_work(one), bool(one.get("intent"))))
    lease = result["lease"]
    who = f"{lease['operation']} by {lease['actor']} ({lease['source']}) since {lease['acquired'][11:16]} UTC"
    if (result.get("watch") or {}).get("alone"):
        # The guard waits as long as the watch lives.
        return (
            f"{who}; the load balancers confirm it by themselves, or take it back; confirm and roll_back end that now"
        )
    wait = f"if it is dead, wait {lease['remaining']:.0f} s or break lease {lease['id']}"
    if not _is_at_work(result):
        return f"{who}; {wait}"
    if result.get("intent"):
        return f"{who}, {_step(result)}; {_guard(result)}; {wait}"
    return _joined(f"{who}, {_step(result)}", wait, _next_run(result))


def _watched(answered: t.Mapping[str, Fields]) -> str:
    """What a watch sees at this moment, on the load balancer where it sees the least good."""
    seen = {host: result["watch"] for host, result in answered.items() if (result.get("watch") or {}).get("progress")}
    if not seen:
        return ""
    host = max(seen, key=lambda one: sum(gate["verdict"] != "pass" for gate in seen[one]["progress"]["gates"]))
    told = seen[host]
    phase = BEFORE_BAKE if told.get("early") else watch_words.PHASES[told["phase"]]
    return watch_words.line(host, phase, told["progress"]).strip()


def _unfinished(answered: t.Mapping[str, Fields]) -> list[str]:
    """What a run that nobody drives any more has left, what the guard did, and where it found no way back."""
    found = []
    for host, result in answered.items():
        intent = result.get("intent")
        if intent and intent["status"] == "inconsistent":
            found.append(f"{host}: {_joined(intent['says'] or _guard(result), _next_run(result))}")
        elif _is_at_work(result):
            continue  # told as the run that is under way
        elif _unfinished_run(result):
            found.append(f"{host}: {_joined(_cut_off(result), _guard(result), _next_run(result))}")
        elif result.get("says"):
            found.append(f"{host}: {_joined(result['says'].partition(' Now: ')[0].rstrip('.'), _next_run(result))}")
    return found


def _is_held(result: Fields) -> bool:
    lease = result.get("lease")
    return bool(lease and lease["remaining"] > 0)


def _stale(answered: t.Iterable[Fields]) -> list[str]:
    """Leases that nobody gave back, and whose time is over; one run has one on every load balancer."""
    stale: dict[str, Fields] = {}
    for result in answered:
        lease = result.get("lease")
        if lease and not lease["released"] and not _is_held(result):
            known = stale.setdefault(lease["id"], lease)
            stale[lease["id"]] = min(known, lease, key=lambda one: float(one["over"]))
    return [
        f"lease stale: run {lease['id']} by {lease['actor']}, over since {lease['over']:.0f} s; "
        "the next run takes it over"
        for lease in stale.values()
    ]


def _unfinished_run(result: Fields) -> str | None:
    """The id of the run that did not end on this host; a guard without a journal knows whose it is."""
    entry, intent = result.get("unfinished"), result.get("intent")
    if entry:
        return str(entry["run"])
    return str(intent["run"]["id"]) if intent else None


def _is_at_work(result: Fields) -> bool:
    """Whether the run that did not end is the one that holds the lease: then it may be alive."""
    return _is_held(result) and _unfinished_run(result) == str(result["lease"]["id"])


def _inside(applications: t.Mapping[str, Fields | None]) -> dict[str, Fields]:
    """The steps that application hosts have begun and not ended, by run: in words, and since when."""
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for host, result in applications.items():
        step = (result or {}).get("step")
        if step:
            found.setdefault(step["run"], {}).setdefault(step["step"], []).append((host, step["at"]))
    return {
        run: {
            "words": "in step "
            + ", ".join(f"{name} on {few([host for host, _at in on])}" for name, on in steps.items()),
            "at": max(at for on in steps.values() for _host, at in on),
        }
        for run, steps in found.items()
    }


def _step(result: Fields) -> str:
    entry = result.get("unfinished")
    if entry and (entry["phase"] == "begin" or entry["outcome"] == "failed"):
        return f"in step {entry['step']}"
    if result["inside"]:
        return str(result["inside"]["words"])
    return f"after step {entry['step']}" if entry else "after its guard was armed"


def _cut_off(result: Fields) -> str:
    entry, intent = result.get("unfinished"), result.get("intent") or {}
    run, moment = (entry, entry["at"]) if entry else (intent["run"], intent["armed"])
    if result["inside"]:
        moment = max(moment, result["inside"]["at"])
    release = f" of {run['release']}" if run["release"] else ""
    return (
        f"{run['operation']}{release} by {run['actor']} ({run['source']}) was cut off {_step(result)} "
        f"at {moment[:16].replace('T', ' ')} UTC"
    )


def _guard(result: Fields) -> str:
    """What the guard does by itself, and when; an empty string when nothing is armed."""
    intent = result.get("intent")
    if not intent:
        return ""
    if intent["status"] == "inconsistent":
        return "its guard found no way back"
    when = f"in {intent['left']:.0f} s" if intent["timer"] else "at the next boot or run (its timer is missing)"
    # From its deadline on a guard tries every second, without a timer.
    when = when if intent["left"] > 0 else "now"
    if result.get("action") not in (None, "revert"):
        return f"traffic stays, its guard ends {when}"
    return f"traffic returns to {intent['previous'] or 'nobody'} {when}{' unless confirmed' if when != 'now' else ''}"


def _next_run(result: Fields) -> str:
    """What the next run does about what it finds; while something cannot be read, every run is refused."""
    does = (result.get("says") or "").partition("Now: ")[2].rstrip(".")
    which = "the next run that is not refused" if result.get("problem") else "the next run"
    return f"{which}: {does}" if does else ""


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _differences(first: str, expected: Fields, host: str, result: Fields) -> list[str]:
    found, name = [], result.get("load_balancer") or "HAProxy"
    if result["pointer"] != expected["pointer"]:
        found.append(
            f"load balancers differ: traffic goes to {_live(expected)} on {first}, to {_live(result)} on {host}"
        )
    if _core(result.get("state")) != _core(expected.get("state")):
        found.append(f"load balancers differ: the state of {host} is not the state of {first}")
    if result.get("haproxy_error"):
        found.append(f"{name} of {host} does not answer: {result['haproxy_error']}")
    elif "haproxy_pointer" in result and result["haproxy_pointer"] != result["pointer"]:
        found.append(
            f"{name} of {host} routes otherwise than its map file says; the next run puts that right. "
            f"Do not reload {name}: the file may name a slot that nobody confirmed"
        )
    return found


def _live(result: Fields) -> str:
    return str((result["pointer"] or {}).get("live") or "nobody")


def _core(state: Fields | None) -> t.Any:
    """What must be the same everywhere; histories and moments may differ by the second."""
    if not state:
        return None
    slots = {slot: (record or {}).get("release") for slot, record in state["slots"].items()}
    return state["live"], state["last_good"], slots


def _servers(results: t.Iterable[Fields]) -> list[dict[str, t.Any]]:
    """A server is up when every load balancer calls it so; otherwise the first other status counts."""
    merged: dict[tuple[str, str], dict[str, t.Any]] = {}
    for result in results:
        for server in result.get("servers") or []:
            known = merged.setdefault((server["slot"], server["name"]), dict(server))
            if str(known["status"]).startswith("UP"):
                known["status"] = server["status"]
    return list(merged.values())
