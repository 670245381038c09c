# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate became what it is: also by a link that moved, as the role certificate renews."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._certificates import files
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import age

FIRST = {".crt": "first\n", ".key": "key\n"}


@pytest.fixture
def place(tmp_path: Path) -> files.Place:
    """A certificate as the role has published it, an hour ago."""
    found = files.Place(str(tmp_path / "certificates"), "server", os.getuid(), os.getgid())
    files.publish(found, FIRST)
    for folder, folders, names in os.walk(tmp_path):
        for name in (*folders, *names):
            os.utime(os.path.join(folder, name), (1000, 1000), follow_symlinks=False)
    return found


def told(place: files.Place) -> float:
    return age.of_certificate({"ssl_cert_file": place.path(".crt"), "ssl_key_file": place.path(".key")}, "/data")


def test_a_certificate_that_nobody_touched_keeps_its_time(place: files.Place) -> None:
    files.publish(place, FIRST)
    assert told(place) == 1000


def test_a_renewed_certificate_is_new_even_when_its_files_are_old(place: files.Place) -> None:
    folder = files.stage(place, {**FIRST, ".crt": "second\n"})
    for name in os.listdir(folder):
        os.utime(os.path.join(folder, name), (1000, 1000))
    files.switch(place, folder)
    assert told(place) > 1000


def test_what_is_written_in_place_or_linked_elsewhere_is_new(tmp_path: Path) -> None:
    for name in ("real.crt", "other.crt"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1000, 1000))
    (tmp_path / "server.crt").symlink_to(tmp_path / "real.crt")
    os.utime(tmp_path / "server.crt", (1000, 1000), follow_symlinks=False)
    assert age.of_certificate({"ssl_cert_file": "server.crt"}, str(tmp_path)) == 1000
    os.utime(tmp_path / "real.crt", (2000, 2000))
    assert age.of_certificate({"ssl_cert_file": "server.crt"}, str(tmp_path)) == 2000


@pytest.mark.parametrize("settings", [{}, {"ssl_cert_file": ""}, {"ssl_cert_file": "/nowhere/server.crt"}])
def test_without_a_certificate_nothing_is_new(settings: dict[str, str]) -> None:
    assert age.of_certificate(settings, "/data") == 0


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert age.changed_at(str(tmp_path / "a")) == 0
