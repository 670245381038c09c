# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SCRAM-SHA-256 verifiers, so that a server never sees, and never logs, a password. Pure but for the salt. PRIVATE.

The text is what PostgreSQL keeps in pg_authid (RFC 5803, RFC 7677); a password is prepared as RFC 4013 says, and is
taken as it is where that is not possible, which is what libpq does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import stringprep
import unicodedata

_ITERATIONS = 4096  # PostgreSQL's own (scram_iterations)
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def verifier(password: str, salt: bytes) -> str:
    """Returns what a server keeps of *password*."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password).encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _prepared(password: str) -> str:
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(one) else one for one in password if not stringprep.in_table_b1(one)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    left = [stringprep.in_table_d1(one) for one in normal]
    mixed = any(left) and (any(map(stringprep.in_table_d2, normal)) or not (left[0] and left[-1]))
    bad = not normal or mixed or any(table(one) for one in normal for table in _PROHIBITED)
    return password if bad else normal


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
