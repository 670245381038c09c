# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PEM texts hold: certificates and their key, read with the library cryptography. PRIVATE to the collection.

Works with cryptography 38 (Debian 12) and newer ones. No error repeats any of a key.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from .._foundation.errors import BadInput, CommandFailed

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Certificate(t.NamedTuple):
    """One certificate. *names*: DNS names and IP addresses; times are in UTC; *public_key* is DER, *text*
    PEM, *parsed* the library's."""

    subject: str
    issuer: str
    names: list[str]
    not_before: datetime.datetime
    not_after: datetime.datetime
    public_key: bytes
    fingerprint: str
    text: str
    parsed: t.Any


def certificates(text: str, where: str) -> list[Certificate]:
    """Returns the certificates in *text*, in its order. Raises BadInput naming *where* they were expected."""
    found = []
    for number, block in enumerate(_BLOCK.findall(text), start=1):
        try:
            found.append(_certificate(block))
        except ValueError as error:
            raise BadInput(
                f"Certificate {number} of {where} cannot be read.",
                expected="a certificate in PEM format",
                found=str(error),
            ) from error
    if not found:
        raise BadInput(
            f"There is no certificate in {where}.",
            expected="one or more blocks that begin with -----BEGIN CERTIFICATE-----",
            found="nothing" if not text.strip() else "a text without such a block",
        )
    return found


def key_of(text: str, where: str) -> bytes:
    """Returns the public half, as DER, of the private key in *text*. Raises BadInput naming *where* it was expected."""
    serialization = _library().hazmat.primitives.serialization
    try:
        key = serialization.load_pem_private_key(text.encode("utf-8"), password=None)
    except TypeError as error:
        raise BadInput(
            f"The key of {where} is protected by a password: no service could start with it after a boot.",
            expected="a private key without one",
            next_step="openssl pkey -in KEY -out KEY.plain, kept in the vault of the inventory",
        ) from error
    except Exception as error:  # the library's errors are many, and some of them quote their input
        raise BadInput(
            f"The key of {where} cannot be read.",
            expected="a private key in PEM format",
            found=f"{type(error).__name__} (the text is not shown)",
        ) from None
    return _der(key.public_key())


def issued_by(child: Certificate, parent: Certificate) -> bool:
    """Returns whether *parent* signed *child*."""
    if child.parsed.issuer != parent.parsed.subject:
        return False
    library = _library()
    primitives = library.hazmat.primitives.asymmetric
    key, signature, signed = parent.parsed.public_key(), child.parsed.signature, child.parsed.tbs_certificate_bytes
    algorithm = child.parsed.signature_hash_algorithm
    try:
        if hasattr(child.parsed, "verify_directly_issued_by"):
            child.parsed.verify_directly_issued_by(parent.parsed)
        elif isinstance(key, primitives.rsa.RSAPublicKey):
            key.verify(signature, signed, primitives.padding.PKCS1v15(), algorithm)
        elif isinstance(key, primitives.ec.EllipticCurvePublicKey):
            key.verify(signature, signed, primitives.ec.ECDSA(algorithm))
        else:
            key.verify(signature, signed)
    except (library.exceptions.InvalidSignature, ValueError, TypeError):
        return False
    return True


def _certificate(block: str) -> Certificate:
    library = _library()
    parsed = library.x509.load_pem_x509_certificate(block.encode("utf-8"))
    return Certificate(
        subject=parsed.subject.rfc4514_string(),
        issuer=parsed.issuer.rfc4514_string(),
        names=_names(parsed),
        not_before=_moment(parsed, "not_valid_before"),
        not_after=_moment(parsed, "not_valid_after"),
        public_key=_der(parsed.public_key()),
        fingerprint=parsed.fingerprint(library.hazmat.primitives.hashes.SHA256()).hex(),
        text=block,
        parsed=parsed,
    )


def _names(parsed: t.Any) -> list[str]:
    x509 = _library().x509
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    return names + [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]


def _moment(parsed: t.Any, name: str) -> datetime.datetime:
    """The attributes with a time zone came with cryptography 42, the ones without are deprecated since."""
    aware = getattr(parsed, f"{name}_utc", None) or getattr(parsed, name).replace(tzinfo=datetime.timezone.utc)
    return t.cast("datetime.datetime", aware)


def _der(public_key: t.Any) -> bytes:
    serialization = _library().hazmat.primitives.serialization
    encoded: bytes = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _library() -> t.Any:
    """Returns the package cryptography; the role installs it, and a host of another role may not have it."""
    try:
        import cryptography.exceptions  # noqa: PLC0415
        import cryptography.hazmat.primitives.asymmetric.ec  # noqa: PLC0415
        import cryptography.hazmat.primitives.asymmetric.padding  # noqa: PLC0415
        import cryptography.hazmat.primitives.asymmetric.rsa  # noqa: PLC0415
        import cryptography.hazmat.primitives.hashes  # noqa: PLC0415
        import cryptography.hazmat.primitives.serialization  # noqa: PLC0415
        import cryptography.x509  # noqa: PLC0415
    except ImportError as error:
        raise CommandFailed(
            "Certificates cannot be read on this host.",
            expected="the Python library cryptography",
            found=str(error),
            next_step="apt-get install python3-cryptography",
        ) from error
    return cryptography
