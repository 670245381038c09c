# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is: samples of the files it is read from, and one real look."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts.facts import (
    authority_problem,
    collect,
    memory_limit,
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


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/init.scope\n", {"/sys/fs/cgroup/memory.max": "max\n"}, None),
        ("0::/\n", {"/sys/fs/cgroup/memory.max": "536870912\n"}, 536870912),
        (
            "0::/machine/box/init.scope\n",
            {"/sys/fs/cgroup/machine/memory.max": "2000\n", "/sys/fs/cgroup/machine/box/memory.max": "3000\n"},
            2000,
        ),
        (
            "9:memory:/docker/1f\n1:cpu,cpuacct:/docker/1f\n",
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": "1073741824\n",
            },
            1073741824,
        ),
        ("", {}, None),
    ],
)
def test_a_control_group_is_limited_by_its_parents_too(
    groups: str, files: dict[str, str], expected: int | None
) -> None:
    assert memory_limit(groups, lambda path: files.get(path, "")) == expected


def test_this_machine_is_described() -> None:
    told = collect()
    assert told["init"]["name"]
    assert told["distribution"]["id"]
    assert told["free_bytes"]["/"] > 0
    assert 0 < told["memory_bytes"]["available"] <= told["memory_bytes"]["total"]
    assert 0 < told["memory_bytes"]["usable"] <= told["memory_bytes"]["total"]
    assert told["cores"] >= 1
    assert len(told["boot_id"]) == 36
    assert told["uptime"] > 0
    assert told["clock"] == pytest.approx(time.time(), abs=5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    outputs = ["-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run([*command.split(), *outputs], check=True, capture_output=True)
    return path


def test_what_holds_no_certificate_that_can_be_read_is_told(authority: pathlib.Path, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "damaged").write_text(authority.read_text()[:100] + authority.read_text()[-40:])
    without = "a file without certificates in PEM format, or with a damaged one"
    told = {
        "nowhere": "nothing",
        "a\0b": "nothing",
        "": "something else than a file",
        "pipe": "something else than a file",
        "empty": without,
        "damaged": without,
        f"{authority}.key": without,
    }
    assert {name: authority_problem(str(tmp_path / name)) for name in told} == told


@pytest.mark.parametrize(("mode", "of_folder"), [(0o600, 0o755), (0o640, 0o755), (0o644, 0o700)])
def test_the_capabilities_of_root_open_no_file_for_a_watch(
    authority: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mode: int, of_folder: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "authority.pem"
    path.write_text(authority.read_text())
    path.chmod(mode)
    folder.chmod(of_folder)
    assert authority_problem(str(path)) is None
    for name in ("geteuid", "getegid"):  # somebody else owns it
        monkeypatch.setattr(os, name, lambda: 4242)
    assert "closes to a watch" in str(authority_problem(str(path)))
