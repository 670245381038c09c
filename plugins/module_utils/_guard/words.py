# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of rollout-guard: `status` is for people, the others are for units. PRIVATE."""

from __future__ import annotations

import argparse
import functools
import glob
import os
import sys
import traceback
import typing as t

from .._foundation.clock import Clock
from .._foundation.errors import RolloutError, StateUnreadable
from .._foundation.refusal import refusal
from .._state import state as states
from . import follow, probation, retire, steps, view
from .guard import Guard
from .revert import fire

#: Exit codes: done; failed, and another try may do it; failed, and only a person can help (systemd does not try again).
DONE, AGAIN, NEVER = 0, 1, 2


def main(arguments: t.Sequence[str]) -> int:
    """Runs one word. Returns the exit code; what failed is on standard error."""
    parser = argparse.ArgumentParser(
        prog="rollout-guard", description="Keeps watch over a switch until it is confirmed."
    )
    parser.add_argument("--version", action="version", version=f"rollout-guard, protocol {steps.PROTOCOL}")
    words = parser.add_subparsers(dest="word", required=True)
    for word, does in (("status", "say what is live, armed and unfinished"), ("fire", "the deadline has come")):
        sub = words.add_parser(word, help=does)
        sub.add_argument("application", nargs="?" if word == "status" else None)
    words.add_parser("watch", help="look at the gates of a phase until they are decided").add_argument("application")
    words.add_parser("boot", help="this host has booted: take back what was not confirmed")
    words.add_parser(
        "retire", help="stop the slots that were kept warm for long enough, and what users were taken back from"
    ).add_argument("--due", action="store_true", required=True)
    words.add_parser("step", help="do one step of a run, told as JSON on standard input")
    told = parser.parse_args(arguments)
    if told.word == "retire":
        return _retire()
    if told.word == "fire":
        return _tried(functools.partial(_fire, told.application))
    if told.word == "watch":
        return _tried(functools.partial(_watch, told.application))
    return _boot() if told.word == "boot" else _status(told.application)


def _tried(what: t.Callable[[], t.Any]) -> int:
    """Returns the exit code of *what*; says why it failed."""
    try:
        what()
    except RolloutError as error:
        _say(str(error), sys.stderr)
        return NEVER if isinstance(error, StateUnreadable) else AGAIN
    except OSError as error:
        _say(str(refusal(error)), sys.stderr)
        return AGAIN
    except Exception:  # of one application: it must not keep the others from what is due, nor the guard from its switch
        _say(traceback.format_exc(), sys.stderr)
        return AGAIN
    return DONE


def _together(codes: t.Collection[int]) -> int:
    """Returns one exit code for several: another try is worth it if any of them is."""
    return AGAIN if AGAIN in codes else max(codes, default=DONE)


def _say(words: str, stream: t.TextIO | None = None) -> None:
    stream = stream or sys.stdout
    stream.write(f"{words}\n")
    stream.flush()


def _boot() -> int:
    """One application that cannot be taken back now does not keep the others."""
    return _together([_tried(functools.partial(_fire, name, boot=True)) for name in _applications("intent.json")])


def _fire(application: str, *, boot: bool = False) -> None:
    _say(fire(Guard(application), boot=boot))


def _watch(application: str) -> None:
    from .watcher import watch  # noqa: PLC0415 - all samplers: loaded when needed

    _say(watch(Guard(application)))


def _retire() -> int:
    """One application that cannot be looked at does not keep the others."""
    due = [functools.partial(follow.follow_due, name) for name in _applications(probation.FILE)]
    due += [functools.partial(retire.retire_due, name) for name in _applications(retire.FILE)]
    return _together([_tried(functools.partial(_do_due, does)) for does in due])


def _do_due(does: t.Callable[[Clock], str]) -> None:
    says = does(Clock())
    if says:
        _say(says)


def _applications(file: str) -> list[str]:
    return sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(os.path.join(states.ROOT, "*", file)))


def _status(application: str | None) -> int:
    names = [application] if application else _applications("traffic.map")
    if not names:
        _say("no application is load balanced on this host")
    return _together([_tried(functools.partial(_look, name)) for name in names])


def _look(application: str) -> None:
    _say("\n".join(lines(view.look(Guard(application)))))


def lines(told: t.Mapping[str, t.Any]) -> list[str]:
    """Returns a view as lines for people. Pure."""
    state, lease, intent = told["state"] or {}, told["lease"], told["intent"]
    live = state.get("live")
    record = (state.get("slots") or {}).get(live) or {}
    text = [
        f"{told['application']} ({told['environment'] or 'never rolled out'})",
        f"  live        {record['release']['id'] if record else 'nothing'} in slot {live or 'none'}",
        f"  traffic     {told['pointer']['file'] or 'nowhere'}, "
        f"{told['load_balancer']} {told['pointer']['haproxy'] or 'does not answer'}",
    ]
    if lease and lease["remaining"] > 0:
        text.append(
            f"  lease       {lease['operation']} by {lease['actor']} ({lease['source']}) since {lease['acquired']}, "
            f"for another {lease['remaining']:g} s unless renewed; its id is {lease['id']}"
        )
    elif lease and not lease["released"]:
        text.append(
            f"  lease       stale: run {lease['id']} by {lease['actor']}, over since {lease['over']:g} s; "
            "the next run takes it over"
        )
    else:
        text.append("  lease       free")
    if intent and intent["status"] == "inconsistent":
        text.append(f"  guard       INCONSISTENT: {intent['says']}")
    elif intent:
        text.append(f"  guard       armed: back to {intent['previous'] or 'nothing'} {_when(intent)}")
    else:
        text.append("  guard       nothing armed")
    if told["watch"] and told["watch"]["progress"]:
        text.append(f"  watch       {_watched(told['watch'])}")
    if told["says"]:
        text.append(f"  unfinished  {told['says']}")
    if told["problem"]:
        text.append(f"  problem     {told['problem']}")
    return text


def _watched(told: t.Mapping[str, t.Any]) -> str:
    progress = told["progress"]
    gates = "; ".join(f"{one['name']} {one['verdict']} ({', '.join(one['words'])})" for one in progress["gates"])
    alone = ", then it is confirmed without a run" if told["alone"] else ""
    reasons = "".join(f"; {reason}" for reason in progress["reasons"])
    of = f" of {progress['seconds']:g}" if progress["seconds"] else ""
    phase = f"before its {told['phase']}" if told["early"] else told["phase"]
    return f"{phase}, {progress['elapsed']:g}{of} s{alone}: {gates}{reasons}"


def _when(intent: t.Mapping[str, t.Any]) -> str:
    """From its deadline on a guard tries every second, without a timer."""
    if intent["left"] <= 0:
        return "now: its deadline is over, and it tries every second (journalctl -u 'rollout-guard*')"
    return f"in {intent['left']:g} s unless confirmed{'' if intent['timer'] else '; ITS TIMER IS MISSING'}"
