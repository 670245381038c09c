# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service has read its files since they changed."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import services

# 2026-11-30 07:40:42.104214 UTC.
READ = 1796024442.104214
ACTIVE = {"ActiveState": "active", "StateChangeTimestamp": "Mon 2026-11-30 07:40:42.104214 UTC"}


@pytest.mark.parametrize(
    ("told", "changed", "expected"),
    [
        (ACTIVE, {"old": READ - 100, "new": READ - 0.1}, []),
        (ACTIVE, {"old": READ - 100, "new": READ + 0.1}, ["new"]),
        (ACTIVE, {}, []),
        # Started later, it reads everything.
        ({"ActiveState": "inactive", "StateChangeTimestamp": ""}, {"new": READ}, []),
        # In the middle of a reload: it reads them now, or says why not.
        ({**ACTIVE, "ActiveState": "reloading"}, {"new": READ + 0.1}, []),
    ],
)
def test_a_service_is_behind_when_a_file_changed_after_its_last_start_or_reload(
    told: dict[str, str], changed: dict[str, float], expected: list[str]
) -> None:
    assert services.behind(told, changed) == expected
