# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of Redis: what becomes a line of their file, and which could never work."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import access
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.wire import Connection, Refused

SHOP = {"name": "shop", "password": "secret"}


def test_an_application_may_do_all_but_what_is_dangerous() -> None:
    line = access.application({**SHOP, "keys": ["shop:*"], "channels": ["shop:*"]}).line()
    assert line.startswith("user shop on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b ")
    assert line.endswith(" resetchannels ~shop:* &shop:* -@all +@all -@admin -@dangerous +info")
    assert "secret" not in line


def test_commands_that_are_told_are_all_it_may_do() -> None:
    assert access.application({**SHOP, "commands": ["+get", "+@connection"]}).rules == (
        "resetchannels ~* -@all +get +@connection"
    )


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ({"name": "default"}, "cannot have this name"),
        ({"name": "rollout"}, "cannot have this name"),
        ({"name": "two words"}, "cannot have this name"),
        ({"password": ""}, "has no password"),
        ({"keys": ["shop:* +@all"]}, "has spaces"),
        ({"commands": ["on"]}, "not told by commands"),
        ({"commands": [">other-password"]}, "not told by commands"),
    ],
)
def test_a_user_that_could_never_work_is_refused(user: dict[str, t.Any], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        access.application({**SHOP, **user})


def test_users_need_an_administrator_and_names_of_their_own() -> None:
    assert access.rules("", "", "", []) == ()
    with pytest.raises(BadInput, match="need an administrator"):
        access.rules("", "", "", [SHOP])
    with pytest.raises(BadInput, match="there twice"):
        access.rules("a", "", "", [SHOP, SHOP])
    assert [rule.name for rule in access.rules("a", "b", "c", [SHOP])] == [
        "rollout",
        "replication",
        "sentinel",
        "shop",
    ]


def test_clients_without_a_name_are_off_unless_a_password_is_told() -> None:
    assert access.default_user("").startswith("user default off ")
    told = access.default_user("legacy")
    assert "user default on" in told
    assert "-@dangerous" in told


def test_a_password_that_changes_puts_nobody_out_until_the_next_run() -> None:
    old, new = access.application({**SHOP, "password": "old"}).line(), access.application(SHOP).line()
    both = access.with_former(new, old)
    assert access.twice([both, new]) == ["shop"]
    assert both.split(" ")[3:5] == [new.split(" ")[3], old.split(" ")[3]]
    # The server itself writes the file in other words. The next run knows that the new one has been told.
    assert access.with_former(new, both.replace(" on #", " on sanitize-payload #", 1)) == new
    assert access.with_former(new, new) == new
    assert access.with_former(new, "") == new
    # A third password: the first one is gone.
    third = access.application({**SHOP, "password": "third"}).line()
    assert access.with_former(third, both).count(" #") == 2
    assert old.split(" ")[3] not in access.with_former(third, both)


def test_the_administrator_and_users_that_are_off_have_no_former_password() -> None:
    old, new = access.administrator("old").line(), access.administrator("new").line()
    assert access.with_former(new, old) == new
    assert access.with_former(access.default_user(""), access.default_user("legacy")) == access.default_user("")
    assert access.with_former(access.application(SHOP).line(), "user shop off #" + "a" * 64) == (
        access.application(SHOP).line()
    )


def test_the_order_in_which_an_old_server_tells_commands_does_not_matter() -> None:
    one = "user shop on #1 ~shop:* resetchannels +@all -flushall -keys"
    other = "user shop on #1 ~shop:* resetchannels +@all -keys -flushall"
    assert access.ordered(one) == access.ordered(other)
    assert access.ordered(one) != access.ordered(one.replace(" +@all", " -@all"))
    assert access.ordered(one) != access.ordered(one.replace("~shop:*", "~*"))


class Scripted:
    """Answers ACL DRYRUN: *allowed* may run."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def ask(self, *words: str) -> str:
        if words[3] == "NOSUCH":
            raise Refused("ERR Command 'NOSUCH' not found")
        return "OK" if words[3] in self.allowed else f"no permissions to run {words[3]}"


@pytest.mark.parametrize(
    ("must_run", "reasons"),
    [
        (["PING", "SET shop:1 'a b'"], []),
        (["PING", "FLUSHALL"], ["FLUSHALL: no permissions to run FLUSHALL"]),
        (["NOSUCH x"], ["NOSUCH: ERR Command 'NOSUCH' not found"]),
    ],
)
def test_what_a_user_cannot_do_without_is_asked_of_a_server(must_run: list[str], reasons: list[str]) -> None:
    scripted = t.cast(Connection, Scripted("PING", "SET"))
    assert access.locked_out(scripted, "shop", must_run) == reasons
