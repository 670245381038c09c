# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret that comes back is not shown, whole or as its token, as text or as JSON."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.masking import MASK, Masking, secrets_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("you sent Bearer abcdefgh.1 here", f"you sent {MASK} here"),
        ("you sent abcdefgh.1", f"you sent {MASK}"),
        ("the Bearer was refused", "the Bearer was refused"),  # a short word is no token
        ('{"key": "a\\"b"}', f'{{"key": "{MASK}"}}'),
        ('a"b', MASK),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert Masking(["Bearer abcdefgh.1", 'a"b', ""])(text) == shown


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("user=a&password=hidden+value%21", ["hidden value!", "hidden+value%21"]),
        (
            '{"password": "hidden-value", "pin": 1, "code": 987654, "list": [{"x": "deeper"}, "short"]}',
            ["hidden-value", "987654", "deeper"],
        ),
        ("[" * 100_000, []),
        ("a plain text", []),
        ("", []),
    ],
)
def test_what_a_secret_body_holds_is_a_secret_too(body: str, found: list[str]) -> None:
    assert secrets_in(body) == [body, *found]
