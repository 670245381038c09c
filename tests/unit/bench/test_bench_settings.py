# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentence on a change of settings: seconds, and what failed of what was asked."""

from __future__ import annotations

from ansible_collections.vitalops.rollout.tests.bench import settings


def test_the_sentence_has_seconds_and_failures() -> None:
    told = settings.lines({"walls": [7.0, 6.2, 9.1], "transactions": 4000, "failures": 2})
    assert told == [
        "A setting of PostgreSQL that needs a reload: 7.0 s (p50), at most 9.1 s, 3 runs (goal < 8); "
        "2 of 4000 transactions of pgbench failed meanwhile (goal 0)."
    ]
