# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that an inventory describes once, as a URL for an application. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
import urllib.parse

Fields = t.Mapping[str, t.Any]


def url(scheme: str, told: Fields, port: int, path: str, query: t.Mapping[str, t.Any]) -> str:
    """Returns a URL out of *told*: host, and where given port, user and password; values of *query* may be None.

    Raises KeyError without a host. Whatever is in a name or a password, it is read as it was written.
    """
    host = str(told["host"])
    place = f"[{host}]" if ":" in host else host
    user, password = (_quoted(told.get(key)) for key in ("user", "password"))
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    asked = {key: value for key, value in query.items() if value}
    # Paths of files stay readable.
    parameters = urllib.parse.urlencode(asked, safe="/", quote_via=urllib.parse.quote)
    return f"{scheme}://{login}{place}:{told.get('port') or port}/{path}{'?' if parameters else ''}{parameters}"


def postgres(told: Fields) -> str:
    """Returns the URL of *told*: host, port, name, user, password, sslmode, sslrootcert."""
    query = {key: told.get(key) for key in ("sslmode", "sslrootcert")}
    return url("postgresql", told, 5432, _quoted(told.get("name")), query)


def redis(told: Fields, database: int, authority: str) -> str:
    """Returns the URL of *told*: host, port, user, password, tls, ca_path.

    Clients do not agree on how a URL names a file of authorities; *authority* is the name of that parameter.
    """
    tls = bool(told.get("tls"))
    query = {authority: told.get("ca_path")} if tls and authority else {}
    return url("rediss" if tls else "redis", told, 6379, str(database), query)


def _quoted(text: t.Any) -> str:
    return "" if text is None else urllib.parse.quote(str(text), safe="")
