# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_files, run as a program the way Ansible runs it."""

from __future__ import annotations

import getpass
import grp
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.unit.plugins.modules import as_ansible

OWN = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def run(check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    told, written = as_ansible.run("host_files", {**arguments, "_ansible_check_mode": check})
    assert "canary" not in written
    return told


def test_files_come_once_and_secrets_are_never_shown(tmp_path: Path) -> None:
    wanted = {
        "folders": [{"path": str(tmp_path / "lib"), "mode": "0700", **OWN}],
        "files": [
            {"path": str(tmp_path / "shop.conf"), "content": "new\n", **OWN},
            {"path": str(tmp_path / "lib/password"), "secret": "canary", "mode": "0600", **OWN},
            {"path": str(tmp_path / "old.conf"), "state": "absent"},
        ],
        "links": [{"path": str(tmp_path / "shop"), "target": "shop.conf"}],
    }
    planned = run(check=True, **wanted)
    assert list(tmp_path.iterdir()) == []
    done = run(**wanted)
    assert done["changed"]
    assert (done["paths"], done["diff"]) == (planned["paths"], planned["diff"])
    assert [os.path.basename(path) for path in done["paths"]] == ["lib", "shop.conf", "password", "shop"]
    assert done["diff"][1]["after"] == "new\n"
    assert (tmp_path / "lib/password").read_text() == "canary"
    again = run(**wanted)
    assert (again["changed"], again["paths"], again["diff"]) == (False, [], [])


def test_what_the_unit_has_not_read_since_an_earlier_run_is_told_with_what_changes_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the reload for this change would hide that the earlier one needed a restart."""
    programs = tmp_path / "bin"
    programs.mkdir()
    long_ago = "StateChangeTimestamp=Mon 2020-11-30 07:40:42.104214 UTC"
    (programs / "systemctl").write_text(f"#!/bin/sh\necho ActiveState=active\necho '{long_ago}'\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    names = [str(tmp_path / name) for name in ("options", "shop.conf")]
    Path(names[0]).write_text("same\n")
    files = [{"path": path, "content": "same\n", **OWN} for path in names]
    done = run(files=files, unit="shop")
    assert (done["changed"], done["paths"]) == (True, [names[1], names[0]])


def test_what_is_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.conf").mkdir()
    refused = run(files=[{"path": str(tmp_path / "shop.conf"), "content": "", **OWN}], links=[])
    assert refused["failed"]
    assert refused["error"]["found"] == f"a folder at {tmp_path}/shop.conf"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ({"content": "", "secret": "canary"}, "mutually exclusive"),
        ({}, "is present but any of the following are missing: content, secret"),
        ({"content": "", "mode": "u=rw"}, "octal"),
        ({"content": "", "owner": "nobody-at-all"}, "nobody-at-all"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, file: dict[str, str], expected: str) -> None:
    assert expected in run(files=[{**OWN, "path": str(tmp_path / "shop.conf"), **file}])["msg"]
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_go_together_replace_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.conf").write_text("old\n")
    wanted = {
        "files": [
            {"path": str(tmp_path / "shop.conf"), "content": "new\n", **OWN},
            {"path": str(tmp_path / "password"), "secret": "canary", **OWN},
        ],
        "check_together": {"command": ["/usr/bin/test", "!", "-e", f"%s{tmp_path}/shop.conf"]},
    }
    assert run(check=True, **wanted)["changed"]
    refused = run(**wanted)
    assert "none was replaced" in refused["msg"]
    assert [path.name for path in tmp_path.iterdir()] == ["shop.conf"]
    assert (tmp_path / "shop.conf").read_text() == "old\n"
    assert run(**{**wanted, "check_together": {"command": ["/usr/bin/test", "-s", f"%s{tmp_path}/password"]}})[
        "changed"
    ]
