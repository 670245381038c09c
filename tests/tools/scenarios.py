"""Runs Molecule scenarios one after the other, and those joined with + two at a time. Says at the end what failed.

Usage: scenarios.py data_services+default+fleet+edge+single_host
What each wrote is kept in tests/output/molecule/, and what molecule/conftest.py tells of tests: which one runs, how
long each took, which failed.
Scenarios wait so much that two of them share a machine well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "output" / "molecule"
STEP = [sys.executable, str(ROOT / "tests" / "tools" / "step.py")]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# More would starve the tests that wait for something to happen within seconds.
_AT_A_TIME = 2
_RUNNING: list[subprocess.Popen[str]] = []
_ENDED = threading.Event()
# How Ansible begins to tell of a failure, and how much of it says enough.
_FAILURE = re.compile(r"fatal: |failed: |\[ERROR\]|ERROR!")
_LINES_OF_A_FAILURE = 12
_LINES_AT_MOST = 60
_SLOWEST = 8


def end(number: int, _frame: object) -> None:
    """Ends what runs, and begins nothing more: the steps still say how they ended, and what went before."""
    _ENDED.set()
    for process in list(_RUNNING):
        process.send_signal(number)


def play(scenario: str, prefix: str) -> int:
    """Runs one scenario, each line behind *prefix*. Returns its exit code."""
    if _ENDED.is_set():
        return 1
    command = [*STEP, f"Molecule scenario {scenario}", "molecule", "test", "-s", scenario]
    environment = {**os.environ, "STEP_NOW": str(OUTPUT / f"{scenario}.now")}
    with (
        (OUTPUT / f"{scenario}.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        _RUNNING.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            print(f"{prefix}{line}", end="", flush=True)
        code = process.wait()
        _RUNNING.remove(process)
        return code


def failures(log: str) -> list[str]:
    """Returns the lines that tell of failures in what Ansible wrote, the last ones if there are many. Pure."""
    lines = _COLOUR.sub("", log).splitlines()
    told: list[str] = []
    ends = 0
    for number, line in enumerate(lines):
        if _FAILURE.search(line):
            ends = number + _LINES_OF_A_FAILURE
        if number < ends:
            told.append(line)
    return told[-_LINES_AT_MOST:]


def slowest(told: str) -> list[str]:
    """Returns the tests that took longest, of lines with seconds and the name of a test. Pure."""
    taken: dict[str, float] = {}
    for line in told.splitlines():
        seconds, _space, test = line.replace("molecule/", "", 1).partition(" ")
        taken[test] = taken.get(test, 0) + float(seconds)
    ordered = sorted(taken.items(), key=lambda one: one[1], reverse=True)
    return [f"{seconds:6.0f} s  {test}" for test, seconds in ordered[:_SLOWEST]]


def side_by_side(scenarios: list[str]) -> list[str]:
    """Runs scenarios two at a time, in their order. Returns those that failed."""
    prefixes = [f"{scenario} | " if len(scenarios) > 1 else "" for scenario in scenarios]
    with ThreadPoolExecutor(_AT_A_TIME) as lanes:
        codes = list(lanes.map(play, scenarios, prefixes))
    return [scenario for scenario, code in zip(scenarios, codes, strict=True) if code != 0]


def main(arguments: list[str]) -> int:
    """Runs the scenarios in *arguments*, and ends with the first that failed. Returns the exit code."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    for argument in arguments:
        scenarios = argument.split("+")
        for scenario in scenarios:
            for ending in ("failed", "now", "seconds"):
                (OUTPUT / f"{scenario}.{ending}").unlink(missing_ok=True)
        failed = side_by_side(scenarios)
        for scenario in scenarios:
            seconds = OUTPUT / f"{scenario}.seconds"
            if seconds.exists():
                print("\n".join([f"\nSlowest tests of {scenario}:", *slowest(seconds.read_text())]), flush=True)
        for scenario in failed:
            log, tests = OUTPUT / f"{scenario}.log", OUTPUT / f"{scenario}.failed"
            told = tests.read_text() if tests.exists() else "\n".join(failures(log.read_text()))
            print(f"\nScenario {scenario} failed (all of it: {log.relative_to(ROOT)}):\n{told}", flush=True)
        if failed:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
