# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files give a process exactly the values that were asked for, in the dialect of its runtime."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.environment import encode

AWKWARD = {
    "EMPTY": "",
    "SPACES": "  both ends  ",
    "QUOTES": 'it\'s "quoted"',
    "QUOTED": '"all of it"',
    "DOLLAR": "$HOME ${HOME} $$",
    "BACKSLASHES": "C:\\new\\table\\",
    "BACKTICK": "`id`",
    "HASH": "# not a comment; nor this",
    "PERCENT": "100%n %i",
    "EQUALS": "a=b=c",
    "UNICODE": "zäh € 漢",
    "TAB": "a\tb",
    "URL": "postgresql://shop:p@ss#w$rd'\"@192.0.2.1:5432/shop?sslmode=require",
}


def as_docker_reads(text):
    """docker --env-file: lines; those that start with # are comments; everything behind the first = is the value."""
    lines = [line.lstrip() for line in text.split("\n")]
    return dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))


def as_systemd_reads(text):  # noqa: PLR0912 - systemd's own state machine (src/basic/env-file.c), state by state
    """EnvironmentFile=: a transcription of parse_env_file_internal."""
    state, key, value, pairs = "pre_key", "", "", {}

    def push():
        if key:
            pairs[key.rstrip()] = value

    for character in text:
        if state == "pre_key":
            if character in "#;":
                state = "comment"
            elif not character.isspace():
                state, key, value = "key", character, ""
        elif state == "key":
            if character == "\n":
                state = "pre_key"
            elif character == "=":
                state = "pre_value"
            else:
                key += character
        elif state in ("pre_value", "value"):
            if character == "\n":
                push()
                state = "pre_key"
            elif character == "'" and state == "pre_value":
                state = "single"
            elif character == '"' and state == "pre_value":
                state = "double"
            elif character == "\\":
                state = "escape"
            elif state == "value" or not character.isspace():
                state, value = "value", value + character
        elif state == "escape":
            state, value = "value", value + ("" if character == "\n" else character)
        elif state == "single":
            if character == "'":
                state = "pre_value"
            else:
                value += character
        elif state == "double":
            if character == '"':
                state = "pre_value"
            elif character == "\\":
                state = "double_escape"
            else:
                value += character
        elif state == "double_escape":
            state = "double"
            value += character if character in '"\\`$' else "" if character == "\n" else "\\" + character
        elif state == "comment" and character == "\n":
            state = "pre_key"
    return pairs


READERS = {"docker": as_docker_reads, "systemd": as_systemd_reads}


@pytest.mark.parametrize("runtime", READERS)
def test_every_awkward_value_arrives_as_it_was(runtime):
    assert READERS[runtime](encode(runtime, AWKWARD)) == AWKWARD


def test_line_breaks_arrive_under_systemd():
    values = {"KEY": "-----BEGIN-----\nabc\\\n# no comment\nB=2\n-----END-----\n", "NEXT": "x\r\ny"}
    assert as_systemd_reads(encode("systemd", values)) == values


@pytest.mark.parametrize("value", ["top\nsecret", "secret\r", "sec\0ret"])
def test_docker_cannot_carry_line_breaks_and_the_refusal_keeps_the_secret(value):
    with pytest.raises(BadInput, match="variable API_KEY") as refused:
        encode("docker", {"API_KEY": value})
    assert "ret" not in str(refused.value).replace("secrets", "")


def test_docker_cannot_carry_lines_that_its_scanner_gives_up_on():
    with pytest.raises(BadInput, match="65535 bytes"):
        encode("docker", {"LONG": "x" * 70000})
    assert as_docker_reads(encode("docker", {"LONG": "x" * 60000})) == {"LONG": "x" * 60000}


def test_the_order_of_variables_does_not_make_another_file():
    assert encode("docker", {"A": "1", "B": "2"}) == encode("docker", {"B": "2", "A": "1"}) == "A=1\nB=2\n"
