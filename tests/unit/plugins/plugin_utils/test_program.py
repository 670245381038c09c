# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program answered becomes the result of a task: readable or not, and never with a secret."""

from __future__ import annotations

import json

import pytest
from ansible_collections.vitalops.rollout.plugins.plugin_utils._plain import plain
from ansible_collections.vitalops.rollout.plugins.plugin_utils._program import answer, missing


def test_the_last_line_is_the_answer() -> None:
    assert answer('a warning\n{"changed": true}\n\n', "", 0) == {"changed": True}


@pytest.mark.parametrize(
    ("output", "error", "found"),
    [
        ("", "", "nothing, exit code 137"),
        ("", "Traceback: KeyError", "Traceback: KeyError"),
        ("half a li", "", "half a li"),
        ("[1]", "", "[1]"),
    ],
)
def test_what_is_no_answer_is_a_failure_that_says_what_came(output: str, error: str, found: str) -> None:
    told = answer(output, error, 137)
    assert (told["failed"], told["changed"], told["error"]["found"]) == (True, False, found)
    assert "rollout-guard status" in told["error"]["next"]


def test_without_the_program_nobody_would_revert_so_nothing_is_done() -> None:
    told = missing()
    assert (told["failed"], told["changed"]) == (True, False)
    assert "The guard is not installed on this host" in told["msg"]
    assert told["error"]["next"] == "ansible-playbook vitalops.rollout.provision -i INVENTORY installs it"


def test_secrets_are_masked_wherever_they_are_the_longest_first() -> None:
    result = {"msg": "body: pass-word-1", "view": {"says": ["pass-word", 7, None]}}
    told = answer(json.dumps(result), "", 0, masked=["pass-word", "pass-word-1", ""])
    assert told == {"msg": "body: ********", "view": {"says": ["********", 7, None]}}
    assert "pass-word" not in str(answer("", "it printed pass-word", 1, masked=["pass-word"]))


def test_plain_values_are_what_they_were() -> None:
    assert plain({"a": [1, ("b", {"c": None})]}) == {"a": [1, ["b", {"c": None}]]}
