# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab leaves of control groups. Folders stand for those of the kernel, which vanish with their files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.lab import cgroups


def group(folder: Path, processes: str, age: float) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(processes)
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_only_old_groups_without_a_process_anywhere_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "cpu" / "docker"
    living = group(docker / "living", "", 600)
    group(living / "system.slice", "12\n", 600)
    os.utime(living, (time.time() - 600,) * 2)
    young, dead = group(docker / "young", "", 5), group(docker / "dead", "", 600)
    elsewhere = group(tmp_path / "cpu" / "user.slice", "", 600)
    removed: list[Path] = []

    def gone(folder: Path) -> None:
        removed.append(folder)

    monkeypatch.setattr(Path, "rmdir", gone)
    assert cgroups.remove_dead(tmp_path) == 1
    assert removed == [dead]
    assert young.exists()
    assert elsewhere.exists()
