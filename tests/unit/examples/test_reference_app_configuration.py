# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration: every problem is named at once, no secret is shown, and what was built wins over what is claimed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reference_app.config import ConfigurationError, read_settings
from reference_app.start import EXIT_CONFIGURATION, EXIT_USAGE, main

GOOD = {"DATABASE_URL": "postgresql://app:hidden@data1:5432/app", "REDIS_URL": "redis://:hidden@data1:6379/0"}


def problems(environment: dict[str, str], root: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        read_settings(environment, root)
    return refusal.value.problems


def test_each_missing_variable_has_its_line(tmp_path: Path) -> None:
    first, second = problems({}, tmp_path)
    assert first.startswith("DATABASE_URL is missing")
    assert second.startswith("REDIS_URL is missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://app:hidden@data1/app"),
        ("DATABASE_URL", "postgresql://app:hidden@data1:port/app"),
        ("DATABASE_URL", "postgresql:///hidden"),
        ("REDIS_URL", "hidden"),
        ("REDIS_URL", "redis://[hidden"),
    ],
)
def test_an_unusable_address_is_named_and_not_shown(name: str, value: str, tmp_path: Path) -> None:
    (line,) = problems({**GOOD, name: value}, tmp_path)
    assert line.startswith(f"{name} is not usable")
    assert "hidden" not in line


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems({"PORT": "http", "DRAIN_SECONDS": "-1", "FAULT_LATENCY": "3"}, tmp_path)
    assert [line.split()[0] for line in found] == ["DATABASE_URL", "REDIS_URL", "PORT", "DRAIN_SECONDS", "unknown"]


def test_the_version_that_was_built_is_the_truth(tmp_path: Path) -> None:
    claimed = {**GOOD, "RELEASE_VERSION": "9.9.9"}
    assert read_settings(claimed, tmp_path).version == "9.9.9"
    (tmp_path / "VERSION").write_text("1.2.0\n", encoding="utf-8")
    assert read_settings(claimed, tmp_path).version == "1.2.0"


def test_a_variable_wins_over_a_fault_that_was_built_in(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text(json.dumps({"not_ready": True, "latency_ms": 10}), encoding="utf-8")
    faults = read_settings({**GOOD, "FAULT_NOT_READY": "false"}, tmp_path).faults
    assert (faults.not_ready, faults.latency_ms) == (False, 10)


def test_no_secret_is_in_the_representation(tmp_path: Path) -> None:
    assert "hidden" not in repr(read_settings({**GOOD, "ADMIN_TOKEN": "hidden"}, tmp_path))


def test_a_process_without_configuration_ends_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)
    assert main(["worker"]) == EXIT_CONFIGURATION
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == list(GOOD)


@pytest.mark.parametrize("arguments", [[], ["web", "worker"], ["shell"]])
def test_only_the_three_processes_can_be_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == EXIT_USAGE
    assert "web|worker|scheduler" in capsys.readouterr().err
