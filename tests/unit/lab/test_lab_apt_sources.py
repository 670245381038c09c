# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirrors of the machine are read from both formats of apt, and written for another Debian."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.lab import apt_sources
from ansible_collections.vitalops.rollout.tests.lab.apt_sources import Mirror

MAIN = Mirror("", "http://mirror.example/debian", "main", "")
UPDATES = MAIN._replace(kind="-updates")
SECURITY = Mirror("-security", "http://mirror.example/debian-security", "main", "")


def test_stanzas_give_every_suite_and_skip_comments_sources_and_disabled_ones() -> None:
    text = """Types: deb deb-src
# a comment in the middle
URIs: http://mirror.example/debian/
Suites: bookworm
 bookworm-updates
 bookworm-backports
Components: main contrib

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
"""
    assert apt_sources.parse_stanzas(text) == [MAIN, UPDATES]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("deb http://mirror.example/debian bookworm main contrib  # note", [MAIN]),
        ("deb [arch=amd64 signed-by=/a.gpg] http://mirror.example/debian/ stable main", [MAIN]),
        (
            "deb [check-valid-until=no] http://mirror.example/debian trixie main",
            [MAIN._replace(options="check-valid-until=no")],
        ),
        ("deb http://mirror.example/debian-security bookworm-security main", [SECURITY]),
        ("# deb http://mirror.example/debian bookworm main", []),
        ("deb-src http://mirror.example/debian bookworm main", []),
        ("deb http://vendor.example/apt noble main", []),
        ("deb http://vendor.example/apt stable vendor", []),
        ("deb cdrom:[Debian]/ bookworm main", []),
        ("deb file:/srv/debian bookworm main", []),
    ],
)
def test_a_line_counts_only_when_it_is_a_reachable_debian_archive(line: str, expected: list[Mirror]) -> None:
    assert apt_sources.parse_lines(line) == expected


def test_both_formats_are_read_and_the_first_mirror_of_a_kind_wins(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "b.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    )
    (tmp_path / "sources.list.d" / "c.list").write_text("deb http://second.example/debian bookworm main\n")
    (tmp_path / "sources.list.d" / "d.list.disabled").write_text("deb http://off.example/debian bookworm main\n")
    assert apt_sources.read_machine(tmp_path) == [MAIN, SECURITY]


def test_a_machine_without_a_debian_archive_has_no_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://vendor.example/debian bookworm-security main\n")
    assert apt_sources.read_machine(tmp_path) == []


def test_the_suite_is_replaced_and_options_are_kept() -> None:
    mirrors = [MAIN, SECURITY._replace(options="check-valid-until=no")]
    signed = f"signed-by={apt_sources.KEYRING}"
    assert apt_sources.sources_list(mirrors, 13) == (
        f"deb [{signed}] http://mirror.example/debian trixie main\n"
        f"deb [{signed} check-valid-until=no] http://mirror.example/debian-security trixie-security main\n"
    )
    assert " bookworm main" in apt_sources.sources_list(mirrors, 12)
