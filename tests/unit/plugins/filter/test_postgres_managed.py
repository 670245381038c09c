# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers without SSH: a refusal names what is too small, and a password never travels in a statement."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.postgres_managed_problems import postgres_managed_problems
from ansible_collections.vitalops.rollout.plugins.filter.postgres_verifier import postgres_verifier
from ansible_collections.vitalops.rollout.plugins.plugin_utils._postgres_verifier import verifier

LOGIN = {"host": "db.example.org", "user": "administrator", "password": "hunter2", "sslmode": "verify-full"}
TOLD = {
    "version": "170006",
    "tls": True,
    "superuser": False,
    "may_create_roles": True,
    "may_create_databases": True,
    "settings": {"max_connections": ["100", None, "integer"], "shared_buffers": ["16384", "8kB", "integer"]},
}


def refused(
    told: dict[str, t.Any], least: dict[str, t.Any] | None = None, login: dict[str, t.Any] | None = None
) -> str:
    return "\n".join(postgres_managed_problems({**TOLD, **told}, login or LOGIN, 15, least or {}))


def test_a_server_that_will_do_is_taken() -> None:
    assert refused({}, {"max_connections": 100, "shared_buffers": "128MB"}) == ""


@pytest.mark.parametrize(
    ("told", "least", "parts"),
    [
        ({"version": "140012"}, {}, ("too old", "expected: version 15 or newer", "found: version 14")),
        ({"tls": False}, {}, ("not encrypted", "verify-full", "no TLS")),
        ({"may_create_roles": False}, {}, ("expected: CREATEROLE",)),
        ({"may_create_databases": False}, {}, ("expected: CREATEDB",)),
        ({}, {"max_connections": 200}, ("max_connections is too small", "expected: 200 or more", "found: 100")),
        ({}, {"shared_buffers": "4GB"}, ("shared_buffers is too small", "found: 16384 x 8kB", "parameter group")),
        ({}, {"wrok_mem": "4MB"}, ("does not tell its setting wrok_mem",)),
    ],
)
def test_a_refusal_names_what_is_too_small(
    told: dict[str, t.Any], least: dict[str, t.Any], parts: tuple[str, ...]
) -> None:
    message = refused(told, least)
    for part in (*parts, "where: db.example.org as administrator"):
        assert part in message
    assert "hunter2" not in message


def test_without_tls_asked_for_none_is_needed_and_a_superuser_may_do_everything() -> None:
    told = {"tls": False, "superuser": True, "may_create_roles": False, "may_create_databases": False}
    assert refused(told, login={**LOGIN, "sslmode": "prefer"}) == ""


def test_a_verifier_is_the_one_that_rfc_7677_makes() -> None:
    # The example of RFC 7677, section 3: user "user", password "pencil"; its proofs verify with these keys.
    salt = bytes.fromhex("5b6d99689d12358eec a04b14123 6fa81".replace(" ", ""))
    assert verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_each_verifier_has_a_salt_of_its_own() -> None:
    one, two = postgres_verifier("hunter2"), postgres_verifier("hunter2")
    assert one != two
    assert one.startswith("SCRAM-SHA-256$4096:") and "hunter2" not in one


@pytest.mark.parametrize(
    ("typed", "prepared"), [("I\u00adX", "IX"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")]
)
def test_passwords_are_prepared_as_rfc_4013_says(typed: str, prepared: str) -> None:
    assert verifier(typed, b"salt") == verifier(prepared, b"salt")


@pytest.mark.parametrize("typed", ["\u0627\u0031", "\u0007\u00e9"])
def test_passwords_that_cannot_be_prepared_are_taken_as_they_are(typed: str) -> None:
    assert verifier(typed, b"salt").startswith("SCRAM-SHA-256$4096:")


@pytest.mark.parametrize("password", ["", 5, None])
def test_what_is_no_password_is_refused(password: t.Any) -> None:
    with pytest.raises(AnsibleFilterError, match="expected a password"):
        postgres_verifier(password)


def test_input_of_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected an answer and a login"):
        postgres_managed_problems({}, LOGIN, 15, {})
