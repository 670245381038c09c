# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance is true in the file first, then in HAProxy, which reads the file at its next start."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import maintenance


class Api:
    """HAProxy with one map, or none; *deaf* loses what it is told."""

    def __init__(self, state: str | None = maintenance.OVER, deaf: bool = False) -> None:
        self.state, self.deaf = state, deaf
        self.old: list[str] = []

    def command(self, text: str) -> str:
        if self.state is None:
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        if text.startswith("show map"):
            return f"0x1 shop {self.state}\n\n"
        if not self.deaf:
            self.state = text.rsplit(maxsplit=1)[-1]
        return "\n"

    def ask_old_workers(self, text: str) -> list[str]:
        self.old.append(text)
        return []


def test_the_file_tells_and_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "maintenance.map")
    assert maintenance.read("shop", path) is None
    maintenance.write("shop", path, maintenance.ACTIVE)
    assert maintenance.read("shop", path) == maintenance.ACTIVE
    assert maintenance.read("other", path) is None


def test_haproxy_and_the_workers_that_a_reload_left_are_told() -> None:
    api = Api()
    maintenance.tell(api, "shop", "/m", maintenance.ACTIVE)
    assert maintenance.used(api, "shop", "/m") == maintenance.ACTIVE
    assert api.old == ["set map /m shop active"]


def test_one_that_does_not_take_it_over_is_told_of() -> None:
    with pytest.raises(CommandFailed, match="did not take over"):
        maintenance.tell(Api(deaf=True), "shop", "/m", maintenance.ACTIVE)


def test_one_that_was_provisioned_before_does_not_know_of_it() -> None:
    assert maintenance.used(Api(None), "shop", "/m") is None
