# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long the verbs take and how that grows with the fleet. Prints a table, keeps it as JSON; never judges.

For each fleet size: lab up, provision, first deploys (images get pulled), then the timed runs, several times each; the
median is quoted. Gate time is what the tasks of the gate took, and the operator's choice (samples and interval).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "output"
LAB = [sys.executable, str(ROOT / "tests" / "lab" / "lab.py")]
TASK = re.compile(r"^TASK \[(.+?)\] \*+$")
# A line of the callback profile_tasks, printed before each task: how long the one before it took.
SPENT = re.compile(r"^\w+ \d+ \w+ \d{4}  [\d:]+ \S+ \((\d+):(\d\d):([\d.]+)\)")
GATES = ("Every instance answers as it must",)
# The last one stays live after every roll back, the others take turns: a deploy always replaces another release.
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


class Run(t.NamedTuple):
    """One run of a verb: wall seconds, of these in gates, and the number of tasks."""

    wall: float
    gate: float
    tasks: int


def say(text: str) -> None:
    """Writes one line at once."""
    print(text, flush=True)


def parse(output: str) -> tuple[float, int]:
    """Returns the seconds spent in gate tasks, and the number of tasks, in the output of profile_tasks. Pure."""
    current, gate, tasks = "", 0.0, 0
    for line in output.splitlines():
        if spent := SPENT.match(line):
            hours, minutes, seconds = spent.groups()
            if any(name in current for name in GATES):
                gate += int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            current = ""
        elif task := TASK.match(line):
            current = task.group(1)
            tasks += 1
    return gate, tasks


def play(inventory: Path, verb: str, *arguments: str) -> Run:
    """Runs a playbook. Its output is shown when it fails, and then the benchmark ends."""
    sources = ("-i", "inventories/lab/groups.yml", "-i", str(inventory))
    command = ["ansible-playbook", f"playbooks/{verb}.yml", *sources, *arguments]
    environment = {**os.environ, "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "ANSIBLE_NOCOLOR": "1"}
    started = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    if ended.returncode != 0:
        say(ended.stdout + ended.stderr)
        raise SystemExit(f"{' '.join(command)} ended with exit code {ended.returncode}")
    gate, tasks = parse(ended.stdout)
    say(f"    {verb:<10} {wall:6.1f} s, {gate:4.1f} s in gates, {tasks} tasks")
    return Run(wall, gate, tasks)


def lab(name: str, *arguments: str) -> None:
    """Runs a verb of the lab."""
    subprocess.run(
        [*LAB, arguments[0], "--name", name, *arguments[1:]], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def measure(apps: int, repeats: int) -> dict[str, t.Any]:
    """Returns the figures of a fleet with *apps* application hosts."""
    name = f"bench{apps}"
    folder = ROOT / ".lab" / f"{name}-inventory"
    folder.mkdir(parents=True, exist_ok=True)
    say(f"\n  fleet with {apps} application host{'s' if apps > 1 else ''}")
    started = time.monotonic()
    lab(name, "up", "--topology", "fleet", "--apps", str(apps), "--inventory", str(folder / "hosts.yml"))
    up = time.monotonic() - started
    try:
        for version in VERSIONS:
            lab(name, "push", version, "--kind", "image")
        provision = play(folder, "provision")
        again = play(folder, "provision")
        # After these, every image is on every host: what follows is timed.
        for version in VERSIONS:
            play(folder, "deploy", "-e", f"rollout_version={version}")
        runs: dict[str, list[Run]] = {"deploy": [], "roll_back": [], "status": []}
        for number in range(repeats):
            runs["deploy"].append(play(folder, "deploy", "-e", f"rollout_version={VERSIONS[number % 2]}"))
            runs["roll_back"].append(play(folder, "roll_back"))
            runs["status"].append(play(folder, "status"))
    finally:
        lab(name, "down")
    figures: dict[str, t.Any] = {"apps": apps, "lab_up_s": up, "provision_s": provision.wall, "again_s": again.wall}
    for verb, found in runs.items():
        figures[f"{verb}_s"] = statistics.median(run.wall for run in found)
        figures[f"{verb}_without_gate_s"] = statistics.median(run.wall - run.gate for run in found)
        figures[f"{verb}_tasks"] = max(run.tasks for run in found)
    return figures


def demo(kind: str) -> dict[str, t.Any]:
    """Runs the demo in a lab of its own kind: cold builds every image first, warm finds them. Returns its figures."""
    say(f"\n  demo, {kind}")
    lab("lab", "down", *(("--images",) if kind == "cold" else ()))
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "tests/lab/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if ended.returncode != 0:
        say(ended.stdout[-4000:] + ended.stderr[-4000:])
    load = json.loads((OUTPUT / "demo.json").read_text(encoding="utf-8"))[-1]["load"] or {}
    figures = {key: load.get(key) for key in ("requests", "failures", "rate", "p50_ms", "p95_ms", "p99_ms")}
    say(f"    {seconds:.0f} s, {figures['requests']} requests, {figures['failures']} failures")
    return {"kind": kind, "seconds": seconds, "exit_code": ended.returncode, **figures}


def table(rows: list[dict[str, t.Any]]) -> list[str]:
    """Returns the table, one line a fleet size, seconds unless said otherwise."""
    columns = [
        ("app hosts", "apps", "d"),
        ("lab up", "lab_up_s", ".1f"),
        ("provision", "provision_s", ".1f"),
        ("again", "again_s", ".1f"),
        ("deploy", "deploy_s", ".1f"),
        ("- gates", "deploy_without_gate_s", ".1f"),
        ("tasks", "deploy_tasks", "d"),
        ("roll_back", "roll_back_s", ".1f"),
        ("tasks", "roll_back_tasks", "d"),
        ("status", "status_s", ".1f"),
    ]
    lines = ["".join(f"{title:>11}" for title, _key, _form in columns)]
    lines.extend("".join(f"{format(row[key], form):>11}" for _title, key, form in columns) for row in rows)
    return lines


def main() -> int:
    """Runs the benchmark. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, nargs="+", default=[1, 2, 4, 8], help="fleet sizes (default: 1 2 4 8)")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each verb (default: 3)")
    parser.add_argument("--demo", choices=["cold", "warm"], nargs="*", default=["cold", "warm"], help="default: both")
    chosen = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    demos = [demo(kind) for kind in chosen.demo]
    lab("lab", "down")
    rows = [measure(apps, chosen.repeats) for apps in chosen.apps]
    tests = OUTPUT / "test_seconds"
    result: dict[str, t.Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fleets": rows,
        "demos": demos,
        "last_make_test_s": int(tests.read_text(encoding="utf-8")) if tests.exists() else None,
    }
    (OUTPUT / "bench.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    say("\nSeconds, median; images pulled before. The column - gates is deploy without the time of its gates.\n")
    say("\n".join(table(rows)))
    for found in demos:
        say(
            f"\nDemo, {found['kind']}: {found['seconds']:.0f} s, {found['requests']} requests at {found['rate']}/s, "
            f"{found['failures']} failures, p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms."
        )
    if result["last_make_test_s"]:
        say(f"Last make test: {result['last_make_test_s'] / 60:.1f} min.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
