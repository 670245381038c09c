# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was begun and ended on this host, step by step, and by whom: the truth after a crash.

PRIVATE to the collection. The file is journal.ndjson beside state.json: one JSON object per line, the newest last.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import BadInput, StateUnreadable
from . import fields
from .run import Run

SCHEMA = 1
NEWEST = 256 * 1024  # bytes: some hundred runs
NEWEST_RUN = 8 * 1024  # bytes: a run or two
FILE = "journal.ndjson"
PHASES = ("begin", "end")
OUTCOMES = ("done", "failed", None)
DETAIL_LENGTH = 300


class Entry(t.NamedTuple):
    """One line: *phase* begin or end of *step* of the run with the id *run*.

    *at* is an ISO time for people, *boottime* seconds of the boot *boot_id*; *outcome* is done or failed at the end,
    None before; *detail* is a sentence or None. The other fields are those of Run.
    """

    at: str
    boottime: float
    boot_id: str
    host: str
    run: str
    epoch: int
    operation: str
    step: str
    phase: str
    outcome: str | None
    actor: str
    source: str
    release: str | None
    slot: str | None
    previous: str | None
    detail: str | None

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the content of the line."""
        return {"schema": SCHEMA, **self._asdict()}


def _parsed(content: t.Mapping[str, t.Any]) -> Entry:
    """Returns the entry in *content*. Raises ValueError with a sentence."""
    return Entry(
        at=fields.text(content, "at"),
        boottime=fields.seconds(content, "boottime"),
        boot_id=fields.text(content, "boot_id"),
        host=fields.text(content, "host"),
        run=fields.text(content, "run"),
        epoch=fields.whole(content, "epoch"),
        operation=fields.text(content, "operation"),
        step=fields.text(content, "step"),
        phase=t.cast(str, fields.choice(content, "phase", PHASES)),
        outcome=fields.choice(content, "outcome", OUTCOMES),
        actor=fields.text(content, "actor"),
        source=fields.text(content, "source"),
        release=fields.text_or_none(content, "release"),
        slot=fields.text_or_none(content, "slot"),
        previous=fields.text_or_none(content, "previous"),
        detail=fields.message(content, "detail"),
    )


def append(
    folder: str,
    run: Run,
    step: str,
    phase: str,
    *,
    clock: Clock,
    outcome: str | None = None,
    detail: str | None = None,
    actor: str | None = None,
    source: str | None = None,
) -> Entry:
    """Adds a line durably and returns it as an entry; makes the folder. What a kill tore before is closed first.

    *actor* and *source* stand in for those of *run* where another one acts for it (the guard).
    Raises BadInput for what could not be read back, OSError when the line cannot be kept.
    """
    entry = Entry(
        at=clock.utc(),
        boottime=clock.boottime(),
        boot_id=clock.boot_id(),
        host=socket.gethostname(),
        run=run.id,
        epoch=run.epoch,
        operation=run.operation,
        step=step,
        phase=phase,
        outcome=outcome,
        actor=actor or run.actor,
        source=source or run.source,
        release=run.release,
        slot=run.slot,
        previous=run.previous,
        detail=None if detail is None else fields.writable(detail)[:DETAIL_LENGTH],
    )
    try:
        _parsed(entry.to_dict())
    except ValueError as error:
        raise BadInput(f"The step {fields.shown(step)} cannot be journaled.", found=str(error)) from error
    durable.make_folder(folder)
    durable.append_line(os.path.join(folder, FILE), json.dumps(entry.to_dict(), sort_keys=True))
    return entry


def read(folder: str, newest: int = NEWEST) -> list[Entry]:
    """Returns the newest entries in *folder*, oldest first; none when there is no journal. See read_all.

    A journal is never cut, and every step reads it: what its *newest* bytes do not hold is not looked at.
    """
    return _read(folder, newest)[0]


def read_all(folder: str) -> tuple[list[Entry], int]:
    """Returns the entries in *folder*, oldest first, and how many lines are damaged and were skipped.

    A last line that a kill tore is no entry and no damage: what it should have said did not happen. Lines that an
    older collection wrote are skipped. Raises StateUnreadable when a newer collection wrote a line.
    """
    return _read(folder, None)


def _read(folder: str, newest: int | None) -> tuple[list[Entry], int]:
    path = os.path.join(folder, FILE)
    *lines, tail = _lines(path, newest)
    entries: list[Entry] = []
    damaged = 0
    for number, line in enumerate([*lines, tail], start=1):
        try:
            content = json.loads(line.decode("utf-8"))
            entry = None if _is_of_before(content) else _entry(content, f"{path} line {number}")
        except (ValueError, RecursionError):
            damaged += number <= len(lines)
            continue
        if entry is not None:
            entries.append(entry)
    return entries, damaged


def _lines(path: str, newest: int | None) -> list[bytes]:
    """Returns the lines of *path*, the last one as far as it was written; with *newest*, of its last bytes."""
    try:
        with open(path, "rb") as handle:
            start = max(0, os.fstat(handle.fileno()).st_size - newest) if newest is not None else 0
            handle.seek(start)
            lines = handle.read().split(b"\n")
    except FileNotFoundError:
        return [b""]
    return lines[1:] or [b""] if start else lines


def _is_of_before(content: t.Any) -> bool:
    """Whether *content* is a line of the older form, which told outcomes of whole rollouts and no steps."""
    return isinstance(content, dict) and "outcome" in content and not {"schema", "step"} & set(content)


def _entry(content: t.Any, where: str) -> Entry:
    content = fields.mapping(content, "the line")
    if fields.whole(content, "schema") > SCHEMA:
        raise StateUnreadable(
            "The journal was written by a newer version of the collection vitalops.rollout.",
            expected=f"schema {SCHEMA} or older",
            found=f"schema {content['schema']}",
            where=where,
            next_step="install the newer collection on this controller and run again; the file was left as it is",
        )
    return _parsed(content)


@contextlib.contextmanager
def step(
    folder: str,
    run: Run,
    name: str,
    clock: Clock,
    *,
    actor: str | None = None,
    source: str | None = None,
    detail: str | None = None,
) -> t.Iterator[None]:
    """Journals the begin of the step *name* before the block, and its end after it: done, or failed with the error.

    *detail* is what the begin, and a good end, tell besides. Without room for both, nothing is begun: OSError. Only a
    revert is tried all the same: a disk must not keep users on a bad release.

    The error of the block is raised again, also when the full disk that caused it takes no line either.
    """
    durable.make_folder(folder)
    if name != "revert":
        durable.check_room(folder)
    append(folder, run, name, "begin", clock=clock, actor=actor, source=source, detail=detail)
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):
            append(
                folder,
                run,
                name,
                "end",
                clock=clock,
                outcome="failed",
                detail=_first_line(error),
                actor=actor,
                source=source,
            )
        raise
    append(folder, run, name, "end", clock=clock, outcome="done", actor=actor, source=source, detail=detail)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
