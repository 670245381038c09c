# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime docker: one container per instance. PRIVATE to the collection.

What is asked often, and what users wait for, goes to the engine's socket. Making containers, pulling images and logs go
through docker's command line, which knows registries, environment files and streams.
"""

from __future__ import annotations

import json
import os
import shutil
import typing as t

from .._foundation import command, engine
from .._foundation.engine import Answer
from .._foundation.errors import CommandFailed
from .definition import Definition, Instance
from .driver import Run, in_parallel
from .plan import Observed
from .record import Paths

_LOOK = 30.0  # s, for a question to the engine
_CHANGE = 120.0  # s, for a change of one container
_PULL = 600.0  # s, for an image
_NEWEST_KEPT = 3
_KILLED = 137  # 128 + SIGKILL

#: Where roles keep whom clients of PostgreSQL and Redis trust. A folder: a single file would stay the old one for ever.
AUTHORITIES = "/etc/ssl/rollout"

_STATES = {"running": "running", "paused": "running", "restarting": "restarting"}


class Docker:
    """Driver for the engine on this host."""

    # A container that exists holds its image.
    STARTS_FROM_ARTEFACT = False

    def __init__(self, paths: Paths, run: Run = command.run, ask: t.Callable[..., Answer] = engine.ask) -> None:
        self._paths = paths
        self._run = run
        self._ask = ask

    def available(self) -> bool:
        """Whether docker's command line is installed and its engine answers."""
        if shutil.which("docker") is None:
            return False
        try:
            self._ask("GET", "/_ping", deadline=_LOOK)
        except CommandFailed:
            return False
        return True

    def observe(self, application: str, slot: str) -> list[Observed]:
        """The containers that carry the labels of this slot."""
        labels = [f"rollout.application={application}", f"rollout.slot={slot}"]
        listed = self._ask(
            "GET",
            "/containers/json",
            query={"all": "1", "filters": json.dumps({"label": labels})},
            deadline=_LOOK,
        )
        # A container may go away between the two questions.
        looked_at = [self._inspect(one["Id"], accepted=(200, 404)) for one in listed.content]
        return [_observed(one.content) for one in looked_at if one.status == 200]

    def has_artefact(self, definition: Definition) -> bool:
        """Whether the image with the digest of the release is here."""
        answer = self._ask("GET", f"/images/{image(definition)}/json", deadline=_LOOK, accepted=(200, 404))
        return answer.status == 200

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

        def stop_one(instance: Observed) -> bool:
            """Returns whether it had to be killed."""
            self._change("POST", f"/containers/{instance.name}/stop", deadline=instance.stop_timeout + _LOOK)
            state = self._inspect(instance.name).content["State"]
            killed = state["ExitCode"] == _KILLED and not state["OOMKilled"]
            return instance.state == "running" and killed

        killed = in_parallel(stop_one, instances)
        return sorted(one.name for one, had_to_be in zip(instances, killed) if had_to_be)

    def remove(self, instances: t.Sequence[Observed]) -> None:
        """Removes containers with their anonymous volumes."""

        def remove_one(instance: Observed) -> None:
            self._change("DELETE", f"/containers/{instance.name}", query={"v": "1"})

        in_parallel(remove_one, instances)

    def create(self, instances: t.Sequence[Instance]) -> None:
        """Runs new containers."""

        def create_one(instance: Instance) -> None:
            self._run(run_arguments(instance), deadline=_CHANGE, next_step=f"docker logs {instance.name}")

        in_parallel(create_one, instances)

    def start(self, instances: t.Sequence[Instance]) -> None:
        """Starts containers that exist."""

        def start_one(instance: Instance) -> None:
            self._change("POST", f"/containers/{instance.name}/start", next_step=f"docker logs {instance.name}")

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

    def _inspect(self, container: str, accepted: t.Container[int] = (200,)) -> Answer:
        return self._ask("GET", f"/containers/{container}/json", deadline=_LOOK, accepted=accepted)

    def _change(self, method: str, path: str, *, deadline: float = _CHANGE, **options: t.Any) -> None:
        """Done now (204), or done before (304)."""
        self._ask(method, path, deadline=deadline, accepted=(204, 304), **options)


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
        # Who signs the certificates of PostgreSQL and Redis: at the same path as on the host, and renewed there.
        *("--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro"),
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


def _observed(container: dict[str, t.Any]) -> Observed:
    status, settings = container["State"], container["Config"]
    labels = settings.get("Labels") or {}
    state = _STATES.get(status["Status"], "stopped")
    bindings = [one for many in (container["HostConfig"].get("PortBindings") or {}).values() for one in many or []]
    return Observed(
        name=str(container["Name"]).lstrip("/"),
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
