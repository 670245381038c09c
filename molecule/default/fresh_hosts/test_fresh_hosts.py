# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything is installed: a check says what would be done, and does nothing."""

from __future__ import annotations

import typing as t


def test_a_check_of_provision_works_on_fresh_hosts(lab: t.Any) -> None:
    played = lab.play("provision", "--check", "--diff")
    assert played.code == 0
    assert "failed=0" in played.output
    for name in lab.group("application"):
        assert not lab.connect(name).file("/var/lib/rollout").exists


def test_status_of_fresh_hosts_says_that_nothing_is_live(lab: t.Any) -> None:
    played = lab.play("status")
    assert played.code == 0
    assert "nothing" in played.output.lower()


def test_roll_back_without_a_guard_says_what_to_do(lab: t.Any) -> None:
    played = lab.play("roll_back")
    assert played.code != 0
    assert "The guard is not installed on this host" in played.output
    assert "next: ansible-playbook vitalops.rollout.provision -i INVENTORY" in played.output
