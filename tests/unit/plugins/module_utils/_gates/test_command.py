# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks through real programs: they end well or badly, write too much, hang, are deaf, or leave children behind."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time
import tracemalloc
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import command, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.command import CommandSampler
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.verdict import ERROR, FAIL, NO_DATA, PASS

VALUES: dict[str, t.Any] = {"values": {"p95": "stats.p95"}, "at_most": {"p95": 200}}
LATE = 5.0  # s more than it was told that a look may take on a busy host


def sampler(program: str, **told: t.Any) -> CommandSampler:
    described = {"name": "x", "type": "command", "command": [sys.executable, "-c", program], "timeout": "1 min", **told}
    (gate,) = specification.read({"bake": [described]})
    return command.sampler(gate)


def look(program: str, allowed: float = 60, **told: t.Any) -> Look:
    return sampler(program, **told)(allowed)


def printing(document: t.Any) -> str:
    return f"print({json.dumps(document)!r})"


def is_alive(number: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def is_gone(number: int) -> bool:
    until = time.monotonic() + LATE
    while is_alive(number) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_alive(number)


def test_a_program_that_ends_well_passes() -> None:
    assert look("print('no JSON at all')") == Look(PASS, ["exit code 0"])


def test_another_exit_code_fails_with_the_end_of_what_it_said() -> None:
    seen = look("import sys; print('out'); [print('line', n, file=sys.stderr) for n in range(100)]; sys.exit(3)")
    assert (seen.verdict, seen.words) == (FAIL, ["exit code 3, expected 0"])
    assert list(seen.answers) == [f"line {number}" for number in range(80, 100)]


def test_without_errors_the_end_of_the_output_is_told() -> None:
    assert look("print('one\\n\\ntwo\\x1b[0m'); exit(1)").answers == ["one", "two?[0m"]


@pytest.mark.parametrize(
    ("document", "verdict", "words"),
    [
        ({"stats": {"p95": 200}}, PASS, "p95 200, at most 200"),
        ({"stats": {"p95": 212.5}}, FAIL, "p95 212.5, at most 200"),
        ({"stats": {}}, NO_DATA, "p95 unknown, at most 200"),
        ({"stats": {"p95": "12"}}, NO_DATA, "p95 unknown, at most 200"),
        ({"stats": {"p95": True}}, NO_DATA, "p95 unknown, at most 200"),
        ({"stats": {"p95": float("nan")}}, NO_DATA, "p95 unknown, at most 200"),
        ({"stats": {"p95": 10**400}}, NO_DATA, "p95 unknown, at most 200"),
    ],
)
def test_numbers_in_its_json_keep_their_limits(document: t.Any, verdict: str, words: str) -> None:
    assert look(printing(document), **VALUES) == Look(verdict, ["exit code 0", words])


def test_an_expression_that_cannot_be_evaluated_finds_no_number() -> None:
    assert look(printing({}), values={"n": "length(nothing)"}, at_most={"n": 1}).verdict == NO_DATA


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("print('p95: 3')", "the output is not JSON: p95: 3"),
        ("print('[' * 100000)", "the output is not JSON: [[["),
        ("print(' ' * 2000000)", "the output is larger than 1048576 bytes"),
    ],
)
def test_output_without_json_is_an_error(program: str, words: str) -> None:
    seen = look(program, **VALUES)
    assert seen.verdict == ERROR
    assert seen.words[0].startswith(words)


def test_a_wrong_expression_is_told_before_anything_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specification, "HAS_JMESPATH", False)  # on the controller, which reads gates first
    seen = look(f"open({str(tmp_path / 'ran')!r}, 'w')", values={"p95": "stats.["}, at_most={"p95": 1})
    assert (seen.verdict, "the value p95 is no JMESPath expression" in seen.words[0]) == (ERROR, True)
    assert not (tmp_path / "ran").exists()


def test_a_missing_jmespath_is_named_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "HAS_JMESPATH", False)
    assert "install python3-jmespath" in look("pass", **VALUES).words[0]
    assert look("pass").verdict == PASS


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (["/nowhere/locust", "--token=hunter2"], "/nowhere/locust cannot be started: No such file or directory"),
        (["/etc/passwd", "hunter2"], "/etc/passwd cannot be started: Permission denied"),
        (["true", "hunter2\0"], "true cannot be started: ValueError"),
    ],
)
def test_a_program_that_cannot_be_started_is_an_error_without_its_arguments(program: list[str], words: str) -> None:
    assert look("pass", command=program) == Look(ERROR, [words])


def test_a_program_killed_by_a_signal_is_an_error() -> None:
    seen = look("import os; os.kill(os.getpid(), 11)")
    assert (seen.verdict, seen.words[0].endswith("was killed by signal 11")) == (ERROR, True)


DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), child.pid, flush=True)
print("said before it hung", file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("allowed", "timeout"), [(60.0, "2 s"), (2.0, "1 min")])
def test_a_program_that_is_deaf_is_killed_with_its_children_in_time(allowed: float, timeout: str) -> None:
    quiet = DEAF.replace('print("said before it hung", file=sys.stderr, flush=True)', "")
    began = time.monotonic()
    seen = look(quiet, allowed, timeout=timeout)
    assert time.monotonic() - began < 2 + LATE
    assert (seen.verdict, "did not end within 2 s and was killed" in seen.words[0]) == (ERROR, True)
    numbers = [int(number) for number in seen.answers[0].split()]
    assert len(numbers) == 2
    assert all(map(is_gone, numbers))


def test_a_program_can_end_in_peace_when_its_time_is_over() -> None:
    program = "import signal, time; signal.signal(15, lambda *_: exit(print('cleaned up'))); time.sleep(60)"
    seen = look(program, timeout="2 s")
    assert (seen.verdict, seen.answers) == (ERROR, ["cleaned up"])


def test_a_child_does_not_outlive_a_program_that_has_ended_well(tmp_path: pathlib.Path) -> None:
    told = tmp_path / "child"
    program = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(told)!r}, "w").write(str(child.pid))
print("done")
"""
    began = time.monotonic()
    assert look(program) == Look(PASS, ["exit code 0"])
    assert time.monotonic() - began < LATE
    assert is_gone(int(told.read_text()))


def test_a_daemon_that_holds_the_output_is_not_waited_for() -> None:
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    while time.sleep(0.01) or os.write(1, b"x"):
        pass
"""
    began = time.monotonic()
    assert look(program) == Look(PASS, ["exit code 0"])
    assert time.monotonic() - began < LATE


def test_a_program_that_writes_without_end_needs_little_memory_and_is_not_held_up() -> None:
    program = "import sys; [sys.stdout.write('x' * 99 + '\\n') for _ in range(500_000)]; print('end'); exit(1)"
    tracemalloc.start()
    try:
        seen = look(program)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen.verdict, len(seen.answers), seen.answers[-1]) == (FAIL, 20, "end")
    assert peak < 8 * 1024 * 1024


def test_a_look_is_ended_from_another_thread_and_none_begins_after_that() -> None:
    running = sampler(DEAF)
    threading.Timer(1.0, running.stop).start()
    began = time.monotonic()
    seen = running(60)
    assert time.monotonic() - began < 1 + LATE
    assert (seen.verdict, seen.words[0].endswith("was stopped")) == (ERROR, True)
    assert running(60).verdict == ERROR


def test_it_leaves_no_descriptor_and_no_child_behind() -> None:
    look("pass")
    before = set(os.listdir("/proc/self/fd"))
    look("exit(1)")
    look("pass", command=["/nowhere"])
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
