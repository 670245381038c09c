# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The docker driver: what it asks docker for, and what it makes of the answers."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.engine import Answer
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.docker import Docker, run_arguments
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
    """Answers by the first words of a command or question; keeps all of them."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def ask(self, method, path, *, accepted=(200,), **options):
        self.asked.append([method, path, options.get("query")])
        answer = self.answers[f"{method} {path}"]
        assert answer.status in accepted
        return answer

    def __call__(self, arguments, *, deadline, accepted=(0,), **options):
        self.asked.append(list(arguments))
        answer = next((self.answers[key] for key in self.answers if " ".join(arguments).startswith(key)), "")
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")


def container(instance, status="running", **state):
    return {
        "Id": "abc",
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


def engine_with(seen):
    """An engine with one container; what a look at it answers is *seen*."""
    listed = Answer(200, [{"Id": "abc"}])
    return Engine({"GET /containers/json": listed, "GET /containers/abc/json": seen})


def driver(engine):
    return Docker(Paths("shop", "/nowhere"), engine, engine.ask)


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
        "--volume": ["/etc/ssl/rollout:/etc/ssl/rollout:ro"],
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
    engine = engine_with(Answer(200, container(WEB)))
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
    (_get, _path, query) = engine.asked[0]
    assert query == {"all": "1", "filters": '{"label": ["rollout.application=shop", "rollout.slot=blue"]}'}


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
    (seen,) = driver(engine_with(Answer(200, container(WEB, status)))).observe("shop", "blue")
    assert (seen.state, seen.boots) == (state, boots)


def test_a_container_that_goes_away_between_two_questions_is_not_there():
    gone = Answer(404, {"message": "No such container"})
    assert driver(engine_with(gone)).observe("shop", "blue") == []
    assert driver(Engine({"GET /containers/json": Answer(200, [])})).observe("shop", "blue") == []


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "killed"),
    [(0, False, []), (143, False, []), (137, True, []), (137, False, [WEB.name])],
)
def test_a_container_that_had_to_be_killed_is_reported(exit_code, out_of_memory, killed):
    stopped = container(WEB, "exited", ExitCode=exit_code, OOMKilled=out_of_memory)
    engine = Engine(
        {
            f"POST /containers/{WEB.name}/stop": Answer(204, ""),
            f"GET /containers/{WEB.name}/json": Answer(200, stopped),
        }
    )
    running = Observed(WEB.name, "web", 1, "running", WEB.checksum, "1-0123456789ab", True)
    assert driver(engine).stop([running]) == killed
    # One that had ended before was not killed by this stop.
    assert driver(engine).stop([dataclasses.replace(running, state="restarting")]) == []


def test_a_container_starts_and_goes_and_its_image_is_looked_for_by_digest():
    image = f"GET /images/registry.test/shop@sha256:{'a' * 64}/json"
    engine = Engine(
        {
            f"POST /containers/{WEB.name}/start": Answer(304, ""),
            f"DELETE /containers/{WEB.name}": Answer(204, ""),
            image: Answer(404, {"message": "No such image"}),
        }
    )
    driver(engine).start([WEB])
    driver(engine).remove([Observed(WEB.name, "web", 1, "stopped", WEB.checksum, "1-0123456789ab", False)])
    assert engine.asked[1][2] == {"v": "1"}
    assert driver(engine).has_artefact(DEFINITION) is False
    engine.answers[image] = Answer(200, {})
    assert driver(engine).has_artefact(DEFINITION) is True


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
