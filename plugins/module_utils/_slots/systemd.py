# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime systemd: a release folder, a template unit per process and an instance of it per copy.

Nothing that a running instance was started with is rewritten: instances that differ are stopped first. So the files of
an instance always tell what it runs, also after a kill at any moment. PRIVATE to the collection.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, CommandFailed
from .definition import Definition, Instance
from .driver import Run, in_parallel
from .environment import encode
from .plan import Observed
from .record import Paths, make_folder

_LOOK = 30.0  # s, for a question to systemd
_CHANGE = 120.0  # s, for a change of all units of a slot
_PROPERTIES = "Id,ActiveState,SubState,NRestarts,ActiveEnterTimestamp,UnitFileState,Result"


class Systemd:
    """Driver for the service manager of this host."""

    STARTS_FROM_ARTEFACT = True

    def __init__(self, paths: Paths, run: Run = command.run) -> None:
        self._paths = paths
        self._run = run

    def available(self) -> bool:
        """Whether systemd runs this host."""
        return os.path.isdir(os.path.join(self._paths.root, "run/systemd/system"))

    def observe(self, application: str, slot: str) -> list[Observed]:
        """The instances of this slot that have an environment file."""
        headers = [one for one in self._headers() if one["slot"] == slot]
        states = self._show([_unit(one) for one in headers])
        return [_observed(header, states.get(_unit(header), {})) for header in headers]

    def has_artefact(self, definition: Definition) -> bool:
        """Whether the release folder is here; it gets its name only when it is complete."""
        return os.path.isdir(release_folder(self._paths, definition))

    def fetch(self, definition: Definition) -> None:
        """Downloads, checks and unpacks the artefact."""
        from . import artefact as release_folders  # noqa: PLC0415 - a network stack that starting and stopping does not need

        release_folders.fetch(self._paths, definition.release, release_folder(self._paths, definition))

    def stop(self, instances: t.Sequence[Observed]) -> list[str]:
        """Disables and stops units. systemd marks those it had to kill."""
        units = {_unit_of(self._paths, one): one for one in instances}
        if not units:
            return []
        deadline = max(one.stop_timeout for one in instances) + _LOOK
        self._run(["systemctl", "disable", "--no-reload", *units], deadline=_CHANGE)
        self._run(["systemctl", "stop", *units], deadline=deadline)
        states = self._show(list(units))
        killed = [unit for unit in units if states.get(unit, {}).get("Result") == "timeout"]
        if killed:
            self._run(["systemctl", "reset-failed", *killed], deadline=_CHANGE)
        return sorted(units[unit].name for unit in killed)

    def remove(self, instances: t.Sequence[Observed]) -> None:
        """Removes the environment files of instances, and template units that no instance uses any more."""
        for instance in instances:
            durable.remove(self._instance_file(_slot_of(self._paths, instance), instance.process, instance.number))
        used = {_template(one) for one in self._headers()}
        gone = {_template_of(self._paths, instance) for instance in instances} - used
        removed = [durable.remove(os.path.join(self._paths.units, template)) for template in sorted(gone)]
        if any(removed):
            self._run(["systemctl", "daemon-reload"], deadline=_CHANGE)

    def create(self, instances: t.Sequence[Instance]) -> None:
        """Writes what instances need, enables and starts them."""
        if not instances:
            return
        for template, instance in {_template_name(one): one for one in instances}.items():
            self._write_template(template, unit_text(self._paths, instance))
        make_folder(self._paths.configuration, mode=0o700)
        for instance in instances:
            path = self._instance_file(instance.definition.slot, instance.process.name, instance.number)
            durable.write_text(path, instance_text(instance))
        units = [unit_name(one) for one in instances]
        self._run(["systemctl", "enable", "--no-reload", "--quiet", *units], deadline=_CHANGE)
        # Also when nothing was written now: a run that was killed may have written and not reloaded.
        self._run(["systemctl", "daemon-reload"], deadline=_CHANGE)
        ended = self._run(["systemctl", "start", *units], deadline=_CHANGE, accepted=(0, 1))
        if ended.code:
            raise self._start_failure(units, ended.error)

    def start(self, instances: t.Sequence[Instance]) -> None:
        """Starts units that exist; what belongs to them is put right on the way."""
        self.create(instances)

    def surplus(self, application: str, keep: t.Sequence[Definition], artefact: str) -> list[str]:
        """Release folders beyond the newest three and those that a slot knows."""
        from . import artefact as release_folders  # noqa: PLC0415 - a network stack that starting and stopping does not need

        return release_folders.surplus(self._paths, {definition.release.id for definition in keep})

    def discard(self, artefacts: t.Sequence[str]) -> None:
        """Removes release folders."""
        from . import artefact as release_folders  # noqa: PLC0415 - a network stack that starting and stopping does not need

        release_folders.discard(artefacts)

    def logs(self, names: t.Sequence[str], lines: int) -> dict[str, list[str]]:
        """The last journal lines of instances."""
        units = {_name(one): _unit(one) for one in self._headers()}

        def logs_of(name: str) -> list[str]:
            if name not in units:
                return []
            arguments = ["journalctl", "--quiet", "--no-pager", "--output", "short-iso", "--lines", str(lines)]
            return self._run([*arguments, "--unit", units[name]], deadline=_LOOK).output.splitlines()

        return dict(zip(names, in_parallel(logs_of, names)))

    def _headers(self) -> list[dict[str, t.Any]]:
        """The first lines of the environment files of all instances of the application, in the order of names."""
        try:
            files = sorted(os.listdir(self._paths.configuration))
        except FileNotFoundError:
            return []
        texts = (
            durable.read_text(os.path.join(self._paths.configuration, one)) for one in files if one.endswith(".env")
        )
        return [json.loads(text.split("\n", 1)[0][2:]) for text in texts if text and text.startswith("# {")]

    def _show(self, units: t.Sequence[str]) -> dict[str, dict[str, str]]:
        if not units:
            return {}
        arguments = ["systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", *units]
        blocks = self._run(arguments, deadline=_LOOK).output.strip().split("\n\n")
        shown = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]
        return {one["Id"]: one for one in shown if "Id" in one}

    def _write_template(self, template: str, text: str) -> None:
        """Puts a template unit in place after systemd found nothing wrong with it."""
        path = os.path.join(self._paths.units, template)
        if durable.read_text(path) == text:
            return
        with tempfile.TemporaryDirectory(prefix="rollout-unit-") as folder:
            candidate = os.path.join(folder, template)
            with open(candidate, "w", encoding="utf-8") as handle:
                handle.write(text)
            arguments = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", candidate]
            checked = self._run(arguments, deadline=_LOOK, accepted=(0, 1))
        if checked.code:
            raise BadInput(
                "systemd does not accept the unit of a process.",
                expected="a unit that systemd-analyze verify accepts",
                found=(checked.error or checked.output).strip().replace(candidate, template).replace("\n", "\n    "),
                where=path,
                next_step="correct the process (its command must exist in the release); the unit was not written",
            )
        durable.write_text(path, text, mode=0o644)

    def _start_failure(self, units: t.Sequence[str], error: str) -> CommandFailed:
        states = self._show(units)
        failed = [unit for unit in units if states.get(unit, {}).get("ActiveState") != "active"]
        log: list[str] = []
        for unit in failed[:2]:
            arguments = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "--lines", "5", "--unit", unit]
            log += self._run(arguments, deadline=_LOOK).output.splitlines()
        return CommandFailed(
            "Instances did not start.",
            expected=f"{len(units)} active units",
            found="\n    ".join([", ".join(failed) or error.strip(), *log]),
            where="systemctl start",
            next_step=f"journalctl --unit {(failed or list(units))[0]}",
        )

    def _instance_file(self, slot: str, process: str, number: int) -> str:
        return os.path.join(self._paths.configuration, f"{slot}-{process}-{number}.env")


def release_folder(paths: Paths, definition: Definition) -> str:
    """Where the release is unpacked."""
    return os.path.join(paths.releases, definition.release.id)


def unit_name(instance: Instance) -> str:
    """The unit of *instance*."""
    return _template_name(instance).replace("@.", f"@{instance.number}.")


def instance_text(instance: Instance) -> str:
    """The environment file of *instance*. Its first line tells what the instance is; observe() reads it."""
    definition = instance.definition
    header = {
        "application": definition.application,
        "slot": definition.slot,
        "process": instance.process.name,
        "number": instance.number,
        "release": definition.release.id,
        "definition": instance.checksum,
        "stop_timeout": instance.process.stop_timeout,
        "host_port": instance.host_port,
    }
    return f"# {json.dumps(header, sort_keys=True)}\n{encode('systemd', instance.environment)}"


def unit_text(paths: Paths, instance: Instance) -> str:
    """The template unit for all instances of the process of *instance*."""
    definition, process = instance.definition, instance.process
    folder = release_folder(paths, definition)
    limits = []
    if process.memory_bytes is not None:
        limits.append(f"MemoryMax={process.memory_bytes}")
    if process.cpus is not None:
        limits.append(f"CPUQuota={round(float(process.cpus) * 100)}%")
    name = f"{definition.application}-{definition.slot}-{process.name}"
    return _UNIT.format(
        title=f"{name} %i, release {_literal(definition.release.id)}",
        environment_file=_literal(definition.environment_file),
        instance_file=f"{_literal(paths.configuration)}/{definition.slot}-{process.name}-%i.env",
        folder=_literal(folder),
        command=" ".join([_program(process.command[0], folder), *(_argument(word) for word in process.command[1:])]),
        name=name,
        stop_timeout=process.stop_timeout,
        limits="\n".join(["TasksMax=512", *limits]),
    )


# Restart, init and limits do what the docker driver's options do, so that both runtimes behave the same.
# StartLimitIntervalSec=0: however long a database is away, the slot comes back when the database does.
_UNIT = """\
# Written by vitalops.rollout; changes made here are lost with the next release.
[Unit]
Description={title}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
DynamicUser=yes
WorkingDirectory={folder}
EnvironmentFile={environment_file}
EnvironmentFile={instance_file}
ExecStart={command}
SyslogIdentifier={name}-%i
Restart=always
RestartSec=2
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={stop_timeout}
{limits}
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
KeyringMode=private
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _program(word: str, folder: str) -> str:
    """The first word of ExecStart: an absolute path, a path inside the release, or a name that systemd looks up."""
    if "/" in word and not word.startswith("/"):
        word = os.path.normpath(os.path.join(folder, word))
    return _argument(word)


def _argument(word: str) -> str:
    """One word of ExecStart, exactly as it is: no variable, no specifier, no splitting."""
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"), ("\t", "\\t")):
        word = word.replace(character, escaped)
    return f'"{word}"'


def _template_name(instance: Instance) -> str:
    definition = instance.definition
    return f"{definition.application}-{definition.slot}-{instance.process.name}@.service"


def _template(header: t.Mapping[str, t.Any]) -> str:
    return f"{header['application']}-{header['slot']}-{header['process']}@.service"


def _unit(header: t.Mapping[str, t.Any]) -> str:
    return _template(header).replace("@.", f"@{header['number']}.")


def _name(header: t.Mapping[str, t.Any]) -> str:
    return f"{header['application']}-{header['slot']}-{header['process']}-{header['number']}"


def _slot_of(paths: Paths, instance: Observed) -> str:
    # The name is <application>-<slot>-<process>-<number>, and a slot's name has no dash.
    return instance.name[len(paths.application) + 1 :].split("-", 1)[0]


def _template_of(paths: Paths, instance: Observed) -> str:
    return f"{paths.application}-{_slot_of(paths, instance)}-{instance.process}@.service"


def _unit_of(paths: Paths, instance: Observed) -> str:
    return _template_of(paths, instance).replace("@.", f"@{instance.number}.")


def _observed(header: t.Mapping[str, t.Any], shown: t.Mapping[str, str]) -> Observed:
    active, sub = shown.get("ActiveState"), shown.get("SubState")
    state = "running" if active == "active" else "restarting" if sub == "auto-restart" else "stopped"
    if active == "activating" and sub != "auto-restart":
        state = "running"
    since = shown.get("ActiveEnterTimestamp", "").lstrip("@")
    restarts = shown.get("NRestarts", "")
    return Observed(
        name=_name(header),
        process=header["process"],
        number=header["number"],
        state=state,
        checksum=header["definition"],
        release_id=header["release"],
        boots=shown.get("UnitFileState") == "enabled",
        stop_timeout=header["stop_timeout"],
        host_port=header["host_port"],
        restarts=int(restarts) if restarts.isdigit() else 0,
        started_at=_moment(since) if since.isdigit() else None,
    )


def _moment(seconds: str) -> str:
    moment = datetime.datetime.fromtimestamp(int(seconds), tz=datetime.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")
