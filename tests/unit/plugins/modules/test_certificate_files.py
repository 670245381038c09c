# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module certificate_files, run as a program the way Ansible runs it."""

from __future__ import annotations

import datetime
import getpass
import grp
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.tests.unit.plugins.modules import as_ansible
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    """A certificate that is good for 60 days, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=60))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def run(folder: Path, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
    own = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    given = {"folder": str(folder), "name": "shop", **own, **arguments, "_ansible_check_mode": check}
    told, written = as_ansible.run("certificate_files", given)
    assert "PRIVATE KEY" not in written
    return told


def test_files_come_once_and_the_difference_is_told_in_words(tmp_path: Path, pair: tuple[str, str]) -> None:
    chain, key = pair
    planned = run(tmp_path, check=True, chain=chain, key=key, combined=True)
    assert planned["changed"]
    assert list(tmp_path.iterdir()) == []
    done = run(tmp_path, chain=chain, key=key, combined=True)
    assert done["changed"]
    assert done["diff"]["before"] == {}
    assert done["diff"]["after"]["subject"] == "CN=shop"
    assert Path(done["files"]["pem"]).read_text() == chain + key
    # It is its own authority: clients trust it itself.
    assert Path(done["files"]["ca"]).read_text() == chain
    assert not run(tmp_path, chain=chain, key=key, combined=True)["changed"]


def test_a_refusal_changes_nothing(tmp_path: Path, pair: tuple[str, str]) -> None:
    chain, key = pair
    run(tmp_path, chain=chain, key=key)
    refused = run(tmp_path, chain=chain, key=key, least_days=90)
    assert refused["failed"]
    assert "in 59 days" in refused["msg"]
    assert not run(tmp_path, chain=chain, key=key)["changed"]


def test_in_check_mode_what_is_not_made_yet_is_a_change(tmp_path: Path) -> None:
    sources = {"chain_path": str(tmp_path / "chain.pem"), "key_path": str(tmp_path / "key.pem")}
    assert run(tmp_path, check=True, **sources)["changed"]
    assert "not on the host" in run(tmp_path, **sources)["msg"]


def test_in_check_mode_what_will_be_made_anew_is_a_change(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name, text in zip(("chain", "key"), pair, strict=True):
        (tmp_path / f"{name}.pem").write_text(text)
    (tmp_path / "authority.pem").write_text(pair[0])
    made = {f"{name}_path": str(tmp_path / f"{name}.pem") for name in ("chain", "key", "authority")}
    assert run(tmp_path, check=True, **made)["certificate"]
    planned = run(tmp_path, check=True, least_days=90, **made)
    assert (planned["changed"], "certificate" in planned) == (True, False)
    assert "in 59 days" in run(tmp_path, least_days=90, **made)["msg"]
    # Who would be refused in a run is refused in a check of it.
    assert "in 59 days" in run(tmp_path, check=True, least_days=90, chain=pair[0], key=pair[1])["msg"]


def test_clients_trust_the_authority_that_lies_on_the_host(tmp_path: Path, pair: tuple[str, str]) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_text(pair[0])
    done = run(tmp_path, chain=pair[0], key=pair[1], authority_path=str(authority))
    assert Path(done["files"]["ca"]).read_text() == pair[0]


def test_an_owner_that_does_not_exist_is_told(tmp_path: Path, pair: tuple[str, str]) -> None:
    chain, key = pair
    assert "nobody-at-all" in run(tmp_path, chain=chain, key=key, owner="nobody-at-all")["msg"]


@pytest.mark.parametrize("name", ["../shop", ".shop", "shop/x", ""])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, pair: tuple[str, str], name: str) -> None:
    chain, key = pair
    assert "part of a path" in run(tmp_path, chain=chain, key=key, name=name)["msg"]
