# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's files: a candidate is tested as a whole, and what is refused replaces nothing."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import nginx, nginx_files, pointer
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer

Wanted = nginx_files.Configuration


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    (tmp_path / "lib" / "shop").mkdir(parents=True)
    (tmp_path / "etc" / "rollout.d").mkdir(parents=True)
    (tmp_path / "etc" / "rollout.d" / "other.conf").write_text("# of another application\n")
    folder, root = str(tmp_path / "etc"), str(tmp_path / "lib")
    files = {
        "nginx.conf": f"include {folder}/rollout.d/*.conf;\n",
        "rollout.d/shop.conf": f"include {root}/shop/traffic.conf;\n",
    }
    return Wanted("shop", folder, files, {"schema": 1, "driver": "nginx"}, root)


class Reader:
    """Reads what nginx would read; refuses when told so."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.saw: dict[str, str] = {}

    def __call__(self, arguments: list[str], **_options: t.Any) -> Completed:
        main = Path(arguments[-1])
        self.saw = {path.relative_to(main.parent).as_posix(): path.read_text() for path in main.parent.rglob("*.conf")}
        if self.refuses:
            raise CommandFailed("nginx failed.", found=f"[emerg] in {main.parent}/rollout.d/shop.conf:1")
        return Completed(0, "", "")


def test_a_candidate_is_tested_with_what_others_have_there_and_apart_from_what_runs(wanted: Wanted) -> None:
    tester = Reader()
    nginx_files.test(wanted, t.cast(t.Any, tester))
    assert set(tester.saw) == {"nginx.conf", "rollout.d/shop.conf", "rollout.d/other.conf", "traffic.conf"}
    assert wanted.folder not in tester.saw["nginx.conf"]
    assert wanted.root not in tester.saw["rollout.d/shop.conf"]
    assert not Path(wanted.folder, "nginx.conf").exists()


def test_what_nginx_refuses_is_named_by_the_place_that_it_was_meant_for(wanted: Wanted) -> None:
    with pytest.raises(CommandFailed, match="nothing was replaced") as caught:
        nginx_files.test(wanted, t.cast(t.Any, Reader(refuses=True)))
    assert f"{wanted.folder}/rollout.d/shop.conf:1" in str(caught.value)


def test_files_are_put_in_place_once(wanted: Wanted) -> None:
    assert {Path(path).name for path in nginx_files.changes(wanted)} == {"nginx.conf", "shop.conf", "traffic.conf"}
    nginx_files.put(wanted)
    assert nginx_files.changes(wanted) == {}
    assert Path(nginx_files.told_path(wanted)).stat().st_mode & 0o777 == 0o600


def test_the_include_follows_a_map_that_is_there_and_belongs_to_the_rollout(wanted: Wanted) -> None:
    pointer.write_file("shop", pointer.path_of("shop", wanted.root), Pointer("green", None, 0))
    nginx_files.put(wanted)
    assert Path(wanted.include_path).read_text() == nginx.include("shop", Pointer("green", None, 0))
    Path(wanted.include_path).write_text("# in the middle of a switch\n")
    nginx_files.put(wanted)
    assert Path(wanted.include_path).read_text() == "# in the middle of a switch\n"
