# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is: samples of the files it is read from, and one real look."""

from __future__ import annotations

import time

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts.facts import (
    collect,
    parse_meminfo,
    parse_os_release,
)

OS_RELEASE = """\
# a comment = not an assignment
PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
NAME='Debian GNU/Linux'
VERSION_ID="13"

ID=debian
BROKEN="unclosed
EMPTY=
"""


def test_os_release_is_read_with_its_quotes_taken_off() -> None:
    assert parse_os_release(OS_RELEASE) == {
        "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)",
        "NAME": "Debian GNU/Linux",
        "VERSION_ID": "13",
        "ID": "debian",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("text", "total", "available"),
    [
        ("MemTotal:        4194304 kB\nMemFree: 1 kB\nMemAvailable:    2097152 kB\n", 4294967296, 2147483648),
        ("MemTotal: 1 kB\nMemAvailable: unknown\n", 1024, 0),
        ("", 0, 0),
    ],
)
def test_memory_is_told_in_bytes(text: str, total: int, available: int) -> None:
    assert parse_meminfo(text) == {"total": total, "available": available}


def test_this_machine_is_described() -> None:
    told = collect()
    assert told["init"]["name"]
    assert told["distribution"]["id"]
    assert told["free_bytes"]["/"] > 0
    assert 0 < told["memory_bytes"]["available"] <= told["memory_bytes"]["total"]
    assert len(told["boot_id"]) == 36
    assert told["uptime"] > 0
    assert told["clock"] == pytest.approx(time.time(), abs=5)
