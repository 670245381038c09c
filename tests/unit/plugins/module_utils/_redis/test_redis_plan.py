# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Redis: what becomes a line of its file, what differs, and what needs a restart."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import plan, settings, trial

ADDRESS = "127.0.0.1"


@pytest.mark.parametrize(
    ("directives", "text"),
    [
        ({"timeout": 300}, "timeout 300\n"),
        ({"appendonly": True, "aof-use-rdb-preamble": False}, "aof-use-rdb-preamble no\nappendonly yes\n"),
        ({"save": ["900 1", "300 10", "60 10000"]}, 'save ""\nsave 900 1 300 10 60 10000\n'),
        ({"save": "900 1 300 10"}, 'save ""\nsave 900 1 300 10\n'),
        ({"save": ""}, 'save ""\n'),
        (
            {"client-output-buffer-limit": ["normal 0 0 0", "pubsub 32mb 8mb 60"]},
            "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit pubsub 32mb 8mb 60\n",
        ),
        ({"requirepass": 'a "b" c'}, 'requirepass "a \\"b\\" c"\n'),
        ({"logfile": ""}, 'logfile ""\n'),
    ],
)
def test_a_directive_is_written_as_redis_reads_it(directives: dict[str, t.Any], text: str) -> None:
    assert plan.text_of(directives) == text


@pytest.mark.parametrize(
    ("value", "told"), [(True, "yes"), (300, "300"), ("", ""), (["900 1", "300 10"], "900 1 300 10")]
)
def test_a_value_is_compared_as_redis_tells_it(value: t.Any, told: str) -> None:
    assert plan.words(value) == told


@pytest.mark.parametrize("directives", [{"timeout": "1\nrequirepass x"}, {"time out": 1}, {"": "x"}])
def test_a_directive_that_would_be_another_line_is_refused(directives: dict[str, t.Any]) -> None:
    with pytest.raises(BadInput):
        plan.text_of(directives)


RUNNING = {"maxmemory": "268435456", "timeout": "0", "databases": "16", "port": "6379", "aclfile": "", "tls-port": "0"}


@pytest.mark.parametrize(
    ("wanted", "told", "lines"),
    [
        ({}, {}, []),
        ({"maxmemory": "536870912"}, {}, ["maxmemory: 268435456 -> 536870912 (CONFIG SET)"]),
        ({"databases": "32"}, {}, ["databases: 16 -> 32 (restart)"]),
        # A throw-away server has no port: what was told counts.
        ({"port": "0"}, {"port": 6380}, ["port: 6379 -> 6380 (CONFIG SET)"]),
        ({"port": "0", "aclfile": "/tmp/x"}, {"port": 6379}, []),
        ({}, {"aclfile": "/etc/redis/u"}, ['aclfile: "" -> /etc/redis/u (restart)']),
        # A setting that this version of the server does not have.
        ({"io-threads-new": "1"}, {}, []),
    ],
)
def test_only_what_differs_changes_and_only_what_is_fixed_restarts(
    wanted: dict[str, str], told: dict[str, t.Any], lines: list[str]
) -> None:
    found = plan.changes({**RUNNING, **wanted}, RUNNING, told, {"databases", "aclfile"})
    assert [str(change) for change in found] == lines


def test_passwords_are_not_shown() -> None:
    found = plan.changes({"masterauth": "new"}, {"masterauth": "old"}, {}, ())
    assert [str(change) for change in found] == ["masterauth: (not shown) -> (not shown) (CONFIG SET)"]


@pytest.mark.parametrize(
    ("limit", "policy", "used", "found"),
    [
        (512, "noeviction", 100, None),
        (0, "noeviction", 900, None),
        (2048, "noeviction", 1, "more memory than the host"),
        (64, "noeviction", 100, "refuse every write"),
        (64, "allkeys-lru", 100, None),
    ],
)
def test_memory_that_cannot_be_is_refused(limit: int, policy: str, used: int, found: str | None) -> None:
    wanted = {"maxmemory": str(limit * 2**20), "maxmemory-policy": policy}
    info = {"used_memory": str((used + 5) * 2**20), "mem_not_counted_for_evict": str(5 * 2**20)}
    if found is None:
        plan.check_memory(wanted, info, 1024 * 2**20)
        return
    with pytest.raises(BadInput, match=found):
        plan.check_memory(wanted, info, 1024 * 2**20)


def test_a_password_in_a_file_is_read_as_it_was_written() -> None:
    assert plan.unquoted(plan.quoted('pass "word" \\ ü')) == 'pass "word" \\ ü'
    assert plan.unquoted("plain") == "plain"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 4\n"
            ">>> 'requirepass \"secret\" x'\nwrong number of arguments\n",
            "requirepass: wrong number of arguments",
        ),
        (
            "1:M 30 Nov 2026 02:36:55 # WARNING Memory overcommit must be enabled!\n"
            "1:M 30 Nov 2026 02:36:55 # Aborting Redis startup because of ACL errors: x\n",
            "Aborting Redis startup because of ACL errors: x",
        ),
        ("", "it ended without a word"),
    ],
)
def test_the_reason_of_a_server_is_told_without_the_line_that_it_quotes(log: str, reason: str) -> None:
    assert trial.reason(log) == reason


def test_a_throw_away_server_follows_nobody() -> None:
    text = "# replicaof is a comment\nreplica-priority 100\nreplicaof 10.0.0.1 6379\n"
    assert trial.alone(text) == "# replicaof is a comment\nreplica-priority 100\n\n"


def test_a_throw_away_server_reads_the_certificates_that_are_to_come() -> None:
    text = plan.text_of({"tls-cert-file": "/etc/redis/tls/redis.crt", "tls-key-file": "/etc/redis/tls/redis.key"})
    assert trial.moved(text + "tls-port 6380\n", "/new") == {
        "tls-cert-file": "/new/redis.crt",
        "tls-key-file": "/new/redis.key",
    }
    # What the running server must have is the place that it finds them in.
    path = {"tls-cert-file": "/etc/redis/tls/redis.crt"}
    assert plan.changes({"tls-cert-file": "/new/redis.crt"}, path, path, ()) == []
    assert [str(one) for one in plan.changes({}, {"tls-cert-file": ""}, path, ())] == [
        'tls-cert-file: "" -> /etc/redis/tls/redis.crt (CONFIG SET)'
    ]


def test_users_that_changed_are_named_and_shown_without_checksums() -> None:
    digest = "a" * 64
    before = ["user default off", f"user shop on #{digest} ~shop:*"]
    after = ["user default off", f"user shop on #{digest} ~cart:*", "user new on"]
    assert settings.changed_users(before, after) == ["new", "shop"]
    assert settings.shown_user(before[1]) == "user shop on #(password) ~shop:*"
