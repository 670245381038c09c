# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of groups of which an inventory may lack some."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.hosts_of import hosts_of

GROUPS = {"all": ["app1", "data1"], "application": ["app1"], "postgres": ["data1"], "sentinel": []}


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("postgres",), "postgres"),
        (("application", "postgres"), "application:postgres"),
        (("application", "redis"), "application"),
        (("sentinel",), "sentinel"),
        (("redis",), "all:!all"),
    ],
    ids=str,
)
def test_a_group_that_is_not_there_is_nobody(names: tuple[str, ...], pattern: str) -> None:
    assert hosts_of(GROUPS, *names) == pattern


def test_what_is_no_groups_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected hosts by group, found list"):
        hosts_of(["postgres"], "postgres")  # type: ignore[arg-type]
