# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several modules of Redis take, as argument specifications; documented in doc_fragments/redis.py. PRIVATE."""

from __future__ import annotations

import typing as t

Specification = dict[str, t.Any]

NEEDED: Specification = {"type": "str", "required": True}
TEXT: Specification = {"type": "str", "default": ""}
NUMBER: Specification = {"type": "int", "required": True}
WORDS: Specification = {"type": "list", "elements": "str", "default": []}
SECRET: Specification = {**NEEDED, "no_log": True}
#: A secret that may be left out.
SECRET_OR_NONE: Specification = {**TEXT, "no_log": True}

SERVER: Specification = {"server": {"type": "str", "choices": ["redis", "valkey"], "default": "redis"}}
#: The connection of a set, or of one server elsewhere.
TLS: Specification = {"tls": {"type": "bool", "default": False}, "ca_path": {"type": "path", "default": ""}}
SET: Specification = {
    "address": NEEDED,
    "primary_address": NEEDED,
    "peer_addresses": WORDS,
    "sentinel_addresses": WORDS,
    "set_name": {"type": "str", "default": "primary"},
    **TLS,
}


def records(**options: Specification) -> Specification:
    """Returns the specification of a list of records with these *options*."""
    return {"type": "list", "elements": "dict", "default": [], "options": options}


USERS: Specification = {
    "users": records(
        name=NEEDED,
        password=SECRET,
        keys={"type": "list", "elements": "str", "default": ["*"], "no_log": False},
        channels=WORDS,
        commands=WORDS,
        must_run=WORDS,
    )
}


def port(number: int) -> Specification:
    """Returns the specification of a port with its default *number*."""
    return {"type": "int", "default": number}
