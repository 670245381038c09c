# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the hosts answered to one status: load balancers that differ are told, not hidden. Pure. PRIVATE."""

from __future__ import annotations

import typing as t

from ._status import Status

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
    answered = {host: result for host, result in load_balancers.items() if result and "pointer" in result}
    first = next(iter(answered), None)
    for host, result in answered.items():
        problems += _differences(first or host, answered[first or host], host, result)
    told = answered[first] if first is not None else {}
    return Status(
        application,
        environment,
        told.get("state"),
        told.get("pointer"),
        _servers(answered.values()),
        {host: result for host, result in applications.items() if result and "slots" in result},
        [problem for problem in [*problems, *_unfinished(answered)] if problem],
        now,
        _run(answered),
    )


def _unanswered(host: str, result: Fields | None) -> str:
    if not result:
        return f"{host} was not asked or cannot be reached"
    if result.get("unreachable"):
        return f"{host} cannot be reached: {result.get('msg')}"
    if result.get("failed"):
        return f"{host} did not answer: {result.get('msg')}"
    return ""


def _run(answered: t.Mapping[str, Fields]) -> str:
    """The run that holds the lease, and what its guard does when it is not heard of again."""
    for result in answered.values():
        lease, intent = result.get("lease"), result.get("intent")
        if not lease or lease["remaining"] <= 0:
            continue
        who = f"{lease['operation']} by {lease['actor']} ({lease['source']}) since {lease['acquired'][11:16]} UTC"
        if intent and intent["status"] == "armed":
            return (
                f"{who}; traffic returns to {intent['previous'] or 'nobody'} in {intent['left']:.0f} s unless confirmed"
            )
        return f"{who}; others must wait {lease['remaining']:.0f} s if it dies now"
    return ""


def _unfinished(answered: t.Mapping[str, Fields]) -> list[str]:
    """What a run that nobody drives any more has left, and the guard that found no way back."""
    found = []
    for host, result in answered.items():
        lease, intent = result.get("lease"), result.get("intent")
        if intent and intent["status"] == "inconsistent":
            found.append(f"{host}: {intent['says']}")
        elif result.get("says") and not (lease and lease["remaining"] > 0):
            found.append(f"{host}: {result['says'].replace('Now:', 'The next run:')}")
    return found


def _differences(first: str, expected: Fields, host: str, result: Fields) -> list[str]:
    found = []
    if result["pointer"] != expected["pointer"]:
        found.append(
            f"load balancers differ: traffic goes to {_live(expected)} on {first}, to {_live(result)} on {host}"
        )
    if _core(result.get("state")) != _core(expected.get("state")):
        found.append(f"load balancers differ: the state of {host} is not the state of {first}")
    if result.get("haproxy_error"):
        found.append(f"HAProxy of {host} does not answer: {result['haproxy_error']}")
    elif "haproxy_pointer" in result and result["haproxy_pointer"] != result["pointer"]:
        found.append(
            f"HAProxy of {host} routes otherwise than its map file says; load the file: systemctl reload haproxy"
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
