# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that nobody can log in to: whether it fits, and the users that it lets its clients make. PRIVATE."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from .._foundation.errors import BadInput
from . import access
from .wire import Address, Connection, Login, Refused, connected

_ASKED = r"rollout-[0-9a-f]{8}"  # names of users who are there for a moment


class Wanted(t.NamedTuple):
    """What must be true of the server. *settings* are directives with the values that CONFIG GET tells."""

    address: Address
    login: Login
    least_version: str
    policy: str
    settings: t.Mapping[str, str]
    rules: tuple[access.Rule, ...]


class Outcome(t.NamedTuple):
    """The version, the users that were made or changed, and what could not be looked at or kept."""

    version: str
    users: list[str]
    notes: list[str]


def apply(wanted: Wanted, *, check: bool) -> Outcome:
    """Raises BadInput for a server that does not fit, before any user is made; Unreachable and Refused without one."""
    if wanted.login.user in [rule.name for rule in wanted.rules]:
        raise BadInput(
            "A user of a managed Redis would be changed by itself, and may lose the right to do so.",
            expected="redis_users without the user of redis_managed",
            found=wanted.login.user,
            where="redis_users",
        )
    with connected(wanted.address, wanted.login) as connection:
        info = connection.info("everything")
        told, notes = _settings(connection, wanted.settings)
        problems = misfits(info, told, wanted)
        if problems:
            raise BadInput(
                "The managed Redis is not what the application needs; nothing was changed.",
                found="; ".join(problems),
                where=str(wanted.address),
                next_step="change it where the service is set up (parameter group), or the variables redis_managed_*",
            )
        notes += [] if wanted.address.tls else ["the connection has no TLS"]
        users, more = _users(connection, wanted, check)
    return Outcome(info.get("redis_version", ""), users, notes + more)


def misfits(info: t.Mapping[str, str], told: t.Mapping[str, str], wanted: Wanted) -> list[str]:
    """Returns what is wrong with a server. *info* is its INFO, *told* what CONFIG GET says."""
    problems = []
    version = info.get("redis_version", "0")
    if numbers(version) < numbers(wanted.least_version):
        problems.append(f"version {version} instead of {wanted.least_version} or newer")
    policy = info.get("maxmemory_policy", "")
    if wanted.policy and policy != wanted.policy:
        problems.append(f"maxmemory-policy {policy or 'unknown'} instead of {wanted.policy}")
    if info.get("role", "master") != "master":
        problems.append("a replica, which takes no writes, instead of the primary")
    problems += [
        f"{name} {told[name]} instead of {value}"
        for name, value in sorted(wanted.settings.items())
        if name in told and measured(told[name]) != measured(value)
    ]
    return problems


def measured(value: str) -> str:
    """Returns a size such as 1gb as CONFIG GET tells it, in bytes; another value as it is."""
    found = re.fullmatch(r"(\d+)([kmg])(b?)", value.lower())
    if not found:
        return value
    power = "kmg".index(found.group(2)) + 1
    return str(int(found.group(1)) * (1024 if found.group(3) else 1000) ** power)


def numbers(version: str) -> list[int]:
    """Returns the parts of a version."""
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _settings(connection: Connection, names: t.Iterable[str]) -> tuple[dict[str, str], list[str]]:
    told: dict[str, str] = {}
    for name in sorted(names):
        try:
            told.update(connection.pairs("CONFIG", "GET", name))
        except Refused:
            return {}, ["the service does not show its settings"]
    hidden = sorted(set(names) - set(told))
    return told, ([f"the service does not show {', '.join(hidden)}"] if hidden else [])


def _users(connection: Connection, wanted: Wanted, check: bool) -> tuple[list[str], list[str]]:
    if not wanted.rules:
        return [], []
    try:
        known = {line.split(" ")[1]: line for line in access.told(connection)}
    except Refused:
        _must_be_there(wanted)
        return [], ["the service makes its users elsewhere; they are there and log in"]
    for name in known:
        # Of a run that was killed while it asked how a rule is written down.
        if not check and re.fullmatch(_ASKED, name):
            connection.ask("ACL", "DELUSER", name)
    changed = [rule for rule in wanted.rules if _differs(connection, rule, known.get(rule.name, ""), check)]
    if check or not changed:
        return [rule.name for rule in changed], []
    for rule in changed:
        connection.ask("ACL", "SETUSER", rule.name, "reset", "on", *_words(rule))
    try:
        connection.ask("ACL", "SAVE")
        notes = []
    except Refused:
        notes = ["the service does not say whether users survive its restart"]
    _must_be_there(wanted)
    return [rule.name for rule in changed], notes


def _words(rule: access.Rule) -> list[str]:
    return [f"#{hashlib.sha256(rule.password.encode('utf-8')).hexdigest()}", *rule.rules.split(" ")]


def _differs(connection: Connection, rule: access.Rule, line: str, check: bool) -> bool:
    """Returns whether a user differs. How the server writes a rule down, a user tells who is there for a moment.

    A check makes no such user, and sees no difference in commands alone.
    """
    if check:
        words = [word for word in _words(rule) if word[0] in "#~&"]
        return not set(words) <= set(line.split(" "))
    name = f"rollout-{os.urandom(4).hex()}"
    try:
        connection.ask("ACL", "SETUSER", name, "reset", "off", *_words(rule))
        lines = [one for one in access.told(connection) if one.split(" ")[1] == name]
    finally:
        connection.ask("ACL", "DELUSER", name)
    return [one.replace(f"user {name} off", f"user {rule.name} on", 1) for one in lines] != [line]


def _must_be_there(wanted: Wanted) -> None:
    """Raises BadInput when a user cannot log in."""
    missing = []
    for rule in wanted.rules:
        try:
            with connected(wanted.address, Login(rule.name, rule.password)) as connection:
                connection.ask("PING")
        except Refused as refused:
            missing.append(f"{rule.name}: {refused.what}")
    if missing:
        raise BadInput(
            "Users of the managed Redis cannot log in.",
            found="; ".join(missing),
            where=str(wanted.address),
            next_step="make them where the service is set up, with the passwords of redis_users",
        )
