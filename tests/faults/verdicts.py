# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a case ended as it must, from what was seen. Pure."""

from __future__ import annotations

import itertools
import re
import typing as t

from . import runs
from .injections import Allowance
from .looks import Look, live_release, slot_of

Entry = t.Mapping[str, t.Any]
_GUARD_SOURCES = ("after ", "at boot", "deadline")
#: The line of rollout-guard status.
_UNFINISHED = re.compile(r"^  unfinished  (.+)$", re.MULTILINE)
#: Of the requests that were due; a machine that is busy starts some of them late.
ENOUGH = 0.8
#: A run ends the first step of a pair on every load balancer before it begins the second one on any.
_IN_TURN = (("arm", "shift"), ("arm", "switch"), ("switch", "confirm"))


class Requests(t.NamedTuple):
    """What users saw: *sent*, *excused* failures by target, problems in words, and all failures."""

    sent: int
    excused: dict[str, int]
    problems: list[str]
    failed: int = 0


def requests(
    report: t.Mapping[str, t.Any], allowed: Allowance | None, targets: t.Sequence[str], expected: float
) -> Requests:
    """Judges the report of the load generator: what fails outside *allowed* is a problem, and so is silence.

    *expected* is how many requests were due to each of *targets*.
    """
    excused: dict[str, int] = {}
    problems = _silence(report, targets, expected)
    for name in targets:
        told = report["targets"].get(name)
        if told is None:
            continue
        shown = told["failed"]
        wrong = [one for one in shown if not _excused(name, one, allowed)]
        excused[name] = len(shown) - len(wrong)
        if wrong:
            reasons = sorted({f"{one['kind']} {one['method']}: {one['reason']}" for one in wrong})
            times = f"{wrong[0]['time']:.1f} to {wrong[-1]['time']:.1f}"
            problems.append(f"{len(wrong)} requests to {name} failed, due {times} ({'; '.join(reasons[:3])})")
        # The list of a long outage is cut; what it leaves out was due after all that it shows.
        more = told["failures"] - len(shown)
        if more and allowed is not None and name in allowed.targets and told["last_failure"] <= allowed.until:
            excused[name] += more
        elif more:
            problems.append(f"{more} more requests to {name} failed, the last one due {told['last_failure']:.1f}")
    failed = sum(int(told["failures"]) for told in report["targets"].values())
    return Requests(
        int(report["requests"]), {name: count for name, count in excused.items() if count}, problems, failed
    )


def _silence(report: t.Mapping[str, t.Any], targets: t.Sequence[str], expected: float) -> list[str]:
    """Returns why the report does not prove that there was load all the time, and that all of it was answered."""
    problems = [] if report["running"] else ["the load generator has stopped"]
    if report["in_flight"]:
        problems.append(f"{report['in_flight']} requests were still in flight, so nobody knows how they ended")
    for name in targets:
        sent = int(report["targets"].get(name, {}).get("requests", 0))
        if sent < ENOUGH * expected:
            problems.append(f"{sent or 'no'} requests were sent to {name}, {expected:.0f} were due")
    return problems


def _excused(target: str, failure: Entry, allowed: Allowance | None) -> bool:
    """Whether the fault took this request with it: what had ended before it struck it cannot have broken."""
    if allowed is None or target not in allowed.targets:
        return False
    due = float(failure["time"])
    return due + failure["latency_ms"] / 1000 >= allowed.since and due <= allowed.until


def unsaid(host: str, status: str, output: str) -> list[str]:
    """Returns what the *status* of *host* told of an unfinished run, and the *output* of the next run did not."""
    told = runs.told_of(host, output)
    found = [" ".join(words.partition(" Now: ")[0].split()).rstrip(".") for words in _UNFINISHED.findall(status)]
    return [f"{host}: the next run did not say what the status said: {words}" for words in found if words not in told]


def named(host: str, run: str, said: t.Iterable[str]) -> bool:
    """Whether a sentence of *said* (see runs.found_in) tells of *run* on *host*."""
    words = re.compile(rf"{host}: .*\bFound \w+ {re.escape(run)}\b")
    return any(words.match(sentence) for sentence in said)


def untold(host: str, entries: t.Sequence[Entry], said: t.Iterable[str]) -> list[str]:
    """Returns the steps that were begun on *host* and of which nobody ever told how they ended.

    A begin is told by an end of the same step and run; by a revert of that run that ended; by one sentence of *said*,
    what the next run found; or, on an application host, by a newer run that has ended the same step well, or brought
    the slot that a withhold was to stop into another state. An end that a reboot cut off is told by the newer run that
    could begin: it settles nothing but the lease.
    """
    sentences = list(said)
    problems = []
    for place, entry in enumerate(entries):
        if entry.get("phase") != "begin":
            continue
        later = [one for one in entries[place + 1 :] if one.get("phase") == "end"]
        same = [one for one in later if one["run"] == entry["run"] and one["step"] in (entry["step"], "revert", "end")]
        again = [one for one in later if one["outcome"] == "done" and _does_again(one, entry)]
        begun = entry["step"] == "end" and any(
            (one["step"], one["outcome"]) == ("begin", "done") and one["run"] != entry["run"] for one in later
        )
        if not (same or begun or _mentioned(host, entry, sentences) or (host.startswith("app") and again)):
            problems.append(
                f"{host}: step {entry['step']} of run {entry['run']} was begun at {entry['at']}, and no more"
            )
    return problems


def _does_again(later: Entry, begun: Entry) -> bool:
    """Whether *later* leaves nothing of what *begun* may have left half done."""
    restaged = (begun["step"], later["step"], later.get("slot")) == ("withhold", "stage", begun.get("slot"))
    return later["step"] == begun["step"] or restaged


def _mentioned(host: str, begin: Entry, said: t.Iterable[str]) -> bool:
    run = re.escape(begin["run"])
    words = re.compile(rf"{host}: .*\bFound \w+ {run}\b[^;]*, cut off in step {begin['step']} at ")
    return any(words.match(sentence) for sentence in said)


def kept(host: str, entries: t.Sequence[Entry], *, resumed: bool = False, lost: t.Collection[str] = ()) -> list[str]:
    """Returns where a guard was armed and its promise was forgotten, or a revert names the wrong one.

    A promise ends with a confirmation, a revert, or as the host follows the others (adopt), before another run arms;
    a run that goes on with another one (*resumed*) ends that one's promise with its own. Of the runs *lost* the
    fault took the end.
    """
    problems = []
    for place, entry in enumerate(entries):
        reverted = _done(entry, "revert") and str(entry["source"]).startswith(_GUARD_SOURCES)
        if reverted and entry["actor"] != "guard":
            problems.append(f"{host}: a revert of the guard names {entry['actor']}")
        if not _done(entry, "arm") or entry["run"] in lost:
            continue
        later = entries[place + 1 :]
        promise = later if resumed else _until_another_arms(later, entry["run"])
        if not any(_done(one, "confirm", "revert", "adopt") for one in promise):
            problems.append(f"{host}: armed by run {entry['run']} at {entry['at']}, neither confirmed nor reverted")
    return problems


def _until_another_arms(entries: t.Iterable[Entry], run: str) -> t.Iterator[Entry]:
    return itertools.takewhile(lambda one: one["run"] == run or not _done(one, "arm"), entries)


def _done(entry: Entry, *steps: str) -> bool:
    return entry["step"] in steps and entry["phase"] == "end" and entry["outcome"] == "done"


def cut_off(entries: t.Sequence[Entry]) -> set[str]:
    """Returns the runs that began to confirm or to take back and did not come to the end of it."""
    begun = {(one["run"], one["step"]) for one in entries if one["phase"] == "begin"}
    ended = {(one["run"], one["step"]) for one in entries if one["phase"] == "end"}
    return {run for run, step in begun - ended if step in ("confirm", "revert")}


def closed(run: str, entries: t.Sequence[Entry]) -> bool:
    """Whether *run* itself came back to the host after what the fault cut off, and told there that it has ended."""
    return any(_done(entry, "end") and entry["run"] == run for entry in entries)


def unrecorded(host: str, entries: t.Sequence[Entry], state: t.Any) -> list[str]:
    """Returns the confirmations in the journal that the history of *state* does not have, or has more than once.

    A run may confirm once more what is confirmed already; that adds nothing. Who follows another host takes that
    one's history, so what was confirmed here before that is not asked for.
    """
    followed = max((place for place, entry in enumerate(entries) if entry["step"] == "adopt"), default=-1)
    mine: dict[str, list[Entry]] = {}
    for entry in entries[followed + 1 :]:
        if entry["step"] == "confirm" and not _for_another(entry):
            mine.setdefault(entry["run"], []).append(entry)
    history = [one for one in state["history"] if one["outcome"] == "confirmed"]
    problems = []
    for run, confirms in mine.items():
        ends = [entry for entry in confirms if _done(entry, "confirm")]
        if ends and not _in_history(confirms[0]["at"], ends[-1], history):
            problems.append(f"{host}: run {run} confirmed {ends[-1]['release']}, its history does not have that once")
    return problems


def _for_another(entry: Entry) -> bool:
    """Whether its run did not do this for itself: its guard did, or it cleared up after an earlier run."""
    return entry["actor"] == "guard" or str(entry.get("detail")).startswith("left by an earlier run")


def _in_history(since: str, end: Entry, history: t.Sequence[Entry]) -> bool:
    """Whether the newest of *history* at *end* is what it confirmed, and at most one was added from *since* on."""
    known = [one for one in history if one["at"] <= end["at"]]
    added = [one for one in known if one["at"] >= since]
    newest = [(one["operation"], one["release"]) for one in known[-1:]]
    return newest == [(end["operation"], end["release"])] and len(added) <= 1


def out_of_order(journals: t.Mapping[str, t.Sequence[Entry]]) -> list[str]:
    """Returns where a run did not arm on all load balancers, then switch on all, then confirm; *journals* by host.

    Every run here is guarded, so a switch without any arm is wrong, too. A run that goes on with another one arms and
    switches once more itself: each run is measured by its own entries.
    """
    problems = []
    for run in dict.fromkeys(entry["run"] for entries in journals.values() for entry in entries):
        mine = {host: _own(run, entries) for host, entries in journals.items()}
        kernels = {_kernel(entry) for entries in mine.values() for entry in entries}
        if len(kernels) > 1:
            problems.append(f"run {run}: the clocks of kernels {', '.join(sorted(kernels))} tell no order")
            continue
        for earlier, later in _IN_TURN:
            problems += _not_in_turn(run, mine, earlier, later)
    return problems


def _own(run: str, entries: t.Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["run"] == run and not _for_another(entry)]


def _kernel(entry: Entry) -> str:
    """Returns what names the clock of an entry.

    All containers of a machine have the boottime of its one kernel, and keep it when they restart; what follows the
    colon of the boot id is the start of their own first process.
    """
    return str(entry["boot_id"]).rpartition(":")[0]


def _not_in_turn(run: str, mine: t.Mapping[str, t.Sequence[Entry]], earlier: str, later: str) -> list[str]:
    begun = [
        (float(entry["boottime"]), host)
        for host, entries in mine.items()
        for entry in entries
        if (entry["step"], entry["phase"]) == (later, "begin")
    ]
    if not begun:
        return []
    first, where = min(begun)
    problems = []
    for host, entries in mine.items():
        ended = [float(entry["boottime"]) for entry in entries if _done(entry, earlier)]
        if not ended or max(ended) > first:
            when = f"{max(ended) - first:.3f} s later" if ended else "never"
            problems.append(f"run {run} began to {later} on {where}; its {earlier} on {host} ended {when}")
    return problems


def newest_run(entries: t.Sequence[Entry], before: str | None) -> str:
    """Returns the id of the run that began last, other than the one *before*."""
    begun = (str(entry["run"]) for entry in reversed(entries) if entry["step"] == "begin" and entry["run"] != before)
    return next(begun, "without a begin")


def unproven(run: str, seen: t.Mapping[str, Look | None]) -> list[str]:
    """Returns what is missing that *run* ended with 0: it is confirmed on every load balancer, and live on record.

    One that had nothing to move confirms nothing. It ends; an end with a reason is that of a run that failed.
    """
    mine = {host: _own(run, one.journal if one else ()) for host, one in seen.items()}
    moves = any(entry["step"] in ("arm", "switch") for entries in mine.values() for entry in entries)
    problems = []
    for host, entries in mine.items():
        ends = [entry for entry in entries if _done(entry, "end") and not entry.get("detail") and not moves]
        proof = [entry for entry in entries if _done(entry, "confirm")] or ends
        live = live_release(seen[host])
        if not proof:
            problems.append(f"run {run} ended 0, but {host} has no confirmation of it")
        elif live is None or live != proof[-1]["release"]:
            problems.append(f"run {run} ended 0 with {proof[-1]['release']}, but state.json of {host} says {live}")
    return problems


def by_guard(entries: t.Sequence[Entry]) -> bool:
    """Whether the guard itself has ended a promise: took it back, or found it on record."""
    return any(entry["actor"] == "guard" and _done(entry, "revert", "confirm") for entry in entries)


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


def not_back(host: str, seen: Look | None) -> list[str]:
    """Returns whether users still wait on *host*, whose disk is full, for what its guard was to take back by now.

    The map file may say otherwise: there was no room for it, and HAProxy is told all the same.
    """
    if seen is None or not isinstance(seen.intent, dict) or not isinstance(seen.state, dict):
        return []
    if slot_of(seen.haproxy) == seen.state["live"]:
        return []
    return [f"{host}: the disk is full and traffic goes to {seen.haproxy}, the state says {seen.state['live']}"]
