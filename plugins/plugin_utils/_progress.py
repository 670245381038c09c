# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the callback progress says: the words of its lines, who said the same, how long a line may be. Pure. PRIVATE."""

from __future__ import annotations

import dataclasses
import re
import typing as t
import unicodedata

from ansible_collections.vitalops.rollout.plugins.plugin_utils._watch import PHASES

CHANGED = "changed"
WOULD_CHANGE = "would change"
FAILED = "failed"
FAILED_HANDLED = "failed, the play handles it"
FAILED_IGNORED = "failed, ignored"
UNREACHABLE = "unreachable"
UNREACHABLE_IGNORED = "unreachable, ignored"
SAID = "said"

DONE = "done"
SKIPPED = "skipped"

# An item without a label is a whole dictionary, and a loop may have hundreds: both would hide the line after them.
LABEL_COLUMNS = 60
MOST_LABELS = 5
# A command's last lines hold the reason; a package manager writes hundreds before them.
MOST_OUTPUT_LINES = 20
_GATES = re.compile(rf"  (\S+)  (?:{'|'.join(PHASES.values())}), [0-9]+:")
_VERDICT = re.compile(r"\b(pass|fail|inconclusive|no_data|error|running)(?= \()")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class Told:
    """What a host told. Hosts that told the same share one line."""

    state: str
    task: str
    labels: tuple[str, ...] = ()
    text: str = ""
    difference: str = ""


@dataclasses.dataclass(frozen=True)
class Loss:
    """Why a host is out of the run."""

    state: str
    phase: str
    task: str


def seconds_text(seconds: float) -> str:
    """Returns *seconds* as 12 s, 2 min 14 s or 1 h 3 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def columns(text: str) -> int:
    """Returns how many columns of a terminal *text* takes."""
    return sum(_character_columns(character) for character in text)


def _character_columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def one_line(text: str) -> str:
    """Returns *text* without line breaks, and without anything that would move the cursor."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def cut(text: str, width: int) -> str:
    """Returns *text* in at most *width* columns; where something is missing, it ends with an ellipsis."""
    if columns(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _character_columns(character)
        if room < 0:
            break
        kept += character
    return kept.rstrip() + "…" if width > 0 else ""


def in_order(words: t.Iterable[str]) -> list[str]:
    """Returns *words* as people count: app10 after app2. Results come in any order, runs shall look the same."""
    return sorted(words, key=_by_number)


def _by_number(word: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", word)]


def names(words: t.Iterable[str], most: int | None = None) -> str:
    """Returns app1, app2, app10; with *most*, what is over as a number."""
    ordered = in_order(words)
    if most is None or len(ordered) <= most:
        return ", ".join(ordered)
    return f"{', '.join(ordered[:most])} and {len(ordered) - most} more"


def heading(number: int, total: int, name: str) -> str:
    """Returns what a phase is called: [3/9] Stage."""
    return f"[{number}/{total}] {one_line(name)}"


def ending(title: str, outcome: str, seconds: float) -> str:
    """Returns the line that stays when a phase has ended."""
    return f"{title}: {outcome}" if outcome == SKIPPED else f"{title}: {outcome}, {seconds_text(seconds)}"


def work(
    task: str, started: t.Collection[str], waiting: t.Collection[str], tries: tuple[int, int] | None = None
) -> str:
    """Returns the task at work, after what any terminal must show: hosts that are still at it, or which try it is."""
    if tries:
        return f"try {tries[0]} of {tries[1]}: {one_line(task)}"
    if 0 < len(waiting) < len(started):
        return f"{names(waiting, 3)}: {one_line(task)}"
    return one_line(task)


def tries_again(task: str) -> str:
    """Returns the line, once for a task, where no line can be updated."""
    return f"  tries again  {one_line(task)}"


def live_line(title: str, seconds: float, at_work: str, width: int) -> str:
    """Returns the line of a phase that is running. Its seconds are seen in any terminal: they say that it is alive."""
    clock = f"  {seconds_text(seconds)}"
    line = cut(f"{title} …", width - columns(clock)) + clock
    room = width - columns(line) - 2
    return f"{line}  {cut(at_work, room)}" if at_work and room > 0 else cut(line, width)


def gate_line(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Returns the host and the verdicts of a line that says what gates see; None for any other text."""
    plain = without_color(text)
    found = _GATES.match(plain)
    return (found.group(1), tuple(_VERDICT.findall(plain))) if found and plain.count("\n") <= 1 else None


def without_color(text: str) -> str:
    """Returns *text* as a file would get it."""
    return _COLOR.sub("", text)


def is_rescued(task: t.Any) -> bool:
    """Returns whether a failure of *task* is followed by the rescue of a block around it.

    A callback is not told. What a block holds is: the task itself, the file or role that was included for it, or the
    blocks of one that was imported.
    """
    inside = {task._uuid}
    around = task._parent
    while around is not None:
        if getattr(around, "rescue", None) and any(one._uuid in inside for one in around.block):
            return True
        inside.add(around._uuid)
        around = around._parent
    return False


def items(result: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """Returns the results of a loop; of what is no loop, nothing."""
    found = result.get("results")
    return [one for one in found if isinstance(one, t.Mapping)] if isinstance(found, list) else []


def label(result: t.Mapping[str, t.Any]) -> str:
    """Returns how an item is called; of one that no_log hides, nothing."""
    if result.get("_ansible_no_log") or "censored" in result:
        return ""
    return cut(one_line(str(result.get("_ansible_item_label", result.get("item", "")))), LABEL_COLUMNS)


def paths(result: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Returns what a task has changed that names it itself, as host_files does; of one that no_log hides, nothing."""
    found = result.get("paths")
    if "censored" in result or not isinstance(found, list):
        return ()
    return tuple(cut(one_line(str(one)), LABEL_COLUMNS) for one in found)


def by_text(failed: t.Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Returns the messages of failed items, each with the labels of the items that it is about."""
    told: dict[str, tuple[str, ...]] = {}
    for name, text in failed:
        told[text] = (*told.get(text, ()), *([name] if name else []))
    return told


def failure_text(result: t.Mapping[str, t.Any]) -> str:
    """Returns the message of a failed result with its line breaks, and what a command wrote when that says more."""
    if "censored" in result:
        return "What it said is hidden by no_log."
    text = plain_text(result.get("msg") or result.get("reason") or "It left no message.")
    for name in ("stderr", "module_stderr", "stdout", "module_stdout"):
        output = plain_text(result.get(name) or "")
        if output and output not in text:
            lines = output.splitlines()
            kept = lines[-MOST_OUTPUT_LINES:]
            cut_off = f", the last {MOST_OUTPUT_LINES} of {len(lines)} lines" if len(kept) < len(lines) else ""
            return "\n".join([text, f"{name}{cut_off}:", *(f"  {line}" for line in kept)])
    return text


def plain_text(value: t.Any) -> str:
    """Returns *value* as people read it: text as it is, a list as lines."""
    if isinstance(value, (list, tuple)):
        return "\n".join(plain_text(one) for one in value)
    return str(value).strip("\n").rstrip()


def together(told: t.Mapping[Told, t.Collection[str]]) -> list[tuple[Told, list[str]]]:
    """Returns what was told with its hosts, the first host first; a host's own words stay in their order."""
    return sorted(((one, in_order(hosts)) for one, hosts in told.items()), key=_by_first_host)


def _by_first_host(told: tuple[Told, list[str]]) -> list[tuple[int, str]]:
    return _by_number(told[1][0])


def told_lines(told: Told, hosts: t.Collection[str], started: t.Collection[str]) -> list[str]:
    """Returns the lines of what *hosts* told, of all for which the task was *started*."""
    if told.state == SAID:
        return _said_lines(told.text, hosts, started)
    head = f"  {told.state}  {names(hosts)}  {one_line(told.task)}"
    if told.labels:
        over = len(told.labels) - MOST_LABELS
        head += f": {', '.join(told.labels[:MOST_LABELS])}" + (f" and {over} more" if over > 0 else "")
    return [head, *_indented(told.text, 4)]


def _said_lines(text: str, hosts: t.Collection[str], started: t.Collection[str]) -> list[str]:
    # What all of them say, or the one that was asked, is about the run and not about a host.
    if len(hosts) >= len(started):
        return _indented(text, 2)
    if "\n" in text:
        return [f"  {names(hosts)}:", *_indented(text, 4)]
    return [f"  {names(hosts)}: {text}"]


def _indented(text: str, by: int) -> list[str]:
    return [f"{' ' * by}{line}".rstrip() for line in text.splitlines()]


def loss_line(host: str, loss: Loss) -> str:
    """Returns the line at the end about a host that is out of the run."""
    return f"  {host}  {loss.state}  {one_line(loss.phase)}: {one_line(loss.task)}"


def closing(
    seconds: float, changed: t.Mapping[str, int], losses: t.Mapping[str, Loss], *, check_mode: bool = False
) -> str:
    """Returns the last line: *changed* are the changes of each host, *losses* the hosts that are out of the run."""
    if losses:
        phases: dict[str, list[str]] = {}
        for host, loss in losses.items():
            phases.setdefault(loss.phase, []).append(host)
        where = "; ".join(f"{one_line(phase)}, {names(hosts, 3)}" for phase, hosts in phases.items())
        return f"FAILED after {seconds_text(seconds)}: {where}"
    number, hosts_number = sum(changed.values()), sum(one > 0 for one in changed.values())
    verb = "would change" if check_mode else "changed"
    what = f"{number} {verb} on {hosts_number} host{'' if hosts_number == 1 else 's'}" if number else f"nothing {verb}"
    return f"done in {seconds_text(seconds)}, {what}"


def stopped(seconds: float, phase: str) -> str:
    """Returns the last line of a run that did not come to its end; *phase* is empty between two of them."""
    return f"STOPPED after {seconds_text(seconds)}" + (f": {one_line(phase)}" if phase else "")
