# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of settings means before anything is touched: what differs, and what waits for a restart."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import settings

RUNNING = {
    "max_connections": settings.Running("100", None, "postmaster", "integer"),
    "shared_buffers": settings.Running("16384", "8kB", "postmaster", "integer"),
    "work_mem": settings.Running("4096", "kB", "user", "integer"),
}


def text(**wanted: object) -> str:
    return settings.render(wanted)


def test_values_are_written_as_postgresql_reads_them() -> None:
    told = settings.render({"b": True, "a": "it's C:\\x", "libraries": ["one", "two"], "n": 5})
    assert told.splitlines()[1:] == ["a = 'it''s C:\\\\x'", "b = 'true'", "libraries = 'one, two'", "n = '5'"]
    assert settings.parse(told) == {"a": "it's C:\\x", "b": "true", "libraries": "one, two", "n": "5"}


def test_a_setting_for_sessions_waits_for_nothing() -> None:
    change = settings.change(text(work_mem="4MB"), text(work_mem="8MB"), RUNNING)
    assert change == ({"work_mem": "4MB"}, {"work_mem": "8MB"}, [])


def test_a_setting_of_the_whole_server_waits_for_a_restart() -> None:
    assert settings.change(text(max_connections=100), text(max_connections=200), RUNNING).waiting == ["max_connections"]


def test_another_spelling_of_the_running_value_does_not() -> None:
    change = settings.change("", text(shared_buffers="128MB", max_connections="100"), RUNNING)
    assert change.waiting == []
    assert change.after == {"shared_buffers": "128MB", "max_connections": "100"}


def test_what_waits_since_the_run_before_is_told_again() -> None:
    same = text(max_connections=200)
    assert settings.change(same, same, RUNNING) == ({}, {}, ["max_connections"])


def test_a_setting_that_is_given_up_waits_as_nobody_knows_what_it_falls_back_to() -> None:
    change = settings.change(text(max_connections=100), text(), RUNNING)
    assert (change.before, change.after) == ({"max_connections": "100"}, {"max_connections": None})
    assert change.waiting == ["max_connections"]


def test_a_server_that_does_not_run_waits_for_nothing() -> None:
    assert settings.change("", text(max_connections=200), {}).waiting == []


@pytest.mark.parametrize("name", ["primary_conninfo", "ssl_passphrase_command"])
def test_what_may_hold_a_password_is_never_shown(name: str) -> None:
    change = settings.change(text(**{name: "password=old"}), text(**{name: "password=new"}), {})
    assert change.before == change.after == {name: "(hidden)"}
