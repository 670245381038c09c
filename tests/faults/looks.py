# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts show, and whether that is what they must show. Pure; resident.py asks the hosts."""

from __future__ import annotations

import json
import types
import typing as t

APPLICATION = "reference"
LOAD_BALANCERS = ("lb1", "lb2")


class Look(t.NamedTuple):
    """A host at one moment; looker.py says what the parts are. Load balancers only: file to status.

    *containers*: since when each one runs, by its name.
    """

    boottime: float
    boot: str
    journal: tuple[dict[str, t.Any], ...]
    at_work: bool = False
    torn: int = 0
    file: str | None = None
    haproxy: str | None = None
    servers: tuple[tuple[str, str, str], ...] = ()
    intent: t.Any = None
    lease: t.Any = None
    state: t.Any = None
    answers: tuple[tuple[int, str | None], ...] = ()
    status: str = ""
    containers: t.Mapping[str, str] = types.MappingProxyType({})


def parse(text: str) -> Look:
    """Returns the look in the output of looker.py. A journal line that is no JSON only counts, as torn."""
    told = json.loads(text)
    entries, torn = [], 0
    for line in told.pop("journal"):
        try:
            entries.append(json.loads(line))
        except ValueError:
            torn += 1
    for key in ("servers", "answers"):
        told[key] = tuple(tuple(row) for row in told.get(key, ()))
    return Look(journal=tuple(entries), torn=torn, **told)


def slot_of(pointer: str | None) -> str | None:
    """Returns the live slot of a pointer such as green:none:0."""
    slot = (pointer or "none").split(":")[0]
    return None if slot == "none" else slot


def unsound(seen: Look | None) -> list[str]:
    """Returns why not exactly one healthy slot is live on a load balancer; nothing when one is."""
    if seen is None:
        return ["the host does not answer"]
    problems = []
    if seen.file is None or seen.file != seen.haproxy:
        problems.append(f"map file {seen.file}, HAProxy {seen.haproxy}")
    slot = slot_of(seen.haproxy)
    if slot is None or not str(seen.haproxy).endswith(":none:0"):
        problems.append(f"traffic {seen.haproxy} is not one slot")
    if not any(server[0] == slot and server[2].startswith("UP") for server in seen.servers):
        problems.append(f"no instance of slot {slot} is up")
    if {status for status, _release in seen.answers} != {200}:
        problems.append(f"answers {[status for status, _release in seen.answers]}")
    elif len({release for _status, release in seen.answers}) != 1:
        problems.append(f"answers of several releases: {[release for _status, release in seen.answers]}")
    return problems


def pending(seen: Look | None) -> bool:
    """Whether a switch is still neither confirmed nor taken back: armed, given up to a person, or not to be read."""
    return seen is None or seen.intent is not None


def restless(seen: Look | None) -> list[str]:
    """Returns why a load balancer is not at rest: not one healthy slot is live, or a guard has not done its work."""
    return [*unsound(seen), *(["the guard is armed"] if pending(seen) else [])]


def lease_left(seen: Look | None) -> float:
    """Returns for how many seconds from then on a lease keeps the next run out.

    After a boot its holder has the whole time once more; what is asked here is only how long to wait at most.
    """
    if seen is None or not isinstance(seen.lease, dict) or seen.lease["released"]:
        return 0.0
    whole = float(seen.lease["seconds"])
    if seen.lease["boot_id"].rpartition(":")[2] != seen.boot:
        return min(whole, max(0.0, int(seen.boot) / 100 + whole - seen.boottime))
    return min(whole, max(0.0, float(seen.lease["expires_boottime"]) - seen.boottime))


def lease_kept(seen: Look | None) -> bool:
    """Whether a run never gave its lease back."""
    return seen is not None and isinstance(seen.lease, dict) and not seen.lease["released"]


def last_arm(seen: Look | None) -> float | None:
    """Returns when (boottime) the last arming among the journal lines of *seen* began.

    The deadline that the guard gives itself counts from a moment later.
    """
    arms = [entry for entry in (seen.journal if seen else ()) if (entry["step"], entry["phase"]) == ("arm", "begin")]
    return float(arms[-1]["boottime"]) if arms else None


def live_release(seen: Look | None) -> str | None:
    """Returns the id of the release that state.json names live."""
    return release_in(seen, seen.state.get("live")) if seen and isinstance(seen.state, dict) else None


def idle_release(seen: Look | None) -> str | None:
    """Returns the id of the release that state.json has in the other slot."""
    if not seen or not isinstance(seen.state, dict):
        return None
    return release_in(seen, "green" if seen.state.get("live") == "blue" else "blue")


def release_in(seen: Look, slot: str | None) -> str | None:
    """Returns the id of the release that state.json has in *slot*."""
    record = seen.state["slots"].get(slot) if slot else None
    return record["release"]["id"] if record else None


def may_roll_back(seen: Look | None) -> bool:
    """Whether a roll back would move traffic: the last confirmation was not one already."""
    if not seen or not isinstance(seen.state, dict) or idle_release(seen) is None:
        return False
    confirmed = [entry for entry in seen.state["history"] if entry["outcome"] == "confirmed"]
    return bool(confirmed) and confirmed[-1]["operation"] != "roll_back"


def works(seen: Look | None, slot: str) -> bool:
    """Whether a worker of *slot* runs on an application host."""
    return seen is not None and any(name.startswith(f"{APPLICATION}-{slot}-worker-") for name in seen.containers)


def restarted(before: t.Mapping[str, Look], after: t.Mapping[str, Look], live: str) -> list[str]:
    """Returns what ran in slot *live* before a run that goes on there, and did not run on through it."""
    return [
        f"{name} on {host} ran since {since}, then {seen.containers.get(name, 'no more')}"
        for host, seen in after.items()
        for name, since in (before[host].containers.items() if host in before else ())
        if name.startswith(f"{APPLICATION}-{live}-") and seen.containers.get(name) != since
    ]


def strays(hosts: t.Mapping[str, Look], live: str) -> list[str]:
    """Returns what is wrong with workers and schedulers on the application hosts when slot *live* has the traffic.

    A worker of the live slot on every host, none of the other slot; one scheduler in the fleet.
    """
    problems = []
    schedulers = []
    for host, seen in hosts.items():
        kinds = [name.split("-") for name in seen.containers if name.startswith(f"{APPLICATION}-")]
        workers = {parts[1] for parts in kinds if parts[2] == "worker"}
        if workers != {live}:
            problems.append(f"workers of {sorted(workers) or 'no slot'} run on {host}, expected {live}")
        schedulers += [f"{parts[1]} on {host}" for parts in kinds if parts[2] == "scheduler"]
    if len(schedulers) != 1 or not schedulers[0].startswith(live):
        problems.append(f"schedulers: {', '.join(schedulers) or 'none'}; expected one, of {live}")
    return problems
