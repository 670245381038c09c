# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters postgres_url, redis_url and server_authorities: a connection is described once, whatever its password is."""

from __future__ import annotations

import base64
import typing as t
import urllib.parse

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.postgres_url import postgres_url
from ansible_collections.vitalops.rollout.plugins.filter.redis_url import redis_url
from ansible_collections.vitalops.rollout.plugins.filter.secret_values import secret_values
from ansible_collections.vitalops.rollout.plugins.filter.server_authorities import server_authorities

DATABASE = {"host": "db1", "port": 5433, "name": "shop", "user": "shop", "password": "p@ss:w/rd %?#"}
TLS = {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/rollout/postgres.crt"}
REDIS = {"host": "cache1", "password": "p@ss:w/rd %?#"}


def test_whatever_is_in_a_password_it_is_read_as_it_was_written_and_masked() -> None:
    told = urllib.parse.urlsplit(postgres_url(DATABASE))
    assert (told.scheme, told.hostname, told.port, told.path, told.query) == ("postgresql", "db1", 5433, "/shop", "")
    assert [urllib.parse.unquote(one or "") for one in (told.username, told.password)] == ["shop", "p@ss:w/rd %?#"]
    assert DATABASE["password"] in secret_values({"DATABASE_URL": postgres_url(DATABASE)})


def test_tls_is_a_part_of_the_connection() -> None:
    plain, secured = postgres_url(DATABASE), postgres_url({**DATABASE, **TLS})
    assert secured == f"{plain}?sslmode=verify-full&sslrootcert=/etc/ssl/rollout/postgres.crt"


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"host": "db1"}, "postgresql://db1:5432/"),
        ({"host": "fd00::1", "name": "a b", "user": "me"}, "postgresql://me@[fd00::1]:5432/a%20b"),
    ],
)
def test_what_is_not_told_is_as_usual(told: dict[str, t.Any], wanted: str) -> None:
    assert postgres_url(told) == wanted


@pytest.mark.parametrize(
    ("more", "options", "wanted"),
    [
        ({}, {}, "redis://:p%40ss%3Aw%2Frd%20%25%3F%23@cache1:6379/0"),
        ({"password": None, "port": 6380, "tls": True}, {"database": 2}, "rediss://cache1:6380/2"),
        ({"password": "x", "user": "shop", "tls": True, "ca_path": "/ca"}, {}, "rediss://shop:x@cache1:6379/0"),
        (
            {"password": "x", "tls": True, "ca_path": "/ca"},
            {"authority": "ssl_ca_certs"},
            "rediss://:x@cache1:6379/0?ssl_ca_certs=/ca",
        ),
        # Without TLS nobody asks for an authority.
        ({"password": "x", "ca_path": "/ca"}, {"authority": "ssl_ca_certs"}, "redis://:x@cache1:6379/0"),
    ],
)
def test_redis_has_a_scheme_for_tls(more: dict[str, t.Any], options: dict[str, t.Any], wanted: str) -> None:
    assert redis_url({**REDIS, **more}, **options) == wanted


@pytest.mark.parametrize("make", [postgres_url, redis_url])
@pytest.mark.parametrize("told", [{}, {"password": "hunter2"}, "hunter2"])
def test_without_a_host_there_is_no_url_and_no_secret_is_repeated(make: t.Any, told: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="with host") as refused:
        make(told)
    assert "hunter2" not in str(refused.value)


def slurped(text: str) -> dict[str, t.Any]:
    return {"read": {"content": base64.b64encode(text.encode()).decode()}}


def test_clients_trust_all_servers_and_each_authority_once() -> None:
    hostvars = {"db1": slurped("one\n"), "db2": slurped("two"), "db3": slurped("one"), "db4": {}, "db5": {"read": {}}}
    assert server_authorities(hostvars, list(hostvars), "read") == "one\ntwo\n"
    assert server_authorities(hostvars, ["db4", "db5"], "read") == ""
    assert server_authorities(hostvars, [], "read") == ""


def test_what_is_no_answer_of_a_server_is_told_by_its_name() -> None:
    with pytest.raises(AnsibleFilterError, match="read of db1"):
        server_authorities({"db1": {"read": {"content": "x"}}}, ["db1"], "read")
