# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The labs that the benchmarks run in: up, provisioned, with every release pulled; playbooks and programs run there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import yaml
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed

from ..lab import hosts, state
from ..lab.engine import docker
from ..lab.paths import ROOT

LAB = [sys.executable, str(ROOT / "tests" / "lab" / "lab.py")]
PROGRAMS = Path(__file__).resolve().parent / "on_host"
FOLDER = "/var/lib/lab-bench"
VARIABLES = ROOT / "inventories" / "lab" / "group_vars" / "all" / "rollout.yml"
# The last one stays live after every roll back, the others take turns: a deploy always replaces another release.
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
GATES = ("Every instance is ready",)
_TASK = re.compile(r"^TASK \[(.+?)\] \*+$")
# A line of the callback profile_tasks, printed before each task: how long the one before it took.
_SPENT = re.compile(r"^\w+ \d+ \w+ \d{4}  [\d:]+ \S+ \((\d+):(\d\d):([\d.]+)\)")

# A line of the recap.
_CHANGED = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) ", re.MULTILINE)


class Run(t.NamedTuple):
    """One run of a verb: wall seconds, of these in gates, the number of tasks, and of what changed on all hosts."""

    wall: float
    gate: float
    tasks: int
    changed: int


class Lab(t.NamedTuple):
    """A lab that is up. *up*, *provision* and *again* are the seconds that these took.

    *again_changed* is how much the second provision changed, which had nothing to do.
    """

    name: str
    topology: str
    apps: int
    up: float
    provision: float
    again: float
    again_changed: int


def say(text: str) -> None:
    """Writes one line at once."""
    print(text, flush=True)


def verb(name: str, *arguments: str) -> None:
    """Runs a verb of the lab called *name*."""
    subprocess.run([*LAB, *arguments, "--name", name], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def running(topology: str, apps: int) -> t.Iterator[Lab]:
    """Gives a lab that is provisioned twice (both are timed) and has every release on every host. Takes it down."""
    name = f"bench{'' if topology == 'fleet' else topology}{apps}"
    folder(name).mkdir(parents=True, exist_ok=True)
    say(f"\n  {topology} with {apps} application host{'s' if apps > 1 else ''}")
    try:
        started = time.monotonic()
        verb(name, "up", "--topology", topology, "--apps", str(apps), "--inventory", str(folder(name) / "hosts.yml"))
        up = time.monotonic() - started
        for version in VERSIONS:
            verb(name, "push", version, "--kind", "image")
        provision, again = play(name, "provision"), play(name, "provision")
        # After these, every image is on every host: what follows is timed.
        for version in VERSIONS:
            play(name, "deploy", "-e", f"rollout_version={version}")
        yield Lab(name, topology, apps, up, provision.wall, again.wall, again.changed)
    finally:
        verb(name, "down")


def folder(name: str) -> Path:
    """Returns the folder of the inventory of the lab called *name*."""
    return ROOT / ".lab" / f"{name}-inventory"


def parse(output: str) -> tuple[float, int, int]:
    """Returns the seconds spent in gate tasks, the number of tasks, and of changes on all hosts. Pure.

    *output* is of profile_tasks, and has the recap of Ansible itself.
    """
    current, gate, tasks = "", 0.0, 0
    for line in output.splitlines():
        if spent := _SPENT.match(line):
            hours, minutes, seconds = spent.groups()
            if any(name in current for name in GATES):
                gate += int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            current = ""
        elif task := _TASK.match(line):
            current = task.group(1)
            tasks += 1
    return gate, tasks, sum(map(int, _CHANGED.findall(output)))


def play(name: str, playbook: str, *arguments: str, expected: int = 0) -> Run:
    """Runs a playbook in the lab called *name*. With another exit code than *expected*, the benchmark ends with it."""
    sources = ("-i", "inventories/lab/groups.yml", "-i", str(folder(name) / "hosts.yml"))
    command = ["ansible-playbook", f"playbooks/{playbook}.yml", *sources, *arguments]
    # The times of tasks stand beside what Ansible itself prints.
    shown = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "ANSIBLE_NOCOLOR": "1"}
    environment = {**os.environ, **shown, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    started = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    if ended.returncode != expected:
        say(ended.stdout + ended.stderr)
        raise SystemExit(f"{' '.join(command)} ended with exit code {ended.returncode}")
    gate, tasks, changed = parse(ended.stdout)
    say(f"    {playbook:<10} {wall:6.1f} s, {gate:4.1f} s in gates, {tasks} tasks, {changed} changed")
    return Run(wall, gate, tasks, changed)


def application() -> dict[str, str]:
    """Returns what the programs of on_host must know about the application of the lab."""
    told = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))
    return {
        "name": told["rollout_application"],
        "environment": told["rollout_environment"],
        "check_path": told["rollout_ready_path"],
        "path": told["rollout_verify_path"],
        "body": told["rollout_verify_body"],
    }


def on_host(name: str, host: str, program: str, wanted: dict[str, t.Any], *, deadline: float) -> dict[str, t.Any]:
    """Runs a program of on_host on a host of the lab called *name*, for at most *deadline* seconds.

    *wanted* is its standard input. Returns its result.
    """
    container = state.load(name).container(host)
    files = [
        hosts.File(f"{FOLDER}/on_host/{one.name}", one.read_text(encoding="utf-8")) for one in PROGRAMS.glob("*.py")
    ]
    hosts.put_files(container, files)
    try:
        ended = docker(
            *("exec", "--interactive", "--workdir", FOLDER, container, "python3", "-m", f"on_host.{program}"),
            standard_input=json.dumps(wanted),
            deadline=deadline,
        )
    except CommandFailed as error:
        raise SystemExit(f"{program} on {host}: {error}") from error
    result: dict[str, t.Any] = json.loads(ended.output)
    return result


def shell(name: str, host: str, script: str, *, deadline: float = 300.0) -> str:
    """Runs a shell script on a host of the lab called *name*. Returns its output. Raises CommandFailed."""
    return docker("exec", state.load(name).container(host), "sh", "-euc", script, deadline=deadline).output
