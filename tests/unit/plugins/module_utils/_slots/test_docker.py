# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker driver: what it asks docker for, and what it makes of the answers."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.docker import (
    Docker,
    engine_answers,
    run_arguments,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.plan import Observed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths

DEFINITION = d.Definition(
    application="shop",
    slot="blue",
    runtime="docker",
    release=d.Release("1-0123456789ab", "1", "sha256:" + "a" * 64, "registry.test/shop"),
    processes=d.processes_from(
        [
            {
                "name": "web",
                "kind": "web",
                "command": ["web", "--fast"],
                "container_port": 8000,
                "memory": "64m",
                "cpus": "0.5",
                "health_command": "true",
                "stop_timeout": 7,
            },
            {"name": "worker", "kind": "worker"},
        ],
        runtime="docker",
    ),
    port_base=18000,
    bind_address="192.0.2.1",
    environment_file="/etc/rollout/shop/1-0123456789ab.env",
)
WEB, WORKER = DEFINITION.instances


class Engine:
    """Answers by the first words of a command; keeps all commands."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def __call__(self, arguments, *, deadline, accepted=(0,), **options):
        self.asked.append(list(arguments))
        answer = next((self.answers[key] for key in self.answers if " ".join(arguments).startswith(key)), "")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")


def container(instance, status="running", **state):
    return {
        "Name": f"/{instance.name}",
        "RestartCount": 2,
        "State": {"Status": status, "ExitCode": 0, "OOMKilled": False, "StartedAt": "2026-11-21T14:00:00Z", **state},
        "Config": {
            "StopTimeout": 7,
            "Labels": {
                "rollout.process": instance.process.name,
                "rollout.instance": str(instance.number),
                "rollout.release": "1-0123456789ab",
                "rollout.definition": instance.checksum,
            },
        },
        "HostConfig": {"PortBindings": {"8000/tcp": [{"HostIp": "192.0.2.1", "HostPort": "18000"}]}},
    }


def driver(engine):
    return Docker(Paths("shop", "/nowhere"), engine)


def values_of(arguments, option):
    return [arguments[at + 1] for at, word in enumerate(arguments) if word == option]


def test_a_container_runs_by_digest_hardened_limited_and_without_secrets_in_its_arguments():
    arguments = run_arguments(WEB)
    assert arguments[-3:] == ["registry.test/shop@sha256:" + "a" * 64, "web", "--fast"]
    for option, expected in {
        "--name": ["shop-blue-web-1"],
        "--publish": ["192.0.2.1:18000:8000"],
        "--memory": ["67108864"],
        "--cpus": ["0.5"],
        "--pids-limit": ["512"],
        "--restart": ["unless-stopped"],
        "--cap-drop": ["ALL"],
        "--security-opt": ["no-new-privileges"],
        "--tmpfs": ["/tmp"],
        "--stop-timeout": ["7"],
        "--health-cmd": ["true"],
        "--log-driver": [],
        "--log-opt": [],
        "--env-file": [DEFINITION.environment_file],
    }.items():
        assert values_of(arguments, option) == expected, option
    assert {"--read-only", "--init"} <= set(arguments)
    assert f"rollout.definition={WEB.checksum}" in values_of(arguments, "--label")
    assert "PORT=8000" in values_of(arguments, "--env")


def test_a_worker_has_no_port_no_limits_and_the_health_check_of_its_image():
    arguments = run_arguments(WORKER)
    for option in ("--publish", "--memory", "--cpus", "--health-cmd"):
        assert values_of(arguments, option) == []


def test_a_container_is_observed_with_all_that_the_plan_needs():
    engine = Engine({"docker ps": "abc\n", "docker container inspect abc": json.dumps([container(WEB)])})
    (seen,) = driver(engine).observe("shop", "blue")
    assert seen == Observed(
        name="shop-blue-web-1",
        process="web",
        number=1,
        state="running",
        checksum=WEB.checksum,
        release_id="1-0123456789ab",
        boots=True,
        stop_timeout=7,
        host_port=18000,
        restarts=2,
        started_at="2026-11-21T14:00:00Z",
    )
    assert "label=rollout.slot=blue" in engine.asked[0]


@pytest.mark.parametrize(
    ("status", "state", "boots"),
    [
        ("running", "running", True),
        ("restarting", "restarting", True),
        ("exited", "stopped", False),
        ("created", "stopped", False),
        ("dead", "stopped", False),
    ],
)
def test_each_status_of_docker_is_one_of_three_states(status, state, boots):
    engine = Engine({"docker ps": "abc\n", "docker container inspect": json.dumps([container(WEB, status)])})
    (seen,) = driver(engine).observe("shop", "blue")
    assert (seen.state, seen.boots) == (state, boots)


def test_a_container_that_goes_away_between_two_questions_is_not_there():
    engine = Engine({"docker ps": "abc\n", "docker container inspect": Completed(1, "[]\n", "No such container")})
    assert driver(engine).observe("shop", "blue") == []
    assert driver(Engine({"docker ps": ""})).observe("shop", "blue") == []


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "killed"),
    [(0, False, []), (143, False, []), (137, True, []), (137, False, [WEB.name])],
)
def test_a_container_that_had_to_be_killed_is_reported(exit_code, out_of_memory, killed):
    stopped = container(WEB, "exited", ExitCode=exit_code, OOMKilled=out_of_memory)
    engine = Engine({"docker container inspect": json.dumps([stopped])})
    running = Observed(WEB.name, "web", 1, "running", WEB.checksum, "1-0123456789ab", True)
    assert driver(engine).stop([running]) == killed
    assert engine.asked[0] == ["docker", "stop", WEB.name]


def test_all_failures_are_told_and_no_other_container_waits_for_them():
    engine = Engine({"docker run": CommandFailed("docker failed.", found="no space left")})
    with pytest.raises(CommandFailed, match="2 instances failed") as failed:
        driver(engine).create([WEB, WORKER])
    assert str(failed.value).count("no space left") == len(engine.asked) == 2


def test_images_stay_when_they_are_among_the_newest_three_or_in_a_slot():
    images = [
        {"Digest": f"sha256:{letter * 64}", "CreatedAt": f"2026-11-2{day} 10:00:00 +0000 UTC"}
        for day, letter in enumerate("abcdef")
    ]
    engine = Engine(
        {"docker image ls": "\n".join(json.dumps(one) for one in [*images, {"Digest": "<none>", "CreatedAt": ""}])}
    )
    in_a_slot = dataclasses.replace(
        DEFINITION, release=dataclasses.replace(DEFINITION.release, digest="sha256:" + "b" * 64)
    )
    surplus = driver(engine).surplus("shop", [in_a_slot], "registry.test/shop")
    assert surplus == [f"registry.test/shop@sha256:{letter * 64}" for letter in "ca"]


def test_both_streams_of_a_log_come_in_the_order_of_time():
    out = "2026-11-21T14:00:00.1Z one\n2026-11-21T14:00:00.3Z three\n"
    engine = Engine({"docker logs": Completed(0, out, "2026-11-21T14:00:00.2Z two\n")})
    (lines,) = driver(engine).logs([WEB.name], 2).values()
    assert [line.split()[1] for line in lines] == ["two", "three"]


@pytest.mark.parametrize(("line", "answers"), [(b"HTTP/1.0 200 OK", True), (b"HTTP/1.0 500 Oops", False), (b"", False)])
def test_the_engine_answers_when_it_says_so(tmp_path, line, answers):
    """A stand-in on a real socket: the engine itself is asked by Molecule."""
    path = str(tmp_path / "docker.sock")
    assert engine_answers(path) is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen(1)

        def serve() -> None:
            connection, _peer = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(line + b"\r\n\r\nOK")

        thread = threading.Thread(target=serve)
        thread.start()
        assert engine_answers(path) is answers
        thread.join()
