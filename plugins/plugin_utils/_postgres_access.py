# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access rules of PostgreSQL (pg_hba.conf) from data, and whom they would lock out. Pure. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import typing as t

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

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


def problems(rules: t.Sequence[t.Mapping[str, t.Any]], wanted: t.Sequence[Login], tls: bool) -> list[str]:
    """Returns what is wrong with *rules*: names that are none, and logins that must work and would be refused.

    With *tls* the server takes encrypted connections, and they must work; without, plain ones.
    """
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
        number = _locks_out(rules, login, "hostssl" if tls else "hostnossl")
        if number:
            found.append(
                f"postgres_access_rules, rule {number} would lock {login.user} out of {login.database} from "
                f"{login.network}. Expected: owners and users of postgres_databases and postgres_users are let in by "
                f"their passwords. Found: method {rules[number - 1]['method']}. Narrow its users, databases or "
                "networks, or put a rule that lets them in before it" + _on_purpose(login)
            )
    return list({message.split(" from ")[0]: message for message in found}.values())


def _on_purpose(login: Login) -> str:
    if login.network in LOOPBACK:
        return "; the role itself logs in from there."
    return f"; if this is wanted: without_password: [{login.user}]."


def _locks_out(rules: t.Sequence[t.Mapping[str, t.Any]], login: Login, kind: str) -> int:
    """Returns the number of the rule that leaves nobody of *login*'s network a way in by password; 0 without one.

    *kind* is the connection that must work: the other one, plain or encrypted, may be closed. Several rules may close
    a network together.
    """
    still_open = _networks([login.network])
    if not still_open:
        return 0  # no network, which is told elsewhere
    for number, rule in enumerate(rules, 1):
        if rule["type"] not in ("host", kind) or not _is_about(rule, login):
            continue
        left = _left(still_open, _networks(rule.get("networks") or []))
        if left == still_open:
            continue
        if rule["method"] == "scram-sha-256" or _may(rule, login):
            return 0
        if not left:
            return number
        still_open = left
    return 0


def _may(rule: t.Mapping[str, t.Any], login: Login) -> bool:
    """Returns whether *rule* may keep this password out, as somebody has said; the role's own login never."""
    return login.network not in LOOPBACK and login.user in (rule.get("without_password") or [])


def _is_about(rule: t.Mapping[str, t.Any], login: Login) -> bool:
    """Returns whether *rule* is for this database and user; a role counts as a member of itself."""
    database = {"all", login.database} | ({"sameuser", "samerole"} if login.database == login.user else set())
    return bool(database & {*rule["databases"]} and {"all", login.user, f"+{login.user}"} & {*rule["users"]})


def _networks(texts: t.Sequence[str]) -> list[Network]:
    found: list[Network] = []
    for text in texts:
        for network in {"all": ("0.0.0.0/0", "::/0"), "samehost": LOOPBACK, "samenet": LOOPBACK}.get(text, (text,)):
            # The server itself refuses what is no network; a name is not looked up here.
            with contextlib.suppress(ValueError):
                found.append(ipaddress.ip_network(network, strict=False))
    return found


def _left(networks: t.Sequence[Network], taken: t.Sequence[Network]) -> list[Network]:
    """Returns what of *networks* nobody has *taken*."""
    left = list(networks)
    for one in taken:
        left = [rest for network in left for rest in _without(network, one)]
    return left


def _without(network: Network, one: Network) -> list[Network]:
    if not network.overlaps(one):
        return [network]
    # Of two networks that overlap, one is in the other.
    return [] if network.prefixlen >= one.prefixlen else list(network.address_exclude(t.cast(t.Any, one)))


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
