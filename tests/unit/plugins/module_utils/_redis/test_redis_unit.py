# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is added to a unit: when it must be written, and when a server must be started anew for it."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._redis.unit import DropIn


def test_a_server_needs_a_restart_for_a_unit_that_is_newer_or_yet_to_come(tmp_path: Path) -> None:
    path = tmp_path / "rollout.conf"
    wanted = DropIn(str(path), "[Service]\n")
    assert wanted.differs()
    assert wanted.newer_than(1000)
    path.write_text("[Service]\n")
    os.utime(path, (500, 500))
    assert not wanted.differs()
    assert not wanted.newer_than(1000)
    assert wanted.newer_than(400)
    assert wanted._replace(content="[Service]\nUMask=0027\n").newer_than(1000)


def test_nothing_to_add_is_never_a_reason(tmp_path: Path) -> None:
    (tmp_path / "rollout.conf").write_text("of somebody else")
    nothing = DropIn(str(tmp_path / "rollout.conf"), "")
    assert not nothing.differs()
    assert not nothing.newer_than(0)
    nothing.put_back(None)
    assert (tmp_path / "rollout.conf").exists()
