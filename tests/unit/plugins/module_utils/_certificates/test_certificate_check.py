# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service may get: every way in which a certificate can be wrong is told, with what was expected and found."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._certificates.check import (
    Material,
    Wanted,
    check,
    covered,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput

from .conftest import NOW, Issued, issue, pem_of


def checked(chain: str, key: str, authority: str = "", names: t.Sequence[str] = (), least_days: int = 14) -> str:
    """Returns what is wrong, empty when nothing is."""
    try:
        found = check(Material(chain, key, authority), Wanted(names, least_days), NOW, "shop")
    except BadInput as error:
        assert "PRIVATE" not in str(error)
        return str(error)
    assert found[0].text.strip() in chain
    return ""


def test_a_chain_in_order_with_its_key_and_authority_is_good(root: Issued, between: Issued, leaf: Issued) -> None:
    chain = leaf.certificate + between.certificate
    assert checked(chain, leaf.key, root.certificate, ["shop.example.com", "v1.api.example.com"]) == ""
    # A chain may carry its root, and may be told without an authority.
    assert checked(chain + root.certificate, leaf.key, root.certificate) == ""
    assert checked(chain, leaf.key) == ""


def test_the_key_of_another_certificate_is_refused(between: Issued, leaf: Issued) -> None:
    assert "key of shop does not belong" in checked(leaf.certificate, issue("other").key)
    # The most common mistake has words of its own: the chain begins with the issuer.
    told = checked(between.certificate + leaf.certificate, leaf.key)
    assert "the key of CN=shop: the chain must begin with it" in told


@pytest.mark.parametrize(
    ("begins", "ends", "told"),
    [
        (-10, -1, "has expired on 2026-11-29 12:00 UTC"),
        (1, 90, "is not valid before 2026-12-01 12:00 UTC"),
        (-10, 13, "expires on 2026-12-13 12:00 UTC, in 13 days"),
        (-10, 14, "expires on 2026-12-14 12:00 UTC, in 14 days"),
        (-10, 15, ""),
    ],
)
def test_time_is_told_with_its_date(begins: int, ends: int, told: str) -> None:
    one = issue("shop", begins=begins, ends=ends)
    found = checked(one.certificate, one.key)
    assert told in found if told else not found


def test_an_issuer_that_expires_counts_as_well(root: Issued) -> None:
    short = issue("Between", by=root, ends=3)
    one = issue("shop", by=short)
    assert "found: CN=Between" in checked(one.certificate + short.certificate, one.key)


def test_a_chain_that_is_not_in_order_is_refused(root: Issued, between: Issued, leaf: Issued) -> None:
    told = checked(leaf.certificate + root.certificate + between.certificate, leaf.key)
    assert "certificate 1 was not issued by the one after it" in told
    assert "expected: the certificate of CN=Between behind CN=shop" in told
    # The same name is not enough: the signature counts.
    namesake = issue("Between", by=root)
    assert "not in order" in checked(leaf.certificate + namesake.certificate, leaf.key)


def test_another_authority_is_refused(between: Issued, leaf: Issued) -> None:
    told = checked(leaf.certificate + between.certificate, leaf.key, issue("Root").certificate)
    assert "authority of shop has not issued its chain" in told


def test_names_that_are_not_covered_are_told(leaf: Issued) -> None:
    told = checked(leaf.certificate, leaf.key, names=["shop.example.com", "www.example.com", "192.0.2.8"])
    assert "is not about www.example.com, 192.0.2.8" in told
    assert re.search(r"found: shop\.example\.com, \*\.api", told)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("shop.example.com", True),
        ("SHOP.example.com.", True),
        ("v1.api.example.com", True),
        ("a.b.api.example.com", False),
        ("api.example.com", False),
        ("192.0.2.7", True),
        ("fd00:0::7", True),
        ("192.0.2.9", False),
        ("com", False),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, good: bool) -> None:
    assert covered(name, ["shop.example.com", "*.api.example.com", "192.0.2.7", "fd00::7", "*.com"]) is good


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        ("", "no certificate in the chain of shop"),
        ("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", "Certificate 1 of the chain"),
    ],
)
def test_what_is_no_certificate_is_told(chain: str, told: str, leaf: Issued) -> None:
    assert told in checked(chain, leaf.key)


def test_what_is_no_key_is_told_without_it(leaf: Issued) -> None:
    assert "cannot be read" in checked(leaf.certificate, "-----BEGIN PRIVATE KEY-----\nhunter2\n")
    assert "protected by a password" in checked(leaf.certificate, pem_of(leaf.private, b"hunter2"))
