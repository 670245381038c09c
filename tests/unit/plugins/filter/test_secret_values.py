# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter secret_values: whatever could give a secret away is in the list, and nothing that would mask everything."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.secret_values import secret_values


@pytest.mark.parametrize(
    ("secrets", "database", "masked"),
    [
        ({}, {}, []),
        ({"TOKEN": "abcdef", "MODE": "abcde", "NOTHING": None, "EMPTY": ""}, {}, ["abcdef"]),
        ({"ONE": "same-text", "TWO": "same-text"}, {"password": "same-text"}, ["same-text"]),
        ({"PIN": 123456}, {"password": "pw", "name": "shop-database"}, ["123456", "pw"]),
        (
            {"DATABASE_URL": "postgresql://shop:p%40ss@10.0.0.5:5432/shop"},
            {},
            ["p%40ss", "p@ss", "postgresql://shop:p%40ss@10.0.0.5:5432/shop"],
        ),
        ({"REDIS_URL": "redis://:pw@data1:6379/0"}, {}, ["pw", "redis://:pw@data1:6379/0"]),
        ({"URL": "https://shop.example.com/"}, {}, ["https://shop.example.com/"]),
        ({"ODD": "http://[broken:pw@"}, {}, ["http://[broken:pw@"]),
    ],
)
def test_secrets_and_the_passwords_inside_them_are_listed_once(
    secrets: dict[str, t.Any], database: dict[str, t.Any], masked: list[str]
) -> None:
    assert secret_values(secrets, database) == masked


def test_the_database_can_be_left_out() -> None:
    assert secret_values({"TOKEN": "abcdef"}) == ["abcdef"]


def test_secrets_of_gates_are_listed_with_what_a_body_holds() -> None:
    gates = [
        {"secret_headers": {"Authorization": "Bearer abc"}, "secret_body": '{"password": "hidden-value"}'},
        {"secret_password": "pw"},
    ]
    assert secret_values({}, gates=gates) == ["Bearer abc", "hidden-value", "pw", '{"password": "hidden-value"}']


@pytest.mark.parametrize("arguments", [("hunter2-text",), (["hunter2-text"],), ({}, "hunter2-text")])
def test_input_of_another_shape_is_refused_without_showing_it(arguments: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^vitalops\.rollout\.secret_values: ") as caught:
        secret_values(*arguments)
    assert "hunter2" not in str(caught.value)
