# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot as a whole: put a release into it, take it out again, start and stop its processes, say what it runs.

Every change follows one order, so that a kill at any moment leaves something that the next call completes: artefact,
environment file, record, instances, clean-up. PRIVATE to the collection.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import shutil
import socket
import threading
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, NotFound
from . import record
from .definition import RUNTIMES, Definition, Instance
from .docker import Docker
from .driver import Driver, Run
from .environment import encode
from .plan import VERBS, Observed, Step, plan
from .record import Paths, Record
from .systemd import Systemd

_ENVIRONMENT_FILE = re.compile(r".+-[0-9a-f]{12}\.env")
# What a kill in the middle of a durable write leaves: the secrets under another name.
_UNFINISHED_FILE = re.compile(r"\..+\.env\.[a-z0-9_]{8}")


@dataclasses.dataclass
class Outcome:
    """What a call did, or in check mode would do. *actions* have the keys action, target and reason.

    *instances* are the web instances that switch_processes() was asked for, as the record has them.
    """

    actions: list[dict[str, str]] = dataclasses.field(default_factory=list)
    killed: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    after: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    instances: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.actions)

    def result(self) -> dict[str, t.Any]:
        """The outcome as a module returns it."""
        return {
            "changed": self.changed,
            "actions": self.actions,
            "killed": self.killed,
            "diff": {"before": self.before, "after": self.after},
        }

    def note(self, action: str, target: str, reason: str) -> None:
        """Adds an action."""
        self.actions.append({"action": action, "target": target, "reason": reason})


class Slot:
    """One slot of an application on this host. With *check* nothing is changed."""

    def __init__(
        self,
        paths: Paths,
        slot: str,
        *,
        check: bool = False,
        drivers: t.Mapping[str, Driver] | None = None,
        run: Run = command.run,
    ) -> None:
        self._paths = paths
        self._slot = slot
        self._check = check
        self._run = run
        self._available: dict[str, bool] = {}
        # Processes may be switched side by side, but what one reads of the record is true until it has written.
        self._recording = threading.Lock()
        self._drivers = drivers or {"docker": Docker(paths), "systemd": Systemd(paths)}

    def place(
        self,
        definition: Definition,
        variables: t.Mapping[str, str],
        *,
        kept: str | None = None,
        resumes: bool = False,
    ) -> Outcome:
        """Puts a release into the slot and runs exactly its processes in ``definition.started``.

        With *resumes*, what the slot runs of that release already runs on as well.
        What the slot ran before, when it was another release, stays on record as *previous*: the release with the id
        *kept* when the slot holds it, else the one that was current.
        """
        recorded = record.read(self._paths, self._slot)
        if resumes:
            definition = _running_on(recorded, definition)
        encoded = encode(definition.runtime, variables)
        target = Record(definition, _replaced(recorded, definition.release.id, kept))
        outcome, observed, steps = self._prepare(recorded, target, only=None)
        self._refuse_taken_ports(definition, observed, steps)

        self._provide_artefact(outcome, definition)
        if not self._has_content(definition.environment_file, encoded):
            outcome.note("write", definition.environment_file, "the environment of the release is new or differs")
            if not self._check:
                record.make_folder(self._paths.configuration, mode=0o700)
                durable.write_text(definition.environment_file, encoded)
        self._apply(outcome, recorded, target, observed, steps)
        self._discard(outcome, target)
        return outcome

    def withhold(self, refused: str, *, kept: str | None = None) -> Outcome:
        """Stops the release with the id *refused*, which stays in the slot so that a person can look at it.

        What it replaced stays on record as *previous*, for a roll back to take back. When the refused release is the
        one with the id *kept*, or the slot does not hold it, the slot gets what its record says.
        """
        recorded = record.read(self._paths, self._slot)
        if recorded.current is None:
            return Outcome(before=_meaning(None, {}), after=_meaning(None, {}))
        target = recorded
        if recorded.current.release.id == refused != kept:
            target = Record(recorded.current.starting([]), recorded.previous)
        # Also when the record says so already: a call that was killed may have left instances behind.
        outcome, observed, steps = self._prepare(recorded, target, only=None)
        self._provide_artefact(outcome, target.current if target.current and target.current.started else None)
        self._apply(outcome, recorded, target, observed, steps)
        return outcome

    def empty(self, *, runtime: str | None = None) -> Outcome:
        """Removes everything of the slot, also left-overs of *runtime* that no record knows."""
        recorded = record.read(self._paths, self._slot)
        target = Record()
        outcome, observed, steps = self._prepare(recorded, target, only=None, also=runtime)
        # The record goes last: it tells a second call which runtime to look into.
        self._execute(outcome, observed, steps, [])
        if recorded.definitions:
            outcome.note("record", self._paths.slot_file(self._slot), "the slot is empty")
            if not self._check:
                record.write(self._paths, self._slot, target)
        self._discard(outcome, target)
        return outcome

    def holds(self, release_id: str) -> bool:
        """Returns whether the slot has the release with this id, as the current or the previous one."""
        return any(one.release.id == release_id for one in record.read(self._paths, self._slot).definitions)

    def switch_processes(
        self,
        names: t.Collection[str] = (),
        *,
        on: bool,
        kinds: t.Collection[str] = (),
        release_id: str | None = None,
    ) -> Outcome:
        """Starts or stops processes, by name or by kind, of the release in the slot, from the record alone.

        With *release_id* the slot must hold that release; when only *previous* is it, it is taken back first.
        Raises NotFound when the slot does not hold it, BadInput when a process to be started does not exist.
        """
        with self._recording:
            recorded = record.read(self._paths, self._slot)
            current, previous = _taken_back(recorded, release_id)
            if current is None:
                if release_id is None and not (on and names):
                    # An empty slot runs nothing of any kind, now or then.
                    return Outcome(before=_meaning(None, {}), after=_meaning(None, {}))
                if self._check:
                    return self._foreseen_switch([*names, *kinds], on, recorded)
                raise self._missing_release(release_id or "any release", recorded)
            chosen = {one.name for one in current.processes if one.name in names or one.kind in kinds}
            if on:
                self._refuse_unknown(current, names)
            running = set(current.started) | chosen if on else set(current.started) - chosen
            wanted = Record(current.starting(running), previous)
            outcome, observed, steps = self._prepare(recorded, wanted, only=chosen)
            self._refuse_taken_ports(wanted.current, observed, steps)
            creates = any(step.verb == "create" for planned in steps.values() for step in planned)
            if on and (creates or self._drivers[current.runtime].STARTS_FROM_ARTEFACT):
                self._provide_artefact(outcome, current)
            self._record(outcome, recorded, wanted)
        self._execute(outcome, observed, steps, wanted.current.instances if wanted.current else [])
        outcome.instances = [
            _listening(one) for one in current.instances if one.process.kind == "web" and one.process.name in chosen
        ]
        return outcome

    def _refuse_unknown(self, current: Definition, names: t.Collection[str]) -> None:
        known = current.process_names()
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise BadInput(
                "The release in the slot does not have these processes.",
                expected=f"names out of {', '.join(known)}",
                found=", ".join(unknown),
                where=f"slot {self._slot}, release {current.release.id}",
            )

    def _prepare(
        self, recorded: Record, target: Record, *, only: t.Container[str] | None, also: str | None = None
    ) -> tuple[Outcome, dict[str, list[Observed]], dict[str, list[Step]]]:
        """Looks at the slot and plans; returns what is there and what to do, by runtime."""
        concerned = {definition.runtime for definition in [*recorded.definitions, *target.definitions]}
        concerned |= {also} if also else set()
        observed: dict[str, list[Observed]] = {}
        steps: dict[str, list[Step]] = {}
        for runtime in sorted(concerned):
            reachable = self._reachable(runtime)
            seen = self._drivers[runtime].observe(self._paths.application, self._slot) if reachable else []
            observed[runtime] = seen
            current = target.current
            if current is not None and current.runtime == runtime:
                steps[runtime] = plan(current.instances, seen, current.started, only=only)
            else:
                steps[runtime] = plan([], seen, (), only=only)
        everything = [one for many in observed.values() for one in many]
        planned = [step for many in steps.values() for step in many]
        outcome = Outcome(
            before=_meaning(recorded.current, _shown(everything)),
            after=_meaning(target.current, _foreseen(everything, planned, target.current)),
        )
        return outcome, observed, steps

    def _reachable(self, runtime: str) -> bool:
        """Whether the runtime can be used; only in check mode it may still be missing. Raises NotFound."""
        if runtime not in self._available:
            self._available[runtime] = self._drivers[runtime].available()
        if self._available[runtime]:
            return True
        if self._check:
            return False
        raise NotFound(
            f"The runtime {runtime} does not work on this host.",
            expected="a Docker engine that answers" if runtime == "docker" else "a host that systemd runs",
            found="none",
            where=socket.gethostname(),
            next_step="systemctl status docker; the verb provision installs it"
            if runtime == "docker"
            else "choose a host with systemd, or the runtime docker",
        )

    def _apply(
        self,
        outcome: Outcome,
        recorded: Record,
        target: Record,
        observed: dict[str, list[Observed]],
        steps: dict[str, list[Step]],
    ) -> None:
        self._record(outcome, recorded, target)
        self._execute(outcome, observed, steps, target.current.instances if target.current else [])

    def _record(self, outcome: Outcome, recorded: Record, target: Record) -> None:
        if target == recorded:
            return
        current = target.current
        running = ", ".join(current.started) or "nothing" if current else ""
        reason = f"release {current.release.id}, running {running}" if current else "the slot is empty"
        outcome.note("record", self._paths.slot_file(self._slot), reason)
        if not self._check:
            record.write(self._paths, self._slot, target)

    def _execute(
        self,
        outcome: Outcome,
        observed: dict[str, list[Observed]],
        steps: dict[str, list[Step]],
        expected: t.Sequence[Instance],
    ) -> None:
        """Does the steps, verb by verb over all runtimes, so that nothing starts before the old is gone."""
        instances = {one.name: one for one in expected}
        for verb in VERBS:
            for runtime, planned in steps.items():
                chosen = [step for step in planned if step.verb == verb]
                for step in chosen:
                    outcome.note(verb, step.name, step.reason)
                if self._check or not chosen:
                    continue
                driver = self._drivers[runtime]
                names = [step.name for step in chosen]
                seen = [one for one in observed[runtime] if one.name in names]
                if verb == "stop":
                    outcome.killed += driver.stop(seen)
                elif verb == "remove":
                    driver.remove(seen)
                elif verb == "create":
                    driver.create([instances[name] for name in names])
                else:
                    driver.start([instances[name] for name in names])

    def _provide_artefact(self, outcome: Outcome, definition: Definition | None) -> None:
        """Makes sure that the artefact of a release is on this host."""
        if definition is None:
            return
        driver, release = self._drivers[definition.runtime], definition.release
        if not self._reachable(definition.runtime) or not driver.has_artefact(definition):
            outcome.note("fetch", f"{release.artefact} {release.digest}", "it is not on this host")
            if not self._check:
                driver.fetch(definition)

    def _foreseen_switch(self, names: t.Sequence[str], on: bool, recorded: Record) -> Outcome:
        """In check mode the release may not be in the slot yet: a step before this one would have put it there."""
        outcome = Outcome(before=_meaning(recorded.current, {}), after=_meaning(recorded.current, {}))
        for name in names:
            outcome.note("start" if on else "stop", name, "as far as the release will be in the slot by then")
        return outcome

    def _discard(self, outcome: Outcome, target: Record) -> None:
        """Removes environment files and artefacts that no slot needs any more."""
        others = [one for one in record.all_definitions(self._paths) if one.slot != self._slot]
        keep = [*target.definitions, *others]
        kept_files = {definition.environment_file for definition in keep}
        try:
            names = sorted(os.listdir(self._paths.configuration))
        except FileNotFoundError:
            names = []
        files = [os.path.join(self._paths.configuration, name) for name in names if _ENVIRONMENT_FILE.fullmatch(name)]
        for path in files:
            if path not in kept_files:
                outcome.note("discard", path, "no slot holds this release")
                if not self._check:
                    durable.remove(path)
        for name in filter(_UNFINISHED_FILE.fullmatch, names):
            path = os.path.join(self._paths.configuration, name)
            outcome.note("discard", path, "a write that was cut short left it")
            if not self._check:
                durable.remove(path)
        for runtime, repository in sorted(
            {(one.runtime, one.release.artefact) for one in keep if one.runtime == "docker"}
        ):
            self._discard_artefacts(outcome, runtime, repository, keep)
        self._discard_artefacts(outcome, "systemd", "", keep)

    def _discard_artefacts(self, outcome: Outcome, runtime: str, repository: str, keep: t.Sequence[Definition]) -> None:
        driver = self._drivers[runtime]
        if runtime == "docker" and not self._reachable(runtime):
            return
        surplus = driver.surplus(self._paths.application, keep, repository)
        for one in surplus:
            outcome.note("discard", one, "neither in a slot nor among the newest three")
        if surplus and not self._check:
            driver.discard(surplus)

    def _has_content(self, path: str, content: str) -> bool:
        return durable.read_text(path) == content and os.stat(path).st_mode & 0o7777 == 0o600

    def _refuse_taken_ports(
        self, definition: Definition | None, observed: dict[str, list[Observed]], steps: dict[str, list[Step]]
    ) -> None:
        """Raises BadInput when a host port that an instance will need belongs to a stranger."""
        own = {one.host_port for many in observed.values() for one in many if one.state != "stopped"}
        starting = {step.name for many in steps.values() for step in many if step.verb in ("create", "start")}
        for instance in definition.instances if definition else []:
            if instance.name in starting and instance.host_port is not None and instance.host_port not in own:
                self._refuse_taken_port(instance.definition.bind_address, instance.host_port, instance.name)

    def _refuse_taken_port(self, address: str, port: int, name: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise BadInput(
                        "The address that instances shall listen on is not one of this host.",
                        expected="an address of this host, or 0.0.0.0",
                        found=address,
                        where="rollout_bind_address",
                        next_step="ip -brief address",
                    ) from error
                raise BadInput(
                    f"The host port {port} is taken, so {name} cannot start; nothing was changed.",
                    expected="a free port",
                    found=self._holder(port) or str(error),
                    where=f"{address}:{port}",
                    next_step=f"ss -ltnp 'sport = :{port}'; stop that program or move rollout_ports",
                ) from error

    def _holder(self, port: int) -> str | None:
        """Who listens on *port*, when ss is there and knows."""
        if shutil.which("ss") is None:
            return None
        answer = self._run(["ss", "-H", "-l", "-t", "-n", "-p", f"sport = :{port}"], deadline=10, accepted=(0, 1, 255))
        match = re.search(r'\("([^"]+)",pid=([0-9]+)', answer.output)
        return f"the program {match.group(1)} with process id {match.group(2)} listens there" if match else None

    def _missing_release(self, wanted: str, recorded: Record) -> NotFound:
        held = [f"{word} {one.release.id}" for word, one in zip(Record._fields, recorded) if one is not None]
        return NotFound(
            f"Slot {self._slot} does not hold {wanted}.",
            expected=wanted,
            found=", ".join(held) or "an empty slot",
            where=self._paths.slot_file(self._slot),
            next_step="deploy that release again; its artefact may still be on this host",
        )


def report(
    paths: Paths, slot: str, *, lines: int = 0, drivers: t.Mapping[str, Driver] | None = None
) -> dict[str, t.Any]:
    """Says what *slot* holds and how its instances are; with *lines*, the last log lines of each. Changes nothing."""
    recorded = record.read(paths, slot)
    current = recorded.current
    known = drivers or {"docker": Docker(paths), "systemd": Systemd(paths)}
    observed: list[Observed] = []
    for runtime in RUNTIMES:
        concerned = any(one.runtime == runtime for one in recorded.definitions)
        if concerned and known[runtime].available():
            observed += known[runtime].observe(paths.application, slot)
    seen = {one.name: one for one in observed}
    instances = []
    for instance in current.instances if current else []:
        instances.append(_instance_report(instance, seen.pop(instance.name, None)))
    instances += [_stray_report(one) for one in seen.values()]
    if lines and current is not None and known[current.runtime].available():
        logs = known[current.runtime].logs([one["name"] for one in instances], lines)
        instances = [{**one, "log": logs.get(one["name"], [])} for one in instances]
    return {
        "slot": slot,
        "runtime": current.runtime if current else None,
        "current": dataclasses.asdict(current.release) if current else None,
        "previous": dataclasses.asdict(recorded.previous.release) if recorded.previous else None,
        "processes_started": list(current.started) if current else [],
        "instances": instances,
    }


def _running_on(recorded: Record, placed: Definition) -> Definition:
    """Returns *placed* with what the slot runs of the same release started, too."""
    current = recorded.current
    if current is None or current.release.id != placed.release.id:
        return placed
    return placed.starting({*placed.started, *current.started})


def _replaced(recorded: Record, placed: str, kept: str | None) -> Definition | None:
    """What stays on record as *previous* when the release with the id *placed* comes."""
    others = [one for one in recorded.definitions if one.release.id != placed]
    return next((one for one in others if one.release.id == kept), others[0] if others else None)


def _taken_back(recorded: Record, release_id: str | None) -> tuple[Definition | None, Definition | None]:
    """Returns current and previous once the slot holds *release_id*, if it can, taking the previous one back."""
    current, previous = recorded
    if release_id is None or (current is not None and current.release.id == release_id):
        return current, previous
    held = previous is not None and previous.release.id == release_id
    return previous.starting([]) if previous and held else None, None


def _listening(instance: Instance) -> dict[str, t.Any]:
    """Where a web instance takes connections."""
    return {
        "name": instance.name,
        "process": instance.process.name,
        "number": instance.number,
        "address": instance.definition.bind_address,
        "port": instance.host_port,
    }


def _instance_report(instance: Instance, seen: Observed | None) -> dict[str, t.Any]:
    definition = instance.definition
    absent = "missing" if instance.process.name in definition.started else "stopped"
    return {
        "name": instance.name,
        "process": instance.process.name,
        "kind": instance.process.kind,
        "number": instance.number,
        "address": definition.bind_address if instance.host_port else None,
        "port": instance.host_port,
        "state": seen.state if seen else absent,
        "health": seen.health if seen else None,
        "restarts": seen.restarts if seen else 0,
        "started_at": seen.started_at if seen else None,
        "release_id": seen.release_id if seen else definition.release.id,
    }


def _stray_report(seen: Observed) -> dict[str, t.Any]:
    """An instance that exists although the slot should not have it: a change was cut short."""
    return {
        "name": seen.name,
        "process": seen.process,
        "kind": None,
        "number": seen.number,
        "address": None,
        "port": seen.host_port,
        "state": seen.state,
        "health": seen.health,
        "restarts": seen.restarts,
        "started_at": seen.started_at,
        "release_id": seen.release_id,
    }


def _meaning(definition: Definition | None, instances: dict[str, dict[str, str]]) -> dict[str, t.Any]:
    """What a difference shows: the release, the names of its variables and the state of its instances."""
    return {
        "release": definition.release.id if definition else None,
        "digest": definition.release.digest if definition else None,
        "variables": list(definition.variables) if definition else [],
        "instances": instances,
    }


def _shown(observed: t.Iterable[Observed]) -> dict[str, dict[str, str]]:
    return {
        one.name: {"state": one.state, "release": one.release_id} for one in sorted(observed, key=lambda one: one.name)
    }


def _foreseen(
    observed: t.Iterable[Observed], steps: t.Iterable[Step], definition: Definition | None
) -> dict[str, dict[str, str]]:
    """The instances as they will be after *steps*."""
    shown = _shown(observed)
    for verb, name, _reason in steps:
        if verb == "remove":
            shown.pop(name, None)
        elif verb == "stop":
            shown[name] = {**shown[name], "state": "stopped"}
        else:
            release_id = definition.release.id if definition else ""
            shown[name] = {"state": "running", "release": release_id}
    return dict(sorted(shown.items()))
