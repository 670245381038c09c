# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a slot should run: release, processes, ports, environment; and the instances that follow from it. Pure.

PRIVATE to the collection.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing as t

from .._foundation.errors import BadInput, StateUnreadable
from .._foundation.names import check_application

SLOTS = ("blue", "green")
RUNTIMES = ("docker", "systemd")
KINDS = ("web", "worker", "scheduler")

#: Variables that every instance gets from its slot; an application cannot set them itself.
RESERVED_VARIABLES = ("PORT", "BIND_ADDRESS", "INSTANCE", "RELEASE_VERSION", "RELEASE_ID", "SLOT")

#: Secrets are masked in all output; a shorter one would take half of it away.
SHORTEST_SECRET = 6

#: Options of one process as an Ansible argument spec, shared by the modules (plain data, no Ansible here).
PROCESS_OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "command": {"type": "list", "elements": "str", "default": []},
    "instances": {"type": "int", "default": 1},
    "container_port": {"type": "int"},
    "memory": {"type": "str"},
    "cpus": {"type": "str"},
    "stop_timeout": {"type": "int", "default": 30},
    "health_command": {"type": "str"},
}

#: A release as an Ansible argument spec.
RELEASE_OPTIONS: dict[str, t.Any] = {
    key: {"type": "str", "required": True} for key in ("id", "version", "digest", "artefact")
}

_PROCESS = re.compile(r"[a-z][a-z0-9-]{0,19}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}-[0-9a-f]{12}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEMORY = re.compile(r"([1-9][0-9]*)([kmg])", re.IGNORECASE)
_CPUS = re.compile(r"[0-9]+(\.[0-9]{1,3})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Release:
    """A release: *digest* is ``sha256:<hex>``; *artefact* an image repository without tag, or an https URL."""

    id: str
    version: str
    digest: str
    artefact: str


@dataclasses.dataclass(frozen=True)
class Process:
    """A kind of program of the application. *memory* like ``512m``, *cpus* like ``1.5``, *stop_timeout* in s."""

    name: str
    kind: str
    command: tuple[str, ...] = ()
    instances: int = 1
    container_port: int | None = None
    memory: str | None = None
    cpus: str | None = None
    stop_timeout: int = 30
    health_command: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        """Returns the options that are set, so that an option added later changes no checksum of today."""
        pairs = dataclasses.asdict(self)
        pairs["command"] = list(self.command)
        return {key: value for key, value in pairs.items() if value is not None}

    @property
    def memory_bytes(self) -> int | None:
        """Bytes that one instance may use, or None for no limit."""
        match = _MEMORY.fullmatch(self.memory or "")
        return int(match.group(1)) << {"k": 10, "m": 20, "g": 30}[match.group(2).lower()] if match else None


@dataclasses.dataclass(frozen=True)
class Definition:
    """What a slot should run. *started* names the processes that should be up now; the rest only could be."""

    application: str
    slot: str
    runtime: str
    release: Release
    processes: tuple[Process, ...]
    port_base: int
    bind_address: str
    environment_file: str
    variables: tuple[str, ...] = ()
    started: tuple[str, ...] = ()

    def to_json(self) -> dict[str, t.Any]:
        """Returns plain data that from_json() reads back. It names variables, and holds none of their values."""
        pairs = dataclasses.asdict(self)
        pairs["processes"] = [process.to_json() for process in self.processes]
        pairs["variables"] = list(self.variables)
        pairs["started"] = list(self.started)
        return pairs

    @property
    def instances(self) -> list[Instance]:
        """Every instance of every process. Web instances take host ports from *port_base* upwards, in list order."""
        expanded = []
        port = self.port_base
        for process in self.processes:
            for number in range(1, process.instances + 1):
                host_port = None
                if process.kind == "web":
                    host_port, port = port, port + 1
                expanded.append(Instance(self, process, number, host_port))
        return expanded

    def process_names(self, *, kind: str | None = None) -> list[str]:
        """Names of the processes (of one *kind*)."""
        return [process.name for process in self.processes if kind in (None, process.kind)]

    def starting(self, names: t.Iterable[str]) -> Definition:
        """The same definition with exactly the processes *names* started, in the order of the processes."""
        wanted = set(names)
        return dataclasses.replace(self, started=tuple(n for n in self.process_names() if n in wanted))


@dataclasses.dataclass(frozen=True)
class Instance:
    """One copy of a process in a slot."""

    definition: Definition
    process: Process
    number: int
    host_port: int | None

    @property
    def name(self) -> str:
        """``<application>-<slot>-<process>-<number>``, unique on the host."""
        return f"{self.definition.application}-{self.definition.slot}-{self.process.name}-{self.number}"

    @property
    def environment(self) -> dict[str, str]:
        """What this instance knows about itself. PORT is where the program listens, as it sees it."""
        release = self.definition.release
        variables = {
            "INSTANCE": self.name,
            "RELEASE_ID": release.id,
            "RELEASE_VERSION": release.version,
            "SLOT": self.definition.slot,
        }
        if self.host_port is not None:
            contained = self.definition.runtime == "docker"
            variables["PORT"] = str(self.process.container_port if contained else self.host_port)
            variables["BIND_ADDRESS"] = "0.0.0.0" if contained else self.definition.bind_address  # noqa: S104
        return variables

    @property
    def checksum(self) -> str:
        """16 hex digits over everything that makes this instance what it is; a difference means: replace it."""
        process = self.process.to_json()
        # How many siblings it has does not change an instance.
        del process["instances"]
        return fingerprint(
            {
                "runtime": self.definition.runtime,
                "release": dataclasses.asdict(self.definition.release),
                "process": process,
                "environment_file": self.definition.environment_file,
                "environment": self.environment,
                "published": [self.definition.bind_address, self.host_port] if self.host_port else None,
            }
        )[:16]


def fingerprint(content: t.Any) -> str:
    """SHA-256 (hex) of the canonical JSON of *content*."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def release_id(
    *,
    application: str,
    version: str,
    digest: str,
    runtime: str,
    processes: t.Iterable[Process],
    environment: t.Mapping[str, str],
    secrets: t.Mapping[str, str],
) -> str:
    """``<version>-<12 hex>``: the same artefact with the same configuration has the same id, on every host.

    The hash is salted with the application's name and covers the secrets without showing anything of them.
    """
    configuration = {
        "runtime": runtime,
        "processes": [process.to_json() for process in processes],
        "environment": dict(environment),
        "secrets": dict(secrets),
    }
    return f"{version}-{fingerprint([application, digest, configuration])[:12]}"


def process_from(options: t.Mapping[str, t.Any]) -> Process:
    """Returns a checked process from the options of PROCESS_OPTIONS. Raises BadInput."""
    known = {field.name for field in dataclasses.fields(Process)}
    given = {key: value for key, value in options.items() if key in known and value is not None}
    process = Process(**{**given, "command": tuple(given.get("command", ()))})
    where = f"process {process.name!r}"
    _expect(
        _PROCESS.fullmatch(process.name), where, "a name of lower-case letters, digits and -, up to 20", process.name
    )
    _expect(process.kind in KINDS, where, f"kind {', '.join(KINDS)}", process.kind)
    _expect(1 <= process.instances <= 100, where, "1 to 100 instances", process.instances)
    _expect(
        process.kind != "scheduler" or process.instances == 1,
        where,
        "one instance: a scheduler never runs twice",
        process.instances,
    )
    _expect(process.stop_timeout >= 1, where, "a stop_timeout of 1 s or more", process.stop_timeout)
    _expect(process.memory is None or process.memory_bytes, where, "memory like 512m or 2g", process.memory)
    _expect(
        process.cpus is None or (_CPUS.fullmatch(process.cpus) and float(process.cpus) > 0),
        where,
        "cpus like 0.5 or 2, above 0",
        process.cpus,
    )
    port = process.container_port
    _expect(port is None or 1 <= port <= 65535, where, "a container_port from 1 to 65535", port)
    _expect(
        all("\n" not in word and "\0" not in word for word in process.command), where, "a command of one line", "more"
    )
    return process


def processes_from(options: t.Iterable[t.Mapping[str, t.Any]], *, runtime: str) -> tuple[Process, ...]:
    """Returns the checked processes of an application for *runtime*. Raises BadInput."""
    processes = tuple(process_from(one) for one in options)
    names = [process.name for process in processes]
    _expect(processes, "processes", "at least one process", "none")
    _expect(len(set(names)) == len(names), "processes", "each name once", ", ".join(names))
    for process in processes:
        where = f"process {process.name!r}"
        if runtime == "docker":
            _expect(
                process.kind != "web" or process.container_port,
                where,
                "a container_port, because a web process takes traffic",
                "none",
            )
        else:
            _expect(process.command, where, "a command, because a release folder has no default one", "none")
            _expect(process.health_command is None, where, "no health_command: it works with docker only", "one")
    return processes


def check_version(version: str) -> str:
    """Returns *version* when it can name a tag and a folder. Raises BadInput."""
    _expect(_VERSION.fullmatch(version), "version", "letters, digits, '.', '_' and '-', like 1.4.2", version)
    return version


def release_from(options: t.Mapping[str, t.Any]) -> Release:
    """Returns the checked release that the module release_info returned. Raises BadInput."""
    release = Release(**{field.name: str(options.get(field.name) or "") for field in dataclasses.fields(Release)})
    check_version(release.version)
    _expect(_RELEASE_ID.fullmatch(release.id), "release.id", "an id from the module release_info", release.id)
    _expect(_DIGEST.fullmatch(release.digest), "release.digest", "sha256: and 64 hex digits", release.digest)
    _expect(release.artefact, "release.artefact", "an image repository or a URL", "nothing")
    return release


def text_variables(variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Returns *variables* with text values. Raises BadInput for anything but texts and numbers.

    YAML makes numbers and booleans of unquoted values. A number has one text; a boolean does not (true, True, 1, yes),
    so the operator must quote it.
    """
    for name, value in variables.items():
        _expect(
            isinstance(value, (str, int, float)) and not isinstance(value, bool),
            f"variable {name}",
            "a text (put quotes around the value)",
            type(value).__name__,
        )
    return {str(name): str(value) for name, value in variables.items()}


def check_variables(environment: t.Mapping[str, str], secrets: t.Mapping[str, str]) -> dict[str, str]:
    """Returns all variables of an application in one dict. Raises BadInput; messages name variables, never values."""
    for source, variables in (("environment", environment), ("secrets", secrets)):
        for name in variables:
            _expect(_VARIABLE.fullmatch(name), source, "names of letters, digits and _", name)
            _expect(name not in RESERVED_VARIABLES, source, "no variable that the slot sets itself", name)
    both = sorted(set(environment) & set(secrets))
    _expect(not both, "environment and secrets", "each variable in one of them", ", ".join(both))
    return {**environment, **secrets}


def check_secrets(secrets: t.Mapping[str, str], shown: t.Mapping[str, str]) -> None:
    """Raises BadInput for secrets that cannot be masked without masking other text: short ones, or part of *shown*.

    Messages name variables, never values. *shown* is what results show, by what it is called.
    """
    short = sorted(name for name, value in secrets.items() if 0 < len(value) < SHORTEST_SECRET)
    if short:
        raise BadInput(
            f"The value of {', '.join(short)} is not a secret; move it to rollout_configuration.",
            expected=f"{SHORTEST_SECRET} characters or more (or none), because a secret is masked wherever it occurs",
            found="fewer",
            where="rollout_secrets",
        )
    for what, text in shown.items():
        visible = sorted(name for name, value in secrets.items() if value and value in text)
        if visible:
            raise BadInput(
                f"The value of {', '.join(visible)} occurs in the {what} of the release, which is no secret.",
                expected=f"secrets that are no part of the {what}, which would be masked with them",
                found=", ".join(visible),
                where="rollout_secrets",
                next_step="choose another secret; what is not secret belongs into rollout_configuration",
            )


def check_definition(definition: Definition) -> Definition:
    """Returns *definition* when its parts fit each other. Raises BadInput."""
    check_application(definition.application)
    _expect(definition.slot in SLOTS, "slot", " or ".join(SLOTS), definition.slot)
    _expect(definition.runtime in RUNTIMES, "runtime", " or ".join(RUNTIMES), definition.runtime)
    unknown = [name for name in definition.started if name not in definition.process_names()]
    _expect(
        not unknown, "processes_started", f"names out of {', '.join(definition.process_names())}", ", ".join(unknown)
    )
    ports = [instance.host_port for instance in definition.instances if instance.host_port is not None]
    _expect(
        not ports or (ports[0] >= 1024 and ports[-1] <= 65535),
        "port_base",
        "host ports from 1024 to 65535",
        f"{ports[0]} to {ports[-1]}" if ports else "none",
    )
    return definition


def definition_from_json(content: t.Any, *, where: str) -> Definition:
    """Reads back what to_json() wrote. Raises StateUnreadable when *content* is something else."""
    try:
        return Definition(
            application=content["application"],
            slot=content["slot"],
            runtime=content["runtime"],
            release=Release(**content["release"]),
            processes=tuple(process_from(one) for one in content["processes"]),
            port_base=int(content["port_base"]),
            bind_address=content["bind_address"],
            environment_file=content["environment_file"],
            variables=tuple(content["variables"]),
            started=tuple(content["started"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, BadInput) as error:
        raise StateUnreadable(
            "A slot file does not say what the slot runs.",
            expected="a definition written by this collection",
            found=f"{type(error).__name__}: {error}".splitlines()[0],
            where=where,
            next_step=f"look at it, then move it away: mv {where} {where}.damaged",
        ) from error


def _expect(condition: t.Any, where: str, expected: str, found: t.Any) -> None:
    if not condition:
        raise BadInput("The definition of the slot cannot be used.", expected=expected, found=str(found), where=where)
