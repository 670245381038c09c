# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build: equal input gives equal bytes, and bad input is refused in one line before anything is built."""

from __future__ import annotations

import json
import os
import tarfile
import time
import typing as t
from pathlib import Path

import pytest


def build(builder: t.Any, output: Path, faults: dict[str, t.Any]) -> str:
    shim = builder.Entry("bin/reference_app", builder.SHIM.encode(), executable=True)
    return str(builder.write_archive([shim, *builder.release_entries("1.1.0", faults)], output))


def test_two_builds_of_one_release_are_the_same_bytes(
    builder: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(builder, tmp_path / "first.tar.gz", {})
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    second = build(builder, tmp_path / "second.tar.gz", {})
    assert first == second
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()


def test_the_order_of_the_files_does_not_matter(builder: t.Any, tmp_path: Path) -> None:
    entries = builder.release_entries("1.1.0", {})
    assert builder.write_archive(entries, tmp_path / "a") == builder.write_archive(entries[::-1], tmp_path / "b")


def test_a_release_folder_has_what_a_host_needs(builder: t.Any, tmp_path: Path) -> None:
    build(builder, tmp_path / "release.tar.gz", {"not_ready": True})
    with tarfile.open(tmp_path / "release.tar.gz") as archive:
        members = {member.name: member for member in archive}
        version, faults = (archive.extractfile(name) for name in ("VERSION", "faults.json"))
        assert version is not None
        assert faults is not None
        assert version.read() == b"1.1.0\n"
        assert json.load(faults) == {"not_ready": True}
    assert {"bin", "reference_app/web.py", "migrations/0001_clinic.sql"} <= members.keys()
    assert members["bin/reference_app"].mode == 0o755
    assert members["reference_app/web.py"].mode == 0o644
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, builder.TIME)}
    assert not [name for name in members if "__pycache__" in name]


def test_a_healthy_release_carries_no_faults(builder: t.Any) -> None:
    assert "faults.json" not in [entry.name for entry in builder.release_entries("1.1.0", {})]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version", "1.0/../2"], "a version is made of"),
        (["--version", "1.0.0", "--fault", "nonsense=1"], "unknown fault 'nonsense'"),
        (["--version", "1.0.0", "--fault", "error_share=2"], "from 0 to 1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_built(
    builder: t.Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    output = tmp_path / "release.tar.gz"
    assert builder.main(["folder", "--output", str(output), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not output.exists()
