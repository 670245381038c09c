# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for tests: an authority, an issuer between, and what they sign, with any dates and names."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.timezone.utc)


class Issued(t.NamedTuple):
    """A certificate and its key, as PEM texts and as the library knows them."""

    certificate: str
    key: str
    parsed: x509.Certificate
    private: ec.EllipticCurvePrivateKey


def issue(
    subject: str, by: Issued | None = None, names: t.Sequence[str] = (), begins: int = -1, ends: int = 90
) -> Issued:
    """Returns a certificate that is good from *begins* to *ends* days after NOW, signed by *by* or by its own key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by.parsed.subject if by else name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=begins))
        .not_valid_after(NOW + datetime.timedelta(days=ends))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
    parsed = builder.sign(by.private if by else private, hashes.SHA256())
    return Issued(
        parsed.public_bytes(serialization.Encoding.PEM).decode(),
        pem_of(private),
        parsed,
        private,
    )


def pem_of(private: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    """Returns the key as a PEM text, protected by *password* when there is one."""
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@pytest.fixture(scope="session")
def root() -> Issued:
    return issue("Root", ends=3650)


@pytest.fixture(scope="session")
def between(root: Issued) -> Issued:
    return issue("Between", by=root, ends=1000)


@pytest.fixture(scope="session")
def leaf(between: Issued) -> Issued:
    return issue("shop", by=between, names=["shop.example.com", "*.api.example.com", "192.0.2.7", "fd00::7"])
