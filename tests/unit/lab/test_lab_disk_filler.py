# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full disk is given back with everything that happened on it, and the lab refuses what would lose it."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.tests.lab import disk_filler, disks
from ansible_collections.vitalops.rollout.tests.lab.state import Lab


def build(folder: Path, content: dict[str, str | None]) -> Path:
    """Makes files with their text, and folders (None)."""
    folder.mkdir(exist_ok=True)
    for name, text in content.items():
        path = folder / name
        (path if text is None else path.parent).mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
    return folder


def tree(folder: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() and not path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"shop": None, "shop/state.json": "{}"}),
        ({"shop": None, "shop/state.json": "old"}, {"shop": None, "shop/state.json": "new"}),
        ({"shop": None, "shop/intent.json": "armed"}, {"shop": None}),
        ({"shop": None, "shop/a": None, "shop/a/b": "x"}, {}),
        ({"name": "a file"}, {"name": None, "name/inside": "a folder now"}),
        ({"name": None, "name/inside": "a folder"}, {"name": "a file now"}),
    ],
    ids=["written", "changed", "removed", "folders removed", "file to folder", "folder to file"],
)
def test_what_happened_on_the_full_disk_is_carried_over(
    tmp_path: Path, before: dict[str, str | None], after: dict[str, str | None]
) -> None:
    original, full = build(tmp_path / "original", before), build(tmp_path / "full", after)
    disk_filler.mirror(full, original)
    assert tree(original) == after


def test_modes_times_and_links_are_carried_over(tmp_path: Path) -> None:
    full = build(tmp_path / "full", {"state.json": "{}"})
    (full / "state.json").chmod(0o600)
    os.utime(full / "state.json", (1, 2))
    (full / "link").symlink_to("state.json")
    full.chmod(0o700)
    original = build(tmp_path / "original", {"link": "was a file"})
    disk_filler.mirror(full, original)
    found = (original / "state.json").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o600, 2)
    assert (original / "link").readlink() == Path("state.json")
    assert original.stat().st_mode & 0o7777 == 0o700


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    outside = build(tmp_path / "outside", {"precious": "kept"})
    original = tmp_path / "original"
    original.mkdir()
    (original / "link").symlink_to(outside)
    disk_filler.mirror(build(tmp_path / "full", {}), original)
    assert (tree(original), tree(outside)) == ({}, {"precious": "kept"})


def test_the_copy_has_room_for_everything(tmp_path: Path) -> None:
    content = build(tmp_path / "content", {f"file{number}": "x" * 5000 for number in range(300)})
    assert disk_filler.needed_bytes(content) > 300 * 8192 + disk_filler.SPARE_BYTES


def test_every_folder_has_a_place_of_its_own() -> None:
    assert disk_filler.place(Path("/var/lib/a-b")) != disk_filler.place(Path("/var/lib/a/b"))


def test_mount_points_are_read_with_their_spaces_newest_first() -> None:
    text = (
        "22 1 0:20 / / rw,relatime master:1 - overlay overlay rw\n"
        "35 22 0:31 /content /var/lib/a\\040folder rw - tmpfs lab-full rw,size=4096k\n"
    )
    assert disk_filler.mount_points(text) == [Path("/var/lib/a folder"), Path("/")]


@pytest.mark.parametrize("folder", ["relative", "/no/such/folder"])
def test_only_a_folder_can_be_filled(folder: str) -> None:
    with pytest.raises(SystemExit, match="is not a folder"):
        disk_filler.fill(Path(folder))


@pytest.mark.parametrize("found", [[], ["/var/lib/rollout"]])
def test_a_host_with_a_full_disk_keeps_its_power(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    def full(_lab: t.Any, _host: str) -> list[str]:
        return found

    monkeypatch.setattr(disks, "full", full)
    lab = Lab("lab", "pair", 13, 2, "hosts.yml")
    if not found:
        disks.refuse_full(lab, "lb1")
        return
    with pytest.raises(BadInput, match="/var/lib/rollout") as refused:
        disks.refuse_full(lab, "lb1")
    assert refused.value.next_step == "lab.py free --name lab lb1"
