# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are tried together, beside those that are in place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import candidate
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts.files import File, Rights, Wanted

OWN = Rights(os.getuid(), os.getgid(), 0o644)


def new(path: Path, content: str, **more: bool) -> File:
    return File(str(path), OWN, content, **more)


def asked(script: str, folder: Path) -> list[str]:
    """Returns a program that runs *script* where the copy of *folder* is."""
    return ["/bin/sh", "-c", f'cd "$0{folder}" && {script}', "%s"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of configuration with a file of somebody else, one of ours, and one that shall go."""
    made = tmp_path / "etc/shop.d"
    made.mkdir(parents=True)
    for name in ("other", "ours", "old"):
        (made / name).write_text(f"{name}\n")
    return made


def test_a_program_sees_new_files_with_those_of_others_and_nothing_is_replaced(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page-shop"
    wanted = Wanted(
        files=[new(folder / "ours", f"new, names {page} and {page}.html\n"), new(page, ""), new(folder / "add", "")],
        absent=[str(folder / "old")],
    )
    script = f'test "$(ls | xargs)" = "add other ours" && test "$(cat ours)" = "new, names $0{page} and $0{page}.html"'
    work = tmp_path / "work"
    work.mkdir()
    candidate.check(wanted, asked(script, folder), [str(folder)], str(work))
    assert sorted(path.name for path in folder.iterdir()) == ["old", "other", "ours"]
    assert (folder / "ours").read_text() == "ours\n"
    assert list(work.iterdir()) == []


def test_names_that_begin_alike_are_told_apart(folder: Path) -> None:
    files = [new(folder / "a", f"{folder}/a {folder}/ab\n"), new(folder / "ab", "")]
    candidate.check(Wanted(files=files), asked(f'test "$(cat a)" = "$0{folder}/a $0{folder}/ab"', folder))


def test_a_file_that_is_kept_is_tried_as_it_is(folder: Path) -> None:
    wanted = Wanted(files=[new(folder / "ours", "new\n", keep=True)])
    candidate.check(wanted, asked("grep -q ours ours", folder), [str(folder)])


def test_a_refusal_says_why_and_names_the_files_as_they_are_known(folder: Path) -> None:
    wanted = Wanted(files=[new(folder / "ours", "other\n")])
    with pytest.raises(BadInput, match="none was replaced") as refused:
        candidate.check(wanted, asked('cat other ours "$PWD/nothing"; exit 1', folder), [str(folder)])
    assert f"{folder}/nothing" in str(refused.value)
    assert "candidate-" not in str(refused.value)


@pytest.mark.parametrize(("name", "shown"), [("ours", False), ("other", True)])
def test_words_about_a_file_with_secrets_are_not_shown(folder: Path, name: str, shown: bool) -> None:
    wanted = Wanted(files=[new(folder / "ours", "canary\n", secret=True)])
    with pytest.raises(BadInput) as refused:
        candidate.check(wanted, asked(f'echo "$PWD/{name}: $(cat {name})" >&2; exit 1', folder), [str(folder)])
    assert "canary" not in str(refused.value)
    assert (f"{folder}/{name}: other" in str(refused.value)) is shown
