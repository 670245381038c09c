# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic pointer in its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none:none:0", Pointer(None, None, 0)),
        ("blue:none:0", Pointer("blue", None, 0)),
        ("blue:green:25", Pointer("blue", "green", 25)),
        ("green:blue:100", Pointer("green", "blue", 100)),
    ],
)
def test_text_and_pointer_are_the_same_thing(text: str, expected: Pointer) -> None:
    assert pointer.parse(text, "here") == expected
    assert expected.text() == text


@pytest.mark.parametrize("text", ["", "blue", "blue:green", "red:none:0", "blue:green:101", "blue:green:-1", "a b c"])
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(StateUnreadable, match="here"):
        pointer.parse(text, "here")


def test_the_file_holds_one_pointer_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "traffic.map")
    assert pointer.read_file("shop", path) is None
    assert pointer.write_file("shop", path, Pointer("blue", None, 0)) is True
    assert pointer.write_file("shop", path, Pointer("blue", None, 0)) is False
    assert pointer.read_file("shop", path) == Pointer("blue", None, 0)
    assert pointer.read_file("other", path) is None


@pytest.mark.parametrize("senseless", [Pointer("blue", None, 5), Pointer("blue", "blue", 0)])
def test_a_senseless_pointer_is_refused(senseless: Pointer) -> None:
    with pytest.raises(BadInput):
        pointer.check(senseless)
