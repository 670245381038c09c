# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates of a lab: a client key for SSH, and a certificate authority for its registry."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import run

from .paths import write_private

_DAYS = "3650"
_AUTHORITY = """
[req]
distinguished_name = name
prompt = no
x509_extensions = extensions
[name]
CN = vitalops lab authority
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
_SERVER = """
[req]
distinguished_name = name
prompt = no
x509_extensions = extensions
[name]
CN = {host}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:{host}, DNS:{host}.{domain}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def ensure_client_key(folder: Path) -> str:
    """Makes the SSH key of the lab if there is none. Returns its public half."""
    key = folder / "id_ed25519"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vitalops-lab", "-f", str(key)], deadline=20)
    return key.with_suffix(".pub").read_text(encoding="utf-8")


def ensure_authority(folder: Path, host: str, domain: str) -> None:
    """Makes ca.pem, ca.key, and <host>.pem, <host>.key signed by it (both names), unless they are there."""
    if (folder / f"{host}.pem").exists():
        return
    _certificate(folder, "ca", _AUTHORITY, [])
    signer = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key")]
    _certificate(folder, host, _SERVER.format(host=host, domain=domain), signer)


def _certificate(folder: Path, name: str, configuration: str, signer: list[str]) -> None:
    key = folder / f"{name}.key"
    write_private(key, "")  # openssl keeps the mode of a file that is there already
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    certificate = ["-days", _DAYS, *signer, "-out", str(folder / f"{name}.pem")]
    run(
        ["openssl", "req", "-x509", "-config", "/dev/stdin", *new_key, *certificate],
        deadline=20,
        standard_input=configuration,
    )


def password_file(user: str, password: str) -> str:
    """Returns an htpasswd line; the password reaches openssl by standard input."""
    salted = run(["openssl", "passwd", "-6", "-stdin"], deadline=20, standard_input=password + "\n").output.strip()
    return f"{user}:{salted}\n"
