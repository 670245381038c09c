# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders: a good artefact is unpacked, a bad one leaves nothing outside and nothing complete."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tarfile

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import artefact, registry
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.definition import Release
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths


def entry(name, *, content=b"", kind=tarfile.REGTYPE, mode=0o644, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), link
    return member, content


def packed(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in entries:
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


GOOD = packed(
    entry("./", kind=tarfile.DIRTYPE, mode=0o700),
    entry("./bin/start", content=b"#!/bin/sh\n", mode=0o4775),
    entry("./lib/a.py", content=b"a = 1\n", mode=0o600),
    entry("./lib/b.py", kind=tarfile.SYMTYPE, link="a.py"),
    entry("./start", kind=tarfile.SYMTYPE, link="./bin/../bin/start"),
    entry("./lib/c.py", kind=tarfile.LNKTYPE, link="./lib/a.py"),
)


def unpacked(tmp_path, content):
    archive, folder = tmp_path / "artefact", tmp_path / "deep" / "folder"
    archive.write_bytes(content)
    folder.mkdir(parents=True)
    artefact.unpack(str(archive), str(folder), where="https://host/artefact")
    return folder


def test_a_release_is_readable_for_all_and_writable_for_root_only(tmp_path):
    folder = unpacked(tmp_path, GOOD)
    assert (folder / "start").read_text() == "#!/bin/sh\n"
    assert (folder / "lib/b.py").read_text() == (folder / "lib/c.py").read_text() == "a = 1\n"
    assert stat.S_IMODE((folder / "bin/start").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "lib/a.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "lib").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("/etc/passwd", content=b"x")], id="absolute path"),
        pytest.param([entry("../outside", content=b"x")], id="path that leads out"),
        pytest.param([entry("a/../../outside", content=b"x")], id="path that leads out later"),
        pytest.param([entry("link", kind=tarfile.SYMTYPE, link="/etc/passwd")], id="absolute link"),
        pytest.param([entry("a/link", kind=tarfile.SYMTYPE, link="../../outside")], id="link that leads out"),
        pytest.param([entry("link", kind=tarfile.LNKTYPE, link="../artefact")], id="hard link that leads out"),
        pytest.param([entry("null", kind=tarfile.CHRTYPE)], id="device"),
        pytest.param([entry("pipe", kind=tarfile.FIFOTYPE)], id="pipe"),
        pytest.param(
            [entry("d", kind=tarfile.SYMTYPE, link="."), entry("d/../../outside", content=b"x")], id="link and then out"
        ),
    ],
)
def test_nothing_lands_outside_of_the_release(tmp_path, entries):
    with pytest.raises(BadInput):
        unpacked(tmp_path, packed(*entries))
    assert not list(tmp_path.rglob("outside"))


def test_a_file_is_never_written_through_a_link_of_the_same_archive(tmp_path):
    (tmp_path / "target").mkdir()
    with contextlib.suppress(BadInput):
        unpacked(tmp_path, packed(entry("d", kind=tarfile.SYMTYPE, link="target"), entry("d/file", content=b"x")))
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", GOOD[: len(GOOD) // 2]], ids=["empty", "page", "cut"]
)
def test_what_is_no_archive_is_refused_with_its_address(tmp_path, content):
    with pytest.raises(BadInput, match="https://host/artefact"):
        unpacked(tmp_path, content)


class Download:
    def __init__(self, content):
        self._content = io.BytesIO(content)
        self.read = self._content.read

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        return None


@pytest.fixture
def paths(tmp_path):
    return Paths("shop", str(tmp_path))


def fetched(monkeypatch, paths, content, *, digest=None, release_id="1-0123456789ab"):
    monkeypatch.setattr(registry, "open_url", lambda paths, url: Download(content))
    digest = digest or "sha256:" + hashlib.sha256(content).hexdigest()
    release = Release(release_id, "1", digest, "https://registry.test/shop-1.tar.gz")
    folder = os.path.join(paths.releases, release_id)
    artefact.fetch(paths, release, folder)
    return folder


def test_a_download_with_the_right_digest_becomes_a_release_folder(monkeypatch, paths):
    folder = fetched(monkeypatch, paths, GOOD)
    assert os.path.exists(os.path.join(folder, "bin/start"))
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    assert os.listdir(paths.releases) == ["1-0123456789ab"]


def test_a_download_with_another_digest_leaves_nothing(monkeypatch, paths):
    with pytest.raises(CommandFailed, match="not the release"):
        fetched(monkeypatch, paths, GOOD, digest="sha256:" + "0" * 64)
    assert os.listdir(paths.releases) == []


def test_what_a_killed_download_left_is_cleared_by_the_next(monkeypatch, paths):
    os.makedirs(os.path.join(paths.releases, ".unfinished-x", "content"))
    fetched(monkeypatch, paths, GOOD)
    assert os.listdir(paths.releases) == ["1-0123456789ab"]


def test_the_newest_three_and_those_in_a_slot_stay(paths):
    for age, name in enumerate(["newest", "newer", "new", "old-in-a-slot", "old", "older"]):
        os.makedirs(os.path.join(paths.releases, name))
        os.utime(os.path.join(paths.releases, name), (1000 - age, 1000 - age))
    surplus = artefact.surplus(paths, {"old-in-a-slot"})
    assert [os.path.basename(one) for one in surplus] == ["old", "older"]
    artefact.discard(surplus)
    assert sorted(os.listdir(paths.releases)) == ["new", "newer", "newest", "old-in-a-slot"]
