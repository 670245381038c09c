# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that installs the guard: changed only when the program or its mode is another one."""

from __future__ import annotations

import types
import typing as t
import zipfile
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.modules import guard_program


def install(path: Path, *, check_mode: bool = False) -> dict[str, t.Any]:
    return guard_program.install(
        t.cast(t.Any, types.SimpleNamespace(params={"path": str(path)}, check_mode=check_mode))
    )


def test_the_program_is_installed_once(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "rollout-guard"
    first = install(path)
    assert first["changed"] is True
    assert first["diff"] == {"before": {"checksum": None}, "after": {"checksum": first["checksum"]}}
    assert path.stat().st_mode & 0o7777 == 0o755
    assert zipfile.is_zipfile(path)
    assert first["protocol"].startswith("rollout-guard, protocol ")
    assert install(path)["changed"] is False


def test_a_changed_program_or_mode_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "rollout-guard"
    install(path)
    path.chmod(0o644)
    assert install(path)["changed"] is True
    assert path.stat().st_mode & 0o7777 == 0o755
    path.write_bytes(b"#!/bin/sh\n")
    assert install(path)["changed"] is True
    assert zipfile.is_zipfile(path)


def test_check_mode_only_says_so(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "rollout-guard"
    planned = install(path, check_mode=True)
    assert planned["changed"] is True
    assert "protocol" not in planned
    assert list(tmp_path.iterdir()) == []
