# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a case ended as it must, from what was seen. Pure."""

from __future__ import annotations

import typing as t

from .injections import Allowance
from .looks import Look, live_release, slot_of

Entry = t.Mapping[str, t.Any]
_GUARD_SOURCES = ("after ", "at boot", "deadline")


class Requests(t.NamedTuple):
    """What users saw: *sent*, *excused* failures by target, problems in words, and all failures."""

    sent: int
    excused: dict[str, int]
    problems: list[str]
    failed: int = 0


def requests(report: t.Mapping[str, t.Any], allowed: Allowance | None, targets: t.Sequence[str]) -> Requests:
    """Judges the report of the load generator: what fails outside *allowed* is a problem, and so is silence."""
    excused: dict[str, int] = {}
    problems = []
    for name in targets:
        told = report["targets"].get(name)
        if told is None or not told["requests"]:
            problems.append(f"no request was sent to {name}")
            continue
        shown = told["failed"]
        wrong = [one for one in shown if not _excused(name, one["time"], allowed)]
        excused[name] = len(shown) - len(wrong)
        # The list of a long outage is cut; what it leaves out counts as what it shows last.
        if told["failures"] > len(shown) and shown:
            excused[name] += 0 if wrong else told["failures"] - len(shown)
        if wrong:
            reasons = sorted({f"{one['kind']} {one['method']}: {one['reason']}" for one in wrong})
            times = f"{wrong[0]['time']:.1f} to {wrong[-1]['time']:.1f}"
            problems.append(f"{len(wrong)} requests to {name} failed, due {times} ({'; '.join(reasons[:3])})")
    failed = sum(int(told["failures"]) for told in report["targets"].values())
    return Requests(
        int(report["requests"]), {name: count for name, count in excused.items() if count}, problems, failed
    )


def _excused(target: str, due: float, allowed: Allowance | None) -> bool:
    return allowed is not None and target in allowed.targets and allowed.since <= due <= allowed.until


def untold(host: str, entries: t.Sequence[Entry], told: str) -> list[str]:
    """Returns the steps that were begun on *host* and of which nobody ever told how they ended.

    A begin is told by an end of the same step and run; by a revert of that run that ended; by *told*, what later runs
    and the status said; or, on an application host, by a newer run that has ended the same step well.
    """
    problems = []
    for place, entry in enumerate(entries):
        if entry.get("phase") != "begin":
            continue
        later = [one for one in entries[place + 1 :] if one.get("phase") == "end"]
        same = [one for one in later if one["run"] == entry["run"] and one["step"] in (entry["step"], "revert", "end")]
        again = [one for one in later if one["step"] == entry["step"] and one["outcome"] == "done"]
        mentioned = entry["run"] in told and f"step {entry['step']}" in told
        if not (same or mentioned or (host.startswith("app") and again)):
            problems.append(
                f"{host}: step {entry['step']} of run {entry['run']} was begun at {entry['at']}, and no more"
            )
    return problems


def kept(host: str, entries: t.Sequence[Entry]) -> list[str]:
    """Returns where a guard was armed and no confirmation or revert followed, or a revert names the wrong one."""
    problems = []
    for place, entry in enumerate(entries):
        done = entry.get("phase") == "end" and entry.get("outcome") == "done"
        reverted = done and entry["step"] == "revert" and str(entry["source"]).startswith(_GUARD_SOURCES)
        if reverted and entry["actor"] != "guard":
            problems.append(f"{host}: a revert of the guard names {entry['actor']}")
        if not (done and entry["step"] == "arm"):
            continue
        ends = [
            one
            for one in entries[place + 1 :]
            if one["step"] in ("confirm", "revert") and one["phase"] == "end" and one["outcome"] == "done"
        ]
        if not ends:
            problems.append(f"{host}: armed by run {entry['run']} at {entry['at']}, neither confirmed nor reverted")
    return problems


def by_guard(entries: t.Sequence[Entry]) -> bool:
    """Whether the guard itself has taken something back."""
    return any(
        entry["step"] == "revert" and entry["actor"] == "guard" and entry.get("outcome") == "done" for entry in entries
    )


def guard_was_due(entries: t.Sequence[Entry]) -> bool:
    """Whether a run that is dead left a guard armed for good: it armed it, and neither confirmed nor took back."""
    armed = [entry for entry in entries if entry["step"] == "arm" and entry.get("outcome") == "done"]
    if not armed:
        return False
    run = armed[-1]["run"]
    return not any(
        entry["run"] == run
        and entry["step"] in ("confirm", "revert")
        and entry["actor"] != "guard"
        and entry.get("outcome") == "done"
        for entry in entries
    )


def went_back(host: str, entries: t.Sequence[Entry]) -> list[str]:
    """Returns which reverts there were where a run was to go on with what it found. Pure."""
    return [
        f"{host}: run {entry['run']} was taken back by {entry['actor']} at {entry['at']}, not taken up"
        for entry in entries
        if entry["step"] == "revert" and entry.get("outcome") == "done"
    ]


def state_lies(host: str, seen: Look) -> list[str]:
    """Returns where state.json, traffic pointer and what users get contradict each other, with nothing under way."""
    if not isinstance(seen.state, dict):
        return [f"{host}: state.json cannot be read: {seen.state}"]
    problems = []
    if seen.state["live"] != slot_of(seen.haproxy):
        problems.append(f"{host}: state.json says {seen.state['live']}, traffic goes to {seen.haproxy}")
    answers = {release for _status, release in seen.answers}
    if answers != {live_release(seen)}:
        problems.append(f"{host}: state.json says {live_release(seen)}, users get {sorted(map(str, answers))}")
    return problems
