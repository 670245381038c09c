# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host: made together, told exactly, refused before anything changes."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import files
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts.files import File, Folder, Link, Rights, Wanted


def owned(mode: int) -> Rights:
    return Rights(os.getuid(), os.getgid(), mode)


def settings(root: Path, content: str = "new\n", **more: t.Any) -> File:
    return File(str(root / "etc/shop/shop.conf"), owned(0o644), content, **more)


def everything(root: Path) -> Wanted:
    return Wanted(
        [Folder(str(root / "lib"), owned(0o700))],
        [settings(root), File(str(root / "lib/password"), owned(0o600), "canary", secret=True)],
        [Link(str(root / "sbin/shop"), "/usr/lib/shop")],
        [str(root / "old.conf")],
    )


def bring(wanted: Wanted) -> list[str]:
    """Looks, plans and applies; returns the paths that changed."""
    changes = files.plan(wanted, files.look(wanted))
    if changes:
        files.apply(wanted)
    return [change.path for change in changes]


@pytest.fixture
def narrow_umask() -> t.Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("narrow_umask")
def test_all_of_it_is_made_with_its_rights_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.conf").write_text("")
    wanted = everything(tmp_path)
    assert [Path(path).name for path in bring(wanted)] == ["lib", "shop.conf", "password", "shop", "old.conf"]
    assert (tmp_path / "etc/shop/shop.conf").read_text() == "new\n"
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("lib", "etc/shop/shop.conf", "lib/password")}
    assert modes == {"lib": 0o700, "etc/shop/shop.conf": 0o644, "lib/password": 0o600}
    # Programs of other users find the file, whatever the umask of the run.
    assert (tmp_path / "etc/shop").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "sbin/shop").readlink() == Path("/usr/lib/shop")
    assert not (tmp_path / "old.conf").exists()
    assert bring(wanted) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["lib", "password", "etc", "shop", "shop.conf", "sbin", "shop"]
    )


def test_a_plan_touches_nothing(tmp_path: Path) -> None:
    assert len(files.plan(everything(tmp_path), files.look(everything(tmp_path)))) == 4
    assert list(tmp_path.iterdir()) == []


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    bring(everything(tmp_path))
    (tmp_path / "etc/shop/shop.conf").write_text("old\n")
    (tmp_path / "lib").chmod(0o755)
    (tmp_path / "sbin/shop").unlink()
    (tmp_path / "sbin/shop").symlink_to("/elsewhere")
    wanted = everything(tmp_path)
    told = {Path(one.path).name: (one.before, one.after) for one in files.plan(wanted, files.look(wanted))}
    assert told == {
        "lib": (f"{owned(0o755)}\n", f"{owned(0o700)}\n"),
        "shop.conf": ("old\n", "new\n"),
        "shop": ("a link to /elsewhere\n", "a link to /usr/lib/shop\n"),
    }
    assert len(bring(wanted)) == 3
    assert bring(wanted) == []


def test_content_and_rights_are_told_apart(tmp_path: Path) -> None:
    bring(Wanted(files=[settings(tmp_path, "old\n")]))
    (tmp_path / "etc/shop/shop.conf").chmod(0o600)
    changes = files.plan(Wanted(files=[settings(tmp_path)]), files.look(Wanted(files=[settings(tmp_path)])))
    assert [(one.title, one.before, one.after) for one in changes] == [
        (f"{tmp_path}/etc/shop/shop.conf", "old\n", "new\n"),
        (f"{tmp_path}/etc/shop/shop.conf: owner, group and mode", f"{owned(0o600)}\n", f"{owned(0o644)}\n"),
    ]


def test_a_secret_is_told_without_its_content(tmp_path: Path) -> None:
    for content in ("canary", "canary of today"):
        wanted = Wanted(files=[File(str(tmp_path / "password"), owned(0o600), content, secret=True)])
        (change,) = files.plan(wanted, files.look(wanted))
        assert change.before != change.after
        assert "canary" not in change.before + change.after
        bring(wanted)


def test_what_is_kept_stays_as_it_is(tmp_path: Path) -> None:
    pointer = File(str(tmp_path / "traffic.map"), owned(0o600), "none\n", keep=True)
    assert bring(Wanted(files=[pointer])) == [pointer.path]
    Path(pointer.path).write_text("blue\n")
    Path(pointer.path).chmod(0o640)
    assert bring(Wanted(files=[pointer])) == []
    # Nor does a change beside it touch it.
    assert bring(Wanted(files=[pointer, settings(tmp_path)])) == [settings(tmp_path).path]
    assert (Path(pointer.path).read_text(), Path(pointer.path).stat().st_mode & 0o777) == ("blue\n", 0o640)


def test_a_folder_on_another_disk_is_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "lib").symlink_to("disk")
    assert bring(Wanted([Folder(str(tmp_path / "lib"), owned(0o755))])) == [str(tmp_path / "lib")]
    assert (tmp_path / "lib").is_symlink()
    assert (tmp_path / "disk").stat().st_mode & 0o777 == 0o755


def test_all_that_is_in_the_way_is_told_before_anything_changes(tmp_path: Path) -> None:
    wanted = everything(tmp_path)
    for folder in ("etc/shop/shop.conf", "sbin/shop", "old.conf"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lib").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as refused:
        bring(wanted)
    for found in (
        f"a folder at {tmp_path}/etc/shop/shop.conf",
        f"a folder at {tmp_path}/sbin/shop",
        f"a folder at {tmp_path}/old.conf",
        f"a file at {tmp_path}/lib",
        f"no folder at {tmp_path}/lib",  # on the way to the password
    ):
        assert found in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("target", ["elsewhere", "/dev/null"])
def test_a_link_where_a_file_shall_be_is_somebody_elses(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").write_text("old\n")
    (tmp_path / "etc/shop").mkdir(parents=True)
    (tmp_path / "etc/shop/shop.conf").symlink_to(target)
    with pytest.raises(BadInput, match="a link at"):
        bring(Wanted(files=[settings(tmp_path)]))


def test_a_program_is_asked_before_a_file_counts(tmp_path: Path) -> None:
    bring(Wanted(files=[settings(tmp_path, "old\n")]))
    first = File(str(tmp_path / "first"), owned(0o644), "first\n")
    good, bad = (
        settings(tmp_path, validate=("/usr/bin/grep", "-q", word, "%s", first.path)) for word in ("new", "old")
    )
    with pytest.raises(BadInput, match=r"shop\.conf stays as it is") as refused:
        bring(Wanted(files=[first, bad]))
    assert "grep failed with exit code 1" in str(refused.value)
    # The one before it was there by then; nothing is left of the one that was refused.
    assert Path(first.path).exists()
    assert [path.name for path in (tmp_path / "etc/shop").iterdir()] == ["shop.conf"]
    assert Path(bad.path).read_text() == "old\n"
    bring(Wanted(files=[first, good]))
    assert Path(good.path).read_text() == "new\n"
    # What is in place is not asked about again.
    assert bring(Wanted(files=[bad])) == []


def test_what_a_program_says_of_a_secret_is_not_shown(tmp_path: Path) -> None:
    secret = settings(tmp_path, "canary\n", secret=True, validate=("/bin/cat", "%s", "/nowhere"))
    with pytest.raises(BadInput) as refused:
        bring(Wanted(files=[secret]))
    assert "canary" not in str(refused.value)
    assert "the file holds secrets" in str(refused.value)


@pytest.mark.parametrize("paths", [["etc/shop"], ["/etc/shop", "/etc/shop"]])
def test_paths_are_absolute_and_named_once(paths: list[str]) -> None:
    with pytest.raises(BadInput, match="Paths are absolute"):
        files.look(Wanted([Folder(path, owned(0o755)) for path in paths]))


def test_an_owner_that_a_package_will_bring_is_a_change_in_a_plan() -> None:
    to_come = Rights(files.UNKNOWN, files.UNKNOWN, 0o640)
    (change,) = files.plan(
        Wanted(files=[File("/etc/hostname", to_come, "")]), {"/etc/hostname": files.Seen("a file", owned(0o640))}
    )
    assert change.after == "nobody yet:nobody yet 0640\n"
