# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter redis_logins."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.filter.redis_logins import redis_logins


@pytest.mark.parametrize(
    ("connection", "user"),
    [
        ({}, None),
        ({"host": "10.0.0.1", "password": "p"}, "default"),
        ({"host": "10.0.0.1", "password": "p", "user": "shop"}, "shop"),
        ({"host": "10.0.0.2", "password": "p"}, None),  # another server
        ({"host": "10.0.0.1"}, None),
    ],
)
def test_only_a_login_at_this_server_must_get_in(connection: dict[str, t.Any], user: str | None) -> None:
    assert redis_logins(connection, "10.0.0.9") == []
    assert [login["user"] for login in redis_logins(connection, "10.0.0.1")] == ([user] if user else [])


def test_every_server_of_a_set_must_let_the_application_in() -> None:
    """Any of them may be elected."""
    told = {"host": "10.0.0.2", "password": "p"}
    assert len(redis_logins(told, "10.0.0.1", ["", "10.0.0.1", "10.0.0.2"])) == 1
    assert redis_logins({"host": "", "password": "p"}, "", [""]) == []
