# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what TLS costs: both ways of asking, and no failure is overlooked."""

from __future__ import annotations

from ansible_collections.vitalops.rollout.tests.bench import tls


def test_the_table_has_both_ways_and_every_failure() -> None:
    kept = {"rate": 6106.4, "failures": 0, "p50_ms": 3.456, "core_us": 24.0}
    new = {"rate": 91.2, "failures": 2, "p50_ms": 11.5, "core_us": 580.4}
    shown = tls.lines({"connections": 50, "plain": {"kept": kept, "new": kept}, "tls": {"kept": kept, "new": new}})
    assert shown[0].endswith("50 kept connections, or a new one each.")
    assert shown[-2].split() == ["plain", "6106", "3.46", "24", "6106", "3.46", "24", "0"]
    assert shown[-1].split() == ["tls", "6106", "3.46", "24", "91", "11.50", "580", "2"]
