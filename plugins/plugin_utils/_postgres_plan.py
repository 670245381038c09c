# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the variables of role postgres come to on one host. Pure. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres.amounts import MIB

from . import _postgres_access as access
from . import _postgres_tuning as tuning

#: Settings that have a variable of their own, or belong to the role.
RESERVED = {
    "data_directory": "the packages",
    "hba_file": "the packages",
    "listen_addresses": "postgres_listen_addresses",
    "max_connections": "postgres_max_connections",
    "password_encryption": "the role: SCRAM-SHA-256",
    "port": "postgres_port",
    "shared_buffers": "postgres_shared_buffers",
    "ssl": "postgres_tls",
    "ssl_ca_file": "postgres_tls_authority",
    "ssl_cert_file": "postgres_tls",
    "ssl_key_file": "postgres_tls",
}
#: Libraries that an extension needs from the start of the server on.
PRELOADED = {name: name for name in ("pg_stat_statements", "pg_cron", "pgaudit", "timescaledb")}
#: Who came from where, who left, and who changed the schema: what an auditor asks for first (docs/security.md).
LOGGED: t.Mapping[str, t.Any] = {
    "log_connections": True,
    "log_disconnections": True,
    "log_line_prefix": "%m [%p] %qdb=%d,user=%u,app=%a,client=%h ",
    "log_replication_commands": True,
    "log_statement": "ddl",
}
#: For TLS 1.2, the same as at the edge: forward secrecy and authenticated encryption. TLS 1.3 has its own.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ATTRIBUTES = ("CREATEDB", "CREATEROLE", "REPLICATION")


class Host(t.NamedTuple):
    """What the plan depends on: bytes of memory (of the host or of its control group), and cores."""

    memory: int
    cores: int


def problems(told: t.Mapping[str, t.Any], host: Host) -> list[str]:
    """Returns one message for each thing that no single variable can tell; an empty list means: go on."""
    found = [
        f"postgres_settings must not hold {name}: it belongs to {owner}."
        for name, owner in RESERVED.items()
        if name in told["settings"]
    ]
    if told["source"] == "distribution" and told["version"] != told["distribution_version"]:
        found.append(
            f"postgres_version {told['version']} is not the distribution's, which is {told['distribution_version']}. "
            "Set postgres_source: pgdg, or leave postgres_version empty."
        )
    found += _unpackaged(told)
    found += _names(told)
    found += _privileges(told)
    found += _networks(told)
    wanted = access.logins(told["databases"], told["users"], told["allowed_networks"])
    found += access.problems(told["access_rules"], wanted, told["tls"])
    if any(rule["method"] == "cert" for rule in told["access_rules"]) and not (told["tls"] and told["tls_authority"]):
        found.append(
            "postgres_access_rules: method cert needs postgres_tls_authority, which signs the certificates of clients, "
            "with postgres_tls. Give both, or use another method."
        )
    if (told["tls_chain"] == "") != (told["tls_key"] == ""):
        found.append("postgres_tls_chain and postgres_tls_key belong together: give both, or none to have them made.")
    if told["tls_required"] and not told["tls"]:
        found.append("postgres_tls_required needs postgres_tls: without a certificate nobody could connect.")
    try:
        found += _memory(told, host)
    except (RolloutError, TypeError, ValueError) as error:
        found.append(f"A setting of memory or number is none: {error}")
    return found


def settings(told: t.Mapping[str, t.Any], host: Host) -> dict[str, t.Any]:
    """Returns every setting of our file by its PostgreSQL name; what an operator has set has the last word."""
    addresses = told["listen_addresses"]
    everywhere = {"*", "0.0.0.0"} & set(addresses)  # noqa: S104 - it is looked for, not bound
    computed = tuning.tuning(tuning.budget(told["memory"], host.memory), host.cores, told["max_connections"])
    if told["shared_buffers"]:
        computed.update(tuning.with_shared_buffers(computed, str(told["shared_buffers"])))
    found = {
        **computed,
        "listen_addresses": list(dict.fromkeys([*([] if everywhere else ["127.0.0.1"]), *addresses])),
        "port": told["port"],
        "max_connections": told["max_connections"],
        "password_encryption": "scram-sha-256",
        **LOGGED,
        **(_tls(told) if told["tls"] else {}),
        **told["settings"],
    }
    libraries = _preloaded(told)
    return {**found, "shared_preload_libraries": libraries} if libraries else found


def rules(told: t.Mapping[str, t.Any]) -> list[str]:
    """Returns the lines of pg_hba.conf. Standbys come before what an operator rules: nothing cuts them off."""
    wanted = access.logins(told["databases"], told["users"], told["allowed_networks"])
    return access.lines([*told["member_rules"], *told["access_rules"]], wanted, told["tls"] and told["tls_required"])


def roles(told: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Returns name, password and attributes of every role, each once. It holds secrets."""
    found = {
        one["owner"]: {"name": one["owner"], "password": one["password"], "flags": _flags([])}
        for one in told["databases"]
    }
    for user in told["users"]:
        found[user["name"]] = {
            "name": user["name"],
            "password": user["password"],
            "flags": _flags(user.get("attributes") or []),
        }
    return list(found.values())


def readers(told: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Returns database, owner and user for everyone who reads all that an owner has in a database, now and later."""
    owners = {one["name"]: one["owner"] for one in told["databases"]}
    return [
        {"database": database, "owner": owners[database], "user": user["name"]}
        for user in told["users"]
        if user.get("read_only")
        for database in user.get("databases") or []
    ]


def connections(told: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Returns database and user for everyone beside the owners who may connect."""
    return [
        {"database": database, "user": user["name"]}
        for user in told["users"]
        for database in user.get("databases") or []
    ]


def privileges(told: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Returns what is given one by one, each with its type; default privileges are for what the owner makes."""
    owners = {one["name"]: one["owner"] for one in told["databases"]}
    found = []
    for one in told["privileges"]:
        kind = one.get("type") or "table"
        maker = {"maker": owners[one["database"]]} if kind == "default_privs" and one["database"] in owners else {}
        found.append({**one, "type": kind, **maker})
    return found


def extensions(told: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Returns database and name of every extension."""
    return [
        {"database": one["name"], "name": name} for one in told["databases"] for name in one.get("extensions") or []
    ]


def indexes(told: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Returns every index with its database and the role that owns it."""
    return [
        {"database": one["name"], "owner": one["owner"], **index}
        for one in told["databases"]
        for index in one.get("indexes") or []
    ]


def packages(told: t.Mapping[str, t.Any], version: str) -> list[str]:
    """Returns the packages that the extensions come from, beside those of the server."""
    known = told["extension_packages"]
    wanted = {known[one["name"]] for one in extensions(told) if one["name"] in known}
    return sorted(name.format(version=version) for name in wanted)


def _preloaded(told: t.Mapping[str, t.Any]) -> list[str]:
    given = told["settings"].get("shared_preload_libraries") or []
    given = [one.strip() for one in given.split(",")] if isinstance(given, str) else list(given)
    needed = [PRELOADED[one["name"]] for one in extensions(told) if one["name"] in PRELOADED]
    return list(dict.fromkeys([*given, *needed]))


def _tls(told: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    certificate = f"{told['tls_folder']}/server"
    return {
        "ssl": True,
        "ssl_cert_file": f"{certificate}.crt",
        "ssl_key_file": f"{certificate}.key",
        "ssl_min_protocol_version": "TLSv1.2",
        "ssl_ciphers": ":".join(CIPHERS),
        # For clients that have certificates of the same authority (method cert).
        **({"ssl_ca_file": f"{certificate}.ca"} if told["tls_authority"] else {}),
    }


def _flags(attributes: t.Sequence[str]) -> str:
    return ",".join(["LOGIN", "NOSUPERUSER", *(one if one in attributes else f"NO{one}" for one in _ATTRIBUTES)])


def _names(told: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    databases = [one["name"] for one in told["databases"]]
    owners = [one["owner"] for one in told["databases"]]
    users = [one["name"] for one in told["users"]]
    pairs = ", ".join(f"{name} of {owner}" for name, owner in zip(databases, owners))
    bad = [name for name in (*databases, *owners, *users) if not _PLAIN.fullmatch(name) or name == "postgres"]
    if bad:
        yield f"Names are made of a-z, 0-9, _ and -, and none is postgres. Found: {', '.join(bad)}."
    if len({*databases}) != len(databases):
        yield f"postgres_databases: every name must be there once. Found: {pairs}."
    if len({(one["owner"], one["password"]) for one in told["databases"]}) != len({*owners}):
        yield f"postgres_databases: an owner of several databases has the same password everywhere. Found: {pairs}."
    if len({*users}) != len(users) or {*users} & {*owners}:
        yield "postgres_users: every name must be there once, and owners stand in postgres_databases alone. " + (
            f"Found: {', '.join(users)}."
        )
    for user in told["users"]:
        strange = [name for name in user.get("databases") or [] if name not in databases]
        if strange:
            unknown = ", ".join(strange)
            yield f"postgres_users: {user['name']} names databases that postgres_databases does not: {unknown}."


def _unpackaged(told: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    packages = told["extension_packages"]
    for one in extensions(told) if told["source"] == "distribution" else ():
        name = one["name"]
        if name in told["unpackaged"] and packages.get(name) == told["unpackaged"][name]:
            yield (
                f"Extension {name} of database {one['database']}: this release of the distribution has no package "
                f"{packages[name]}. Set postgres_source: pgdg, or name a package that the host can get in "
                "postgres_extension_packages."
            )


def _privileges(told: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    known = [one["name"] for one in told["databases"]]
    for number, one in enumerate(told["privileges"], 1):
        where, kind = f"postgres_privileges, number {number}", one.get("type") or "table"
        if one["database"] not in (*known, "postgres"):
            yield f"{where}: {one['database']} is no database of postgres_databases. Found there: {', '.join(known)}."
        if any(role.upper() == "PUBLIC" for role in one["roles"]):
            yield f"{where}: PUBLIC is everybody who will ever log in. Name the roles."
        if kind != "database" and not one.get("objects"):
            yield f"{where}: objects are missing, which type {kind} needs."
        if (kind == "group") == bool(one.get("privileges")):
            yield f"{where}: type group takes no privileges, all others need some. Found: type {kind}."


def _networks(told: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    networks = told["allowed_networks"]
    bad = [one for one in networks if not _is_network(one)]
    if bad:
        yield f"postgres_allowed_networks takes networks such as 10.0.0.0/8. Found: {', '.join(bad)}."
    if networks and not told["listen_addresses"]:
        yield (
            f"postgres_allowed_networks lets {', '.join(networks)} in, but postgres_listen_addresses is empty, so "
            "PostgreSQL listens on 127.0.0.1 alone. Add the address of this host, or '*'."
        )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _memory(told: t.Mapping[str, t.Any], host: Host) -> t.Iterator[str]:
    needed, most = tuning.need(settings(told, host), host.cores), int(host.memory * tuning.PROMISED)
    if tuning.budget(told["memory"], host.memory) > host.memory or needed.total > most:
        parts = ", ".join(f"{amount // MIB} MB for {name}" for name, amount in needed.parts.items())
        yield (
            f"There is not enough memory for the tuning. Expected: at most {most // MIB} MB, {tuning.PROMISED:.0%} of "
            f"what this host has. Found: {needed.total // MIB} MB, postgres_memory {told['memory']}: {parts}. "
            "Lower postgres_memory, postgres_max_connections, shared_buffers or work_mem."
        )
