# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime docker: one container per instance, driven by docker's command line. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import shutil
import socket
import typing as t

from .._foundation import command
from .._foundation.errors import CommandFailed
from .definition import Definition, Instance
from .driver import Run, in_parallel
from .plan import Observed
from .record import Paths

_LOOK = 30.0  # s, for a question to the engine
_CHANGE = 120.0  # s, for a change of one container
_PULL = 600.0  # s, for an image
_NEWEST_KEPT = 3
_SOCKET = "/run/docker.sock"
_KILLED = 137  # 128 + SIGKILL

_STATES = {"running": "running", "paused": "running", "restarting": "restarting"}


def engine_answers(path: str = _SOCKET) -> bool:
    """Whether the engine says OK. Asked directly, because every start of docker's command line costs a processor."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_LOOK)
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return b" 200 " in connection.makefile("rb").readline()
    except OSError:
        return False


class Docker:
    """Driver for the engine on this host."""

    # A container that exists holds its image.
    STARTS_FROM_ARTEFACT = False

    def __init__(self, paths: Paths, run: Run = command.run, answers: t.Callable[[], bool] = engine_answers) -> None:
        self._paths = paths
        self._run = run
        self._answers = answers

    def available(self) -> bool:
        """Whether docker's command line is installed and its engine answers."""
        if shutil.which("docker") is None:
            return False
        return self._answers()

    def observe(self, application: str, slot: str) -> list[Observed]:
        """The containers that carry the labels of this slot."""
        listed = self._run(
            [
                *("docker", "ps", "--all", "--no-trunc", "--quiet"),
                *("--filter", f"label=rollout.application={application}"),
                *("--filter", f"label=rollout.slot={slot}"),
            ],
            deadline=_LOOK,
            next_step="is the engine up? systemctl status docker",
        )
        # A container may go away between the two questions: inspect then fails for it and answers for the others.
        return [_observed(one) for one in self._inspect(listed.output.split(), accepted=(0, 1))]

    def has_artefact(self, definition: Definition) -> bool:
        """Whether the image with the digest of the release is here."""
        answer = self._run(["docker", "image", "inspect", image(definition)], deadline=_LOOK, accepted=(0, 1))
        return answer.code == 0

    def fetch(self, definition: Definition) -> None:
        """Pulls the image by digest, so what runs is what was resolved, whatever the tag says by now."""
        # become may leave HOME with another user: say whose credentials are meant.
        folder = os.path.dirname(self._paths.credentials)
        account = ["--config", folder] if os.path.exists(self._paths.credentials) else []
        self._run(
            ["docker", *account, "pull", "--quiet", image(definition)],
            deadline=_PULL,
            next_step=f"on this host, by hand: docker pull {image(definition)}",
        )

    def stop(self, instances: t.Sequence[Observed]) -> list[str]:
        """Stops containers with the stop timeout they were made with. ``unless-stopped`` then keeps them stopped."""

        def stop_one(instance: Observed) -> None:
            self._run(["docker", "stop", instance.name], deadline=instance.stop_timeout + _LOOK)

        in_parallel(stop_one, instances)
        running = {one.name for one in instances if one.state == "running"}
        return sorted(
            _name(one)
            for one in self._inspect([one.name for one in instances])
            if _name(one) in running and one["State"]["ExitCode"] == _KILLED and not one["State"]["OOMKilled"]
        )

    def remove(self, instances: t.Sequence[Observed]) -> None:
        """Removes containers with their anonymous volumes."""

        def remove_one(instance: Observed) -> None:
            self._run(["docker", "rm", "--volumes", instance.name], deadline=_CHANGE)

        in_parallel(remove_one, instances)

    def create(self, instances: t.Sequence[Instance]) -> None:
        """Runs new containers."""

        def create_one(instance: Instance) -> None:
            self._run(run_arguments(instance), deadline=_CHANGE, next_step=f"docker logs {instance.name}")

        in_parallel(create_one, instances)

    def start(self, instances: t.Sequence[Instance]) -> None:
        """Starts containers that exist."""

        def start_one(instance: Instance) -> None:
            self._run(["docker", "start", instance.name], deadline=_CHANGE, next_step=f"docker logs {instance.name}")

        in_parallel(start_one, instances)

    def surplus(self, application: str, keep: t.Sequence[Definition], artefact: str) -> list[str]:
        """Images of the repository beyond the newest three (by build time) and those that a slot knows."""
        listed = self._run(
            ["docker", "image", "ls", "--digests", "--no-trunc", "--format", "{{json .}}", artefact], deadline=_LOOK
        )
        images = [json.loads(line) for line in listed.output.splitlines() if line.startswith("{")]
        images = [one for one in images if str(one.get("Digest", "")).startswith("sha256:")]
        newest_first = sorted(images, key=lambda one: str(one["CreatedAt"]), reverse=True)
        digests = list(dict.fromkeys(str(one["Digest"]) for one in newest_first))
        kept = {definition.release.digest for definition in keep} | set(digests[:_NEWEST_KEPT])
        return [f"{artefact}@{digest}" for digest in digests if digest not in kept]

    def discard(self, artefacts: t.Sequence[str]) -> None:
        """Removes images. One that a container of somebody else uses stays (exit code 1)."""
        for artefact in artefacts:
            self._run(["docker", "image", "rm", artefact], deadline=_CHANGE, accepted=(0, 1))

    def logs(self, names: t.Sequence[str], lines: int) -> dict[str, list[str]]:
        """The last log lines of containers, with the time at which docker received each."""

        def logs_of(name: str) -> list[str]:
            answer = self._run(
                ["docker", "logs", "--timestamps", "--tail", str(lines), name], deadline=_LOOK, accepted=(0, 1)
            )
            if answer.code:
                return []
            # The two streams come apart; their time stamps put them in order again.
            return sorted(answer.output.splitlines() + answer.error.splitlines(), key=lambda x: x[:30])[-lines:]

        return dict(zip(names, in_parallel(logs_of, names)))

    def _inspect(self, names: t.Sequence[str], accepted: t.Container[int] = (0,)) -> list[dict[str, t.Any]]:
        if not names:
            return []
        answer = self._run(["docker", "container", "inspect", *names], deadline=_LOOK, accepted=accepted)
        try:
            containers: list[dict[str, t.Any]] = json.loads(answer.output)
        except ValueError as error:
            raise CommandFailed(
                "docker gave an answer that cannot be read.",
                expected="JSON",
                found=answer.error.strip() or answer.output[:200],
                where="docker container inspect",
            ) from error
        return containers


def image(definition: Definition) -> str:
    """The exact image of the release, by digest."""
    return f"{definition.release.artefact}@{definition.release.digest}"


def run_arguments(instance: Instance) -> list[str]:
    """The command that makes the container of *instance*. It holds no secret: those are in the environment file."""
    definition, process = instance.definition, instance.process
    labels = {
        "application": definition.application,
        "slot": definition.slot,
        "process": process.name,
        "instance": str(instance.number),
        "release": definition.release.id,
        "version": definition.release.version,
        "definition": instance.checksum,
    }
    arguments = [
        *("docker", "run", "--detach", "--pull", "never"),
        *("--name", instance.name, "--hostname", instance.name),
        *("--restart", "unless-stopped", "--init"),
        *("--stop-timeout", str(process.stop_timeout)),
        *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--pids-limit", "512"),
        *("--env-file", definition.environment_file),
    ]
    for key, value in labels.items():
        arguments += ["--label", f"rollout.{key}={value}"]
    for key, value in instance.environment.items():
        arguments += ["--env", f"{key}={value}"]
    if process.memory_bytes is not None:
        arguments += ["--memory", str(process.memory_bytes)]
    if process.cpus is not None:
        arguments += ["--cpus", process.cpus]
    if instance.host_port is not None:
        arguments += ["--publish", f"{definition.bind_address}:{instance.host_port}:{process.container_port}"]
    if process.health_command is not None:
        arguments += ["--health-cmd", process.health_command, "--health-interval", "5s", "--health-timeout", "3s"]
        arguments += ["--health-retries", "3", "--health-start-period", "30s"]
    return [*arguments, image(definition), *process.command]


def _name(container: dict[str, t.Any]) -> str:
    return str(container["Name"]).lstrip("/")


def _observed(container: dict[str, t.Any]) -> Observed:
    status, settings = container["State"], container["Config"]
    labels = settings.get("Labels") or {}
    state = _STATES.get(status["Status"], "stopped")
    bindings = [one for many in (container["HostConfig"].get("PortBindings") or {}).values() for one in many or []]
    return Observed(
        name=_name(container),
        process=labels.get("rollout.process", ""),
        number=int(labels.get("rollout.instance", "0")),
        state=state,
        checksum=labels.get("rollout.definition", ""),
        release_id=labels.get("rollout.release", ""),
        boots=state != "stopped",
        stop_timeout=settings.get("StopTimeout") or 10,
        host_port=int(bindings[0]["HostPort"]) if bindings else None,
        health=(status.get("Health") or {}).get("Status"),
        restarts=container.get("RestartCount", 0),
        started_at=None if str(status["StartedAt"]).startswith("0001") else status["StartedAt"],
    )
