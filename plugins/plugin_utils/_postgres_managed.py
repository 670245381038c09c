# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server that nobody can log in to by SSH is what an application needs. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import amounts


def problems(
    login: t.Mapping[str, t.Any],
    told: t.Mapping[str, t.Any],
    least_version: int,
    least: t.Mapping[str, t.Any],
) -> list[str]:
    """Returns a message for everything that is too old, too small, unencrypted, or not allowed.

    *login* is the connection (host, user, sslmode), *told* what the server answered: version (such as 170006), tls,
    superuser, may_create_roles, may_create_databases, and settings ({name: [setting, unit, vartype]}).
    """
    where = f"{login['host']} as {login['user']}"
    found = []
    version = int(told["version"]) // 10000
    if version < least_version:
        found.append(
            _refused("PostgreSQL is too old.", f"version {least_version} or newer", f"version {version}", where)
        )
    if login.get("sslmode") in ("require", "verify-ca", "verify-full") and not told["tls"]:
        found.append(_refused("The connection is not encrypted.", f"TLS ({login['sslmode']})", "no TLS", where))
    for right, key in (("CREATEROLE", "may_create_roles"), ("CREATEDB", "may_create_databases")):
        if not told["superuser"] and not told[key]:
            found.append(_refused(f"{login['user']} may not do what is asked.", right, f"NO{right}", where))
    for name, wanted in least.items():
        row = told["settings"].get(name)
        if row is None:
            found.append(_refused(f"The server does not tell its setting {name}.", str(wanted), "nothing", where))
        elif not amounts.at_least(wanted, *row):
            has = f"{row[0]}{' x ' + row[1] if row[1] else ''}"
            found.append(
                _refused(
                    f"{name} is too small.",
                    f"{wanted} or more",
                    has,
                    where,
                    "change the server's parameter group or plan",
                )
            )
    return found


def _refused(what: str, expected: str, found: str, where: str, next_step: str | None = None) -> str:
    return str(RolloutError(what, expected=expected, found=found, where=where, next_step=next_step))
