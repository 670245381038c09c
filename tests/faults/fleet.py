# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet that the cases share: made once, under load, looked at, and made anew when a case broke it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import yaml
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from ..lab import disks, hosts, load, registry, state
from ..lab.paths import ROOT
from . import looks, resident, runs, stops
from .looks import LOAD_BALANCERS, Look

#: Three, so that a deploy can bring one that is in no slot.
VERSIONS = ("1.0.0", "1.1.0", "1.3.0")
SLOTS = ("blue", "green")
#: By kind of process, how long it may take to stop.
STOP_SECONDS = {"web": 20, "worker": 2, "scheduler": 2}
RATE = 10.0
#: A report reads every line since the load began: the load is begun anew before that takes long.
LOAD_SECONDS = 400.0
HEALTHY_SECONDS = 60.0
RUN_SECONDS = 240.0
#: Two new fleets are provisioned at the same time, with packages from the network.
PROVISION_SECONDS = 600.0
#: The guard of runs that nothing happens to: on a busy machine they must not be too slow for it. Nobody waits for it.
CALM_GUARD_SECONDS = 45.0


#: Two fleets build the same images.
_BUILDING = threading.Lock()


class Broken(Exception):
    """The fleet does not come to rest; the message says why."""


class Fleet:
    """One lab of topology pair, provisioned, with two confirmed releases."""

    def __init__(
        self, name: str, output: Path, times: runs.Times, say: t.Callable[[str], None] = print, size: int = 2
    ) -> None:
        self.name = name
        self.size = size  # application hosts
        self.say = say
        self.output = output
        self.times = times
        self.inventory = ROOT / ".lab" / f"{name}-inventory"
        self._load_ends = 0.0
        self._lab: state.Lab | None = None
        self._lookers: dict[str, resident.Looker] = {}
        self._runs = 0

    @property
    def lab(self) -> state.Lab:
        """The lab; it must be up."""
        if self._lab is None:
            self._lab = state.load(self.name)
        return self._lab

    @property
    def applications(self) -> list[str]:
        """Returns the names of the application hosts."""
        return [host.name for host in self.lab.hosts() if "application" in host.groups]

    @property
    def rooms(self) -> list[str]:
        """Returns the names of all hosts with a journal."""
        return [*LOAD_BALANCERS, *self.applications]

    def up(self) -> None:
        """Starts and provisions what is missing, deploys two releases, installs the hook, starts the load."""
        self.inventory.mkdir(parents=True, exist_ok=True)
        wanted = ("--topology", "pair", "--apps", str(self.size), "--inventory", str(self.inventory / "hosts.yml"))
        self._verb("up", *wanted)
        self._shorten()
        self._lab = None
        for version in VERSIONS:
            with _BUILDING:
                registry.push(self.lab, version, (), ("image",))
        self.play("provision")
        self.settle()
        for version in VERSIONS:
            known = self.known_versions()
            if len(known) < len(SLOTS) and version not in known:
                self.play("deploy", version)
        stops.install(self.lab, self.rooms)
        self.ensure_load()

    def _shorten(self) -> None:
        """A guard's deadline must be longer than the longest stop of a worker: here all are short, few, and quick."""
        source = ROOT / "inventories" / "lab" / "group_vars" / "all" / "rollout.yml"
        processes = yaml.safe_load(source.read_text(encoding="utf-8"))["rollout_processes"]
        for process in processes:
            process["stop_timeout"] = min(process["stop_timeout"], STOP_SECONDS[process["kind"]])
            process["instances"] = 1  # of web there is one on each application host
        folder = self.inventory / "group_vars" / "all"
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"rollout_processes": processes, "rollout_ready_interval": 0.1}, sort_keys=False)
        (folder / "faults.yml").write_text(f"---\n{text}", encoding="utf-8")

    def known_versions(self, host: str = "lb1") -> list[str]:
        """Returns the versions in the slots as *host* knows them: the live one first, then the other one."""
        seen = self.look(host)
        found = [looks.live_release(seen), looks.idle_release(seen)]
        return [release.split("-", 1)[0] for release in found if release]

    def heal(self) -> None:
        """Takes back what a case may have left of its fault."""
        for name in self.rooms:
            if hosts.state(self.lab, name) != "running":
                hosts.ensure_running(self.lab, self.lab.host(name), [])
                hosts.wait_for_ssh(self.lab, name)
            if hosts.cuts(self.lab, name):
                hosts.heal(self.lab, name)
            if disks.full(self.lab, name):
                disks.free(self.lab, name)

    def settle(self) -> None:
        """Waits for rest, and lets a load balancer that was left behind follow the other one. Raises Broken."""
        self.heal()
        seen = self.rest(agreed=False)
        if len({looks.live_release(seen[name]) for name in LOAD_BALANCERS}) > 1:
            self.play("deploy", self.known_versions()[1])
        self.rest()

    def down(self) -> None:
        """Takes the lab away with everything in it."""
        self._load_ends = 0.0
        self._forget_lookers()
        self._verb("down")

    def leave(self) -> None:
        """Leaves the lab to whoever wants to look around, without load and without the hook."""
        self.stop_load()
        self._forget_lookers()
        with contextlib.suppress(RolloutError):
            stops.remove(self.lab, self.rooms)

    def _verb(self, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "tests" / "lab" / "lab.py"), arguments[0], "--name", self.name]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen([*command, *arguments[1:]], cwd=ROOT, **output) as verb:  # type: ignore[call-overload]
            for line in verb.stdout:
                if line.strip():
                    self.say(line.rstrip())
        if verb.returncode != 0:
            raise Broken(f"lab {arguments[0]} failed")

    def ensure_load(self) -> None:
        """Starts the load, or starts it anew when it has run for long."""
        if time.time() < self._load_ends:
            return
        self.stop_load()
        urls = [f"http://{name}/" for name in LOAD_BALANCERS]
        load.start(self.lab, urls=urls, rate=RATE, max_seconds=LOAD_SECONDS * 2, timeout=10.0, mix=None)
        self._load_ends = time.time() + LOAD_SECONDS
        time.sleep(1.0)

    def stop_load(self) -> None:
        """Stops the load, if there is one."""
        with contextlib.suppress(RolloutError):
            load.stop(self.lab)

    def report(self, since: float, until: float) -> dict[str, t.Any]:
        """Returns what users saw between two moments."""
        return load.report(self.lab, since=f"{since:.3f}", until=f"{until:.3f}")

    def start(
        self, verb: str, version: str | None = None, extra: t.Sequence[str] = (), guard: float = CALM_GUARD_SECONDS
    ) -> runs.Run:
        """Starts a playbook, with more arguments *extra*."""
        self._runs += 1
        mark = f"{self.name}-{self._runs}-{time.time():.0f}"
        self.output.mkdir(parents=True, exist_ok=True)
        times = self.times._replace(guard=guard)
        arguments = [*runs.command(verb, version, self.inventory, times), *extra]
        return runs.Run(arguments, self.output / f"{self._runs:04}-{verb}.log", mark)

    def play(self, verb: str, version: str | None = None) -> runs.Run:
        """Runs a playbook to its good end. Raises Broken with its last lines."""
        started = self.start(verb, version)
        if (code := started.wait(PROVISION_SECONDS if verb == "provision" else RUN_SECONDS)) != 0:
            started.end()
            raise Broken(f"{verb} {version or ''} ended with {code}:\n{started.text()[-3000:]}")
        return started

    def look(self, host: str, first: int = 0) -> Look | None:
        """Returns what *host* shows now, journal lines from number *first* on; None when it does not run."""
        return self.look_at([host], {host: first})[host]

    def look_at(
        self, names: t.Sequence[str], first: t.Mapping[str, int] | None = None, *, full: bool = False
    ) -> dict[str, Look | None]:
        """Returns the same of several hosts, asked at the same time; *full*: with what takes longer to find out."""
        for name in names:
            if name not in self._lookers:
                self._lookers[name] = resident.in_container(self.lab.container(name))
        return resident.ask_all({name: self._lookers[name] for name in names}, first or {}, full=full)

    def _forget_lookers(self) -> None:
        for one in self._lookers.values():
            one.close()
        self._lookers.clear()

    def rest(self, *, agreed: bool = True) -> dict[str, Look]:
        """Waits until nothing is under way and (*agreed*) both load balancers have the same release.

        A case begins and ends like that. Returns what every host shows. Raises Broken.
        """
        ends = time.monotonic() + HEALTHY_SECONDS
        while True:
            seen = self.look_at(self.rooms)
            problems = [f"{name}: {why}" for name in LOAD_BALANCERS for why in _under_way(seen[name])]
            releases = {looks.live_release(seen[name]) for name in LOAD_BALANCERS}
            if not problems and (len(releases) == 1 or not agreed):
                return {name: one for name, one in seen.items() if one is not None}
            if time.monotonic() > ends:
                raise Broken("; ".join(problems) or f"the load balancers have different releases: {releases}")
            time.sleep(0.3)


def _under_way(seen: Look | None) -> list[str]:
    if seen is not None and isinstance(seen.state, dict) and seen.state["live"] is None:
        return []
    if seen is not None and seen.state is None:
        return []  # nothing was ever deployed
    problems = looks.restless(seen)
    if looks.lease_left(seen):
        problems.append(f"the lease has {looks.lease_left(seen):.1f} s left")
    return problems
