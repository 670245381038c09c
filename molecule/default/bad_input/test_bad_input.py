# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input gets one clear message, and nothing has changed. Each case breaks one thing for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

DEPLOY = ("-e", "rollout_version=1.1.0")


class Case(t.NamedTuple):
    """What is typed, what an extra inventory adds, and what the message must say."""

    arguments: tuple[str, ...]
    inventory: str
    message: tuple[str, ...]


CASES = {
    "a version that the registry does not have": Case(
        ("-e", "rollout_version=9.9.9"), "", ("9.9.9", "1.0.0", "expected", "next")
    ),
    "an unreachable application host": Case(
        DEPLOY,
        "[application]\napp9 ansible_host=127.0.0.1 ansible_port=1 rollout_address=127.0.0.1\n",
        ("1 host cannot be reached", "app9", "Connection refused"),
    ),
    "a part of the fleet": Case(
        (*DEPLOY, "--limit", "all:!app2"), "", ("users would get two releases", "without app2")
    ),
    "no version": Case((), "", ("It is not clear which version to deploy", "-e rollout_version=VERSION")),
    "a mistyped variable": Case(
        (*DEPLOY, "-e", "rollout_verison=1"), "", ("Nothing reads the variable rollout_verison", "rollout_version?")
    ),
    "a variable of the wrong type": Case((*DEPLOY, "-e", "rollout_public_port=eighty"), "", ("rollout_public_port",)),
    "two environments in one inventory": Case(
        DEPLOY, "[application]\napp2 rollout_environment=staging\n", ("mixes environments", "staging: app2")
    ),
}


@pytest.fixture
def extra(tmp_path: Path) -> t.Callable[[str], list[Path]]:
    def write(text: str) -> list[Path]:
        if not text:
            return []
        path = tmp_path / "extra.ini"
        path.write_text(text)
        return [path]

    return write


@pytest.fixture(scope="module")
def fingerprints(lab: t.Any) -> list[list[str]]:
    """What the hosts hold; the last is of the end of the test before."""
    return [lab.fingerprint()]


@pytest.fixture(autouse=True)
def nothing_changes(lab: t.Any, fingerprints: list[list[str]]) -> t.Iterator[None]:
    yield
    fingerprints.append(lab.fingerprint())
    assert fingerprints[-1] == fingerprints[-2]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_refused_with_one_clear_message(lab: t.Any, extra: t.Callable[[str], list[Path]], case: Case) -> None:
    played = lab.play("deploy", *case.arguments, inventories=extra(case.inventory))
    assert played.code != 0
    for part in case.message:
        assert part in played.output
    assert "TASK [vitalops.rollout.slot" not in played.output


def test_a_missing_variable_is_named(lab: t.Any, tmp_path: Path) -> None:
    variables = Path("inventories/lab")
    shutil.copytree(variables / "group_vars", tmp_path / "group_vars")
    groups = shutil.copy(variables / "groups.yml", tmp_path)
    settings = tmp_path / "group_vars" / "all" / "rollout.yml"
    settings.write_text("".join(line for line in settings.open() if not line.startswith("rollout_artefact:")))
    played = lab.play("deploy", *DEPLOY, groups=groups)
    assert played.code != 0
    assert "missing required arguments: rollout_artefact" in played.output


def test_a_wrong_database_password_is_found_before_the_release_starts(lab: t.Any) -> None:
    address = lab.address(lab.group("postgres")[0])
    login = {"host": address, "port": 5432, "name": "reference", "user": "reference", "password": "not-the-password"}
    secrets = {"DATABASE_URL": "x", "REDIS_URL": "x"}
    variables = json.dumps({"rollout_database": login, "rollout_secrets": secrets})
    played = lab.play("deploy", *DEPLOY, "-e", variables)
    assert played.code != 0
    assert "password authentication failed" in played.output
    assert "not-the-password" not in played.output
    assert "TASK [vitalops.rollout.slot" not in played.output


def test_a_port_taken_by_someone_else_is_named_with_its_owner(lab: t.Any) -> None:
    name = lab.group("application")[-1]
    host = lab.connect(name)
    free = 18200  # a slot moved there finds the stranger
    host.check_output(f"systemd-run --unit=stranger python3 -m http.server {free}")
    try:
        host.run(f"for i in $(seq 50); do ss -Hltn sport = :{free} | grep -q . && break; sleep 0.1; done")
        played = lab.play("deploy", *DEPLOY, "-e", json.dumps({"rollout_ports": {"blue": 18000, "green": free}}))
    finally:
        host.check_output("systemctl stop stranger")
    assert played.code != 0
    for part in (f"Port {free} of {name} is taken by someone else", "stranger.service"):
        assert part in played.output


def test_a_host_without_systemd_is_refused(lab: t.Any, extra: t.Callable[[str], list[Path]]) -> None:

    images = ["docker", "images", "--filter", "reference=vitalops-lab-python", "--format", "{{.Repository}}:{{.Tag}}"]
    image = subprocess.run(images, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    run = ["docker", "run", "--detach", "--rm", image, "sleep", "300"]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        inventory = (
            f"[application]\napp9 ansible_connection=community.docker.docker ansible_host={container} "
            "ansible_python_interpreter=/usr/bin/python3 rollout_address=127.0.0.1\n"
        )
        played = lab.play("deploy", *DEPLOY, inventories=extra(inventory))
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)
    assert played.code != 0
    assert "app9" in played.output
    assert "systemd" in played.output
    assert "sleep" in played.output
