# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access rules of PostgreSQL (pg_hba.conf) from data, and whom they would lock out. Pure. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import re
import typing as t

HEADER = "# Managed by the role postgres. The first line that fits decides; who fits none is rejected."
LOOPBACK = ("127.0.0.1/32", "::1/128")
_KEYWORDS = ("all", "sameuser", "samerole", "replication")
_NAME = re.compile(r"\+?[A-Za-z_][A-Za-z0-9_.-]{0,62}")


class Login(t.NamedTuple):
    """A login that must stay possible, by password."""

    database: str
    user: str
    network: str


def logins(
    databases: t.Sequence[t.Mapping[str, t.Any]], users: t.Sequence[t.Mapping[str, t.Any]], networks: t.Sequence[str]
) -> list[Login]:
    """Returns who must be let in: owners and users, to their databases, from the host itself and from *networks*."""
    pairs = [(one["name"], one["owner"]) for one in databases]
    pairs += [(database, user["name"]) for user in users for database in user.get("databases") or []]
    return [Login(*pair, network) for pair in dict.fromkeys(pairs) for network in (*LOOPBACK, *networks)]


def lines(rules: t.Sequence[t.Mapping[str, t.Any]], wanted: t.Sequence[Login], tls: bool) -> list[str]:
    """Returns the lines of pg_hba.conf: the superuser on the host, the *rules*, who is *wanted*, and nobody else.

    With *tls* the generated lines take TLS connections only, except from the host itself.
    """
    text = [HEADER, 'local all "postgres" peer', 'local replication "postgres" peer']
    text += [line for rule in rules for line in _lines(rule)]
    for login in wanted:
        kind = "hostssl" if tls and login.network not in LOOPBACK else "host"
        text.append(f'{kind} "{login.database}" "{login.user}" {login.network} scram-sha-256')
    return [*text, "local all all reject", "host all all all reject"]


def problems(rules: t.Sequence[t.Mapping[str, t.Any]], wanted: t.Sequence[Login]) -> list[str]:
    """Returns what is wrong with *rules*: names that are none, and logins that must work and would be refused."""
    found = []
    for number, rule in enumerate(rules, 1):
        for name in (*rule["databases"], *rule["users"]):
            if not _NAME.fullmatch(str(name)):
                found.append(f"postgres_access_rules, rule {number}: {name!r} is no name of a database or role.")
        if (rule["type"] == "local") == bool(rule.get("networks")):
            found.append(f"postgres_access_rules, rule {number}: type local has no networks, all others need some.")
        if rule["type"] == "local" and "postgres" in rule["users"]:
            found.append(
                f"postgres_access_rules, rule {number} would lock the role itself out: it and its operators log "
                "in as postgres over the socket, by peer. Leave postgres out of rules of type local."
            )
    if found:
        return found
    for login in wanted:
        first = next((number for number, rule in enumerate(rules, 1) if _decides(rule, login)), None)
        if first is not None and rules[first - 1]["method"] == "reject":
            found.append(
                f"postgres_access_rules, rule {first} would lock {login.user} out of {login.database} from "
                f"{login.network}. Expected: owners and users of postgres_databases and postgres_users are let in. "
                "Narrow its users, databases or networks, or put a rule that lets them in before it."
            )
    return list({message.split(" from ")[0]: message for message in found}.values())


def _decides(rule: t.Mapping[str, t.Any], login: Login) -> bool:
    """Returns whether *rule* is about all of *login*'s network; hostssl and hostnossl leave the other way open."""
    if rule["type"] != "host":
        return False
    return (
        _fits(rule["databases"], login.database, same=login.user)
        and _fits(rule["users"], login.user)
        and any(_covers(network, login.network) for network in rule.get("networks") or [])
    )


def _fits(names: t.Sequence[str], name: str, same: str | None = None) -> bool:
    return "all" in names or name in names or ("sameuser" in names and name == same)


def _covers(network: str, other: str) -> bool:
    if network == "all":
        return True
    try:
        one, two = ipaddress.ip_network(network, strict=False), ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False  # the server itself refuses what is no network
    return one.version == two.version and two.subnet_of(t.cast(t.Any, one))


def _lines(rule: t.Mapping[str, t.Any]) -> list[str]:
    options = " ".join(f'{name}="{value}"' for name, value in sorted((rule.get("options") or {}).items()))
    parts = [_names(rule["databases"]), _names(rule["users"])]
    return [
        " ".join(filter(None, (rule["type"], *parts, network, rule["method"], options)))
        for network in rule.get("networks") or [""]
    ]


def _names(names: t.Sequence[str]) -> str:
    return ",".join(
        name if name in _KEYWORDS else f'+"{name[1:]}"' if name.startswith("+") else f'"{name}"' for name in names
    )
