# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what was begun and ended is there after any crash, and what was half said does not count."""

from __future__ import annotations

import json
import os
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    CommandFailed,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run

RUN = Run("run-kim", 7, "deploy", "kim", "AWX job 42", "1.1.0-bbb", "green", "blue")
CLOCK = Clock(utc=lambda: "2026-11-21T17:20:03Z", boottime=lambda: 123.5, boot_id=lambda: "kernel:1000")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "rollout" / "shop")


def file_of(folder: str) -> Path:
    return Path(folder, "journal.ndjson")


def told(entries: t.Iterable[journal.Entry]) -> list[tuple[str, str, str | None]]:
    return [(entry.step, entry.phase, entry.outcome) for entry in entries]


def test_before_the_first_step_nothing_is_known(folder: str) -> None:
    assert journal.read_all(folder) == ([], 0)
    assert journal.read(folder) == []


def test_a_line_says_who_did_what_when_and_where(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "lb1")
    entry = journal.append(folder, RUN, "switch", "end", clock=CLOCK, outcome="done", detail="blue to green")
    line = file_of(folder).read_text()
    assert line == json.dumps(entry.to_dict(), sort_keys=True) + "\n"
    assert json.loads(line) == {
        "schema": 1,
        "at": "2026-11-21T17:20:03Z",
        "boottime": 123.5,
        "boot_id": "kernel:1000",
        "host": "lb1",
        "run": "run-kim",
        "epoch": 7,
        "operation": "deploy",
        "step": "switch",
        "phase": "end",
        "outcome": "done",
        "actor": "kim",
        "source": "AWX job 42",
        "release": "1.1.0-bbb",
        "slot": "green",
        "previous": "blue",
        "detail": "blue to green",
    }
    assert journal.read(folder) == [entry]
    assert (Path(folder).stat().st_mode & 0o777, file_of(folder).stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_guard_acts_for_a_run_in_its_own_name(folder: str) -> None:
    journal.append(folder, RUN, "revert", "begin", clock=CLOCK, actor="guard", source="deadline")
    (entry,) = journal.read(folder)
    assert (entry.run, entry.actor, entry.source) == ("run-kim", "guard", "deadline")


def test_a_step_is_begun_before_and_ended_after_what_it_does(folder: str) -> None:
    with journal.step(folder, RUN, "switch", CLOCK, detail="blue to green"):
        assert told(journal.read(folder)) == [("switch", "begin", None)]
    assert told(journal.read(folder)) == [("switch", "begin", None), ("switch", "end", "done")]
    assert {entry.detail for entry in journal.read(folder)} == {"blue to green"}


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (CommandFailed("HAProxy does not answer.", found="nothing", where="/run/haproxy"), "HAProxy does not answer."),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ValueError(), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit("\n"), "SystemExit"),
        (RuntimeError("x" * 1000), "x" * 300),
        (RuntimeError("file \udcff"), "file ?"),
    ],
)
def test_a_step_that_fails_says_so_in_one_line_and_fails(folder: str, error: BaseException, detail: str) -> None:
    with pytest.raises(type(error)) as raised, journal.step(folder, RUN, "switch", CLOCK):
        raise error
    assert raised.value is error
    entries, damaged = journal.read_all(folder)
    assert (told(entries), damaged) == ([("switch", "begin", None), ("switch", "end", "failed")], 0)
    assert entries[-1].detail == detail


def test_a_step_that_cannot_be_journaled_does_not_begin(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    before = file_of(folder).read_bytes()
    monkeypatch.setattr(os, "write", full)
    done = []
    with pytest.raises(OSError, match="No space left"), journal.step(folder, RUN, "switch", CLOCK):
        done.append("switch")
    assert done == []
    assert file_of(folder).read_bytes() == before


def test_a_step_is_not_begun_where_only_its_first_line_would_fit(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    full = types.SimpleNamespace(f_blocks=100, f_bfree=7, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _folder: full)
    with pytest.raises(OSError, match="No space left on device") as refused, journal.step(folder, RUN, "arm", Clock()):
        pytest.fail("it was begun")
    assert refused.value.filename == folder
    assert journal.read(folder) == []
    full.f_bfree = 8
    with journal.step(folder, RUN, "arm", Clock()):
        pass
    assert [entry.phase for entry in journal.read(folder)] == ["begin", "end"]


def test_the_error_of_a_step_is_not_hidden_by_a_disk_that_is_full(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    with pytest.raises(CommandFailed, match="HAProxy"), journal.step(folder, RUN, "switch", CLOCK):
        monkeypatch.setattr(os, "write", full)
        raise CommandFailed("HAProxy does not answer.")
    assert told(journal.read(folder)) == [("switch", "begin", None)]


def test_a_torn_last_line_is_nothing_and_the_next_line_repairs_the_file(folder: str) -> None:
    first = journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    with file_of(folder).open("a") as handle:
        handle.write('{"schema": 1, "at": "2026-11')
    assert journal.read_all(folder) == ([first], 0)
    second = journal.append(folder, RUN, "arm", "end", clock=CLOCK, outcome="done")
    assert journal.read_all(folder) == ([first, second], 1)


def test_a_last_line_that_lacks_only_its_end_counts_before_and_after_the_repair(folder: str) -> None:
    first = journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    file_of(folder).write_bytes(file_of(folder).read_bytes().rstrip(b"\n"))
    assert journal.read_all(folder) == ([first], 0)
    second = journal.append(folder, RUN, "arm", "end", clock=CLOCK, outcome="done")
    assert journal.read_all(folder) == ([first, second], 0)


def test_lines_of_the_older_form_are_skipped_and_are_no_damage(folder: str) -> None:
    file_of(folder).parent.mkdir(parents=True)
    older = [{"at": "2026", "operation": "deploy", "outcome": outcome} for outcome in ("confirmed", "refused")]
    file_of(folder).write_text("".join(json.dumps(line) + "\n" for line in older))
    entry = journal.append(folder, RUN, "begin", "begin", clock=CLOCK)
    assert journal.read_all(folder) == ([entry], 0)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        "no json",
        "\0\0\0",
        "[" * 100_000,
        '{"schema": 1}',
        '{"schema": 0, "step": "arm"}',
        '{"step": "arm", "outcome": "done"}',
        '{"schema": "2", "step": "arm"}',
        '{"schema": 1e400}',
    ],
)
def test_damaged_lines_are_skipped_and_counted(folder: str, line: str) -> None:
    first = journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    with file_of(folder).open("a") as handle:
        handle.write(line + "\n")
    second = journal.append(folder, RUN, "arm", "end", clock=CLOCK, outcome="done")
    assert journal.read_all(folder) == ([first, second], 1)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("step", ""),
        ("phase", "middle"),
        ("phase", None),
        ("outcome", "perhaps"),
        ("epoch", -1),
        ("boottime", float("nan")),
        ("run", None),
        ("detail", 7),
        ("detail", "\ud800"),
        ("slot", []),
    ],
)
def test_a_line_with_a_wrong_part_is_damage(folder: str, part: str, value: t.Any) -> None:
    entry = journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    file_of(folder).write_text(json.dumps({**entry.to_dict(), part: value}) + "\n")
    assert journal.read_all(folder) == ([], 1)


@pytest.mark.parametrize("end", ["\n", ""], ids=["whole line", "last line without its end"])
def test_a_line_of_a_newer_collection_stops_everything(folder: str, end: str) -> None:
    journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    with file_of(folder).open("a") as handle:
        handle.write('{"schema": 2, "step": {"name": "arm"}}' + end)
    with pytest.raises(StateUnreadable, match="newer version of the collection") as refused:
        journal.read(folder)
    assert refused.value.where == f"{file_of(folder)} line 2"


@pytest.mark.parametrize(
    ("step", "phase", "outcome"), [("", "begin", None), ("arm", "middle", None), ("arm", "end", "perhaps")]
)
def test_what_could_not_be_read_back_is_not_written(folder: str, step: str, phase: str, outcome: str | None) -> None:
    with pytest.raises(BadInput, match="cannot be journaled"):
        journal.append(folder, RUN, step, phase, clock=CLOCK, outcome=outcome)
    assert not Path(folder).exists()


def test_lines_end_at_line_ends_only(folder: str) -> None:
    entry = journal.append(folder, RUN, "arm", "begin", clock=CLOCK, detail="one\u2028two\x85three\rfour\nfive")
    assert journal.read_all(folder) == ([entry], 0)


def test_a_file_in_place_of_the_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("x")
    with pytest.raises(OSError):
        journal.append(str(tmp_path / "shop"), RUN, "arm", "begin", clock=CLOCK)
    with pytest.raises(OSError):
        journal.read(str(tmp_path / "shop"))
    assert (tmp_path / "shop").read_text() == "x"


def test_a_jump_of_the_wall_clock_changes_no_order(folder: str) -> None:
    later = CLOCK._replace(utc=lambda: "1970-01-01T00:00:00Z", boottime=lambda: 200.0)
    first = journal.append(folder, RUN, "arm", "begin", clock=CLOCK)
    second = journal.append(folder, RUN._replace(id="run-lee"), "arm", "begin", clock=later)
    assert journal.read(folder) == [first, second]


def test_a_long_journal_is_read_from_its_end_only(folder: str) -> None:
    for step in ("begin", "arm", "switch", "confirm"):
        journal.append(folder, RUN, step, "begin", clock=CLOCK)
    line = len(file_of(folder).read_bytes().splitlines()[-1]) + 1
    assert [entry.step for entry in journal.read(folder, 2 * line + 10)] == ["switch", "confirm"]
    assert len(journal.read_all(folder)[0]) == 4
