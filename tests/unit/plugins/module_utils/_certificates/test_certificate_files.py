# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a certificate change together: at no moment, and after no kill, do a certificate and another's key meet."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._certificates import files
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput

OLD = files.contents("old chain", "old key", "old authority", combined=True)
NEW = files.contents("new chain", "new key", "new authority", combined=True)


@pytest.fixture
def place(tmp_path: Path) -> files.Place:
    return files.Place(str(tmp_path / "tls"), "shop", os.getuid(), os.getgid())


def seen(place: files.Place) -> dict[str, str]:
    endings = (".crt", ".key", ".ca", ".pem")
    return {ending: Path(place.path(ending)).read_text() for ending in endings if os.path.exists(place.path(ending))}


def test_files_are_there_with_their_rights_and_a_second_time_changes_nothing(place: files.Place) -> None:
    assert files.differs(place, OLD) == [".crt", ".key", ".ca", ".pem"]
    files.publish(place, OLD)
    assert seen(place) == OLD
    assert seen(place)[".pem"] == "old chain\nold key\n"
    rights = {ending: os.stat(place.path(ending)).st_mode & 0o777 for ending in OLD}
    assert rights == {".crt": 0o644, ".key": 0o640, ".ca": 0o644, ".pem": 0o640}
    assert files.differs(place, OLD) == []


def test_rights_that_somebody_changed_come_back(place: files.Place) -> None:
    files.publish(place, OLD)
    os.chmod(place.path(".key"), 0o644)
    assert files.differs(place, OLD) == [".key"]
    files.publish(place, OLD)
    assert files.differs(place, OLD) == []


def test_a_file_that_is_not_wanted_any_more_goes_and_old_versions_too(place: files.Place) -> None:
    files.publish(place, OLD)
    fewer = files.contents("new chain", "new key", "new authority", combined=False)
    assert files.differs(place, fewer) == [".crt", ".key", ".ca", ".pem"]
    files.publish(place, fewer)
    assert seen(place) == fewer
    assert len(os.listdir(place.versions)) == 2  # live, and what it leads to


def test_a_version_waits_until_it_is_switched_to_and_there_is_a_way_back(place: files.Place) -> None:
    assert files.live(place) == ""
    files.publish(place, OLD)
    before = files.live(place)
    folder = files.stage(place, NEW)
    assert files.place_of(folder)[:2] == place[:2]
    assert folder == files.version(place, NEW)
    assert seen(place) == OLD
    assert files.differs(place, NEW) != []
    files.switch(place, folder)
    assert seen(place) == NEW
    files.switch(place, before)
    assert seen(place) == OLD
    files.clean(place)
    assert sorted(os.listdir(place.versions)) == sorted(["live", os.path.basename(before)])


def test_a_file_of_somebody_else_is_not_replaced(place: files.Place) -> None:
    Path(place.folder).mkdir()
    Path(place.path(".key")).write_text("precious")
    with pytest.raises(BadInput, match="in the way"):
        files.differs(place, NEW)
    assert Path(place.path(".key")).read_text() == "precious"


class Killed(BaseException):
    """The end of the process, which no handler of ours may catch."""


CALLS = ("open", "fsync", "chown", "chmod", "symlink", "replace", "unlink", "listdir")


@pytest.mark.parametrize("number", range(1, 90))
def test_a_kill_at_any_system_call_leaves_a_pair_that_matches(
    place: files.Place, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.publish(place, OLD)
    left = [number]

    def counted(real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def call(*arguments: t.Any, **options: t.Any) -> t.Any:
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(files.os, name, counted(getattr(os, name)))
        try:
            files.publish(place, NEW)
            killed = False
        except Killed:
            killed = True
    assert seen(place) in (OLD, NEW)
    assert killed or number > 40  # the table reaches beyond the last call
    files.publish(place, NEW)
    assert seen(place) == NEW
    assert files.differs(place, NEW) == []
