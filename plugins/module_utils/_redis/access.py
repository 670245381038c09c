# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what on a server: the file of users, and whether everybody who must get in still does. PRIVATE."""

from __future__ import annotations

import hashlib
import re
import shlex
import typing as t

from .._foundation.errors import BadInput
from .wire import Connection, Refused

#: The user of this collection for settings, users and replication.
ADMINISTRATOR = "rollout"
#: What a replica and Sentinel need (redis.io, "ACL rules for Sentinel and Replicas").
REPLICATION = "resetchannels -@all +psync +replconf +ping"
SENTINEL = (
    "allchannels -@all +multi +slaveof +replicaof +ping +exec +subscribe +config|rewrite +role +publish +info"
    " +client|setname +client|kill +script|kill"
)
#: What applications may do when nothing else is told: all but what harms the server or shows other people's keys.
APPLICATION = ("+@all", "-@admin", "-@dangerous", "+info")
#: What clients of Sentinel need to find the primary.
FINDER = (
    "allchannels -@all +auth +client|getname +client|id +client|setname +command +hello +ping +role"
    " +subscribe +psubscribe +unsubscribe +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters"
    " +sentinel|myid +sentinel|replicas +sentinel|sentinels"
)
#: What Sentinels need of each other.
PEER = (
    "allchannels -@all +auth +client|getname +client|id +client|setname +command +hello +ping +role +publish +subscribe"
    " +info +sentinel|get-master-addr-by-name +sentinel|is-master-down-by-addr +sentinel|masters +sentinel|master"
    " +sentinel|replicas +sentinel|sentinels +sentinel|myid"
)
_CHECKSUM = re.compile(r"#[0-9a-f]{64}")
_TAKEN = ("default", ADMINISTRATOR, "replication", "sentinel")


class Rule(t.NamedTuple):
    """One user of the server. *must_run*: commands, with arguments, that the user cannot do without."""

    name: str
    password: str
    rules: str
    must_run: tuple[str, ...] = ("PING",)

    def line(self) -> str:
        """Returns the line of the file of users; of the password it has the checksum only."""
        digest = hashlib.sha256(self.password.encode("utf-8")).hexdigest()
        return f"user {self.name} on #{digest} {self.rules}"


def application(user: t.Mapping[str, t.Any]) -> Rule:
    """Returns the rule of one of the users in variables. Raises BadInput when it could never work."""
    name, password = user["name"], user["password"]
    where = f"redis_users, user {name}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name in _TAKEN:
        raise BadInput(
            "A user of Redis cannot have this name.",
            expected=f"letters, digits, _ . -, and none of {', '.join(_TAKEN)}",
            found=name,
            where="redis_users",
        )
    if not password:
        raise BadInput("A user of Redis has no password.", where=where)
    patterns = [*user.get("keys", ["*"]), *user.get("channels", []), *user.get("commands", [])]
    if any(re.search(r"\s", one) or not one for one in patterns):
        raise BadInput("A pattern or a command of a user of Redis has spaces or is empty.", where=where)
    commands = user.get("commands") or APPLICATION
    wrong = [one for one in commands if one[0] not in "+-"]
    if wrong:
        raise BadInput(
            "What a user of Redis may do is not told by commands.",
            expected="+command, -command, +@category or -@category",
            found=", ".join(wrong),
            where=where,
        )
    keys = " ".join(f"~{one}" for one in user.get("keys", ["*"]))
    channels = " ".join(f"&{one}" for one in user.get("channels", []))
    rules = " ".join(part for part in ("resetchannels", keys, channels, "-@all", *commands) if part)
    return Rule(name, password, rules, ("PING", *user.get("must_run", [])))


def default_user(password: str) -> str:
    """Returns the line of the user without a name: off, or, with a password, what an application may do."""
    if not password:
        return "user default off resetpass resetkeys resetchannels -@all"
    digest = hashlib.sha256(password.encode("utf-8")).hexdigest()
    return f"user default on resetpass #{digest} ~* &* -@all {' '.join(APPLICATION)}"


def with_former(line: str, old: str) -> str:
    """Returns the *line* of a user, whose new password does not put out at once those who have the former one.

    *old* is the file of users until now. When it has the new password already, everybody had a run's time to learn it,
    and the former one goes. The administrator's needs no such time.
    """
    name, found = line.split(" ")[1], _CHECKSUM.findall(line)
    before = re.search(rf"(?m)^user {re.escape(name)} on .*$", old)
    former = _CHECKSUM.findall(before.group(0)) if before else []
    if name == ADMINISTRATOR or not found or not former or found[0] in former:
        return line
    return line.replace(found[0], f"{found[0]} {former[0]}", 1)


def twice(lines: t.Iterable[str]) -> list[str]:
    """Returns the users who may log in by two passwords."""
    return [line.split(" ")[1] for line in lines if len(_CHECKSUM.findall(line)) > 1]


def administrator(password: str) -> Rule:
    """Returns the rule of the user of this collection."""
    must = ("CONFIG GET port", "CONFIG SET timeout 0", "ACL LOAD", "REPLICAOF NO ONE", "CONFIG REWRITE", "INFO")
    return Rule(ADMINISTRATOR, password, "~* &* +@all", must)


def unique(rules: t.Sequence[Rule]) -> None:
    """Raises BadInput when a name is there twice: the last one would count."""
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput("A user of Redis is there twice.", found=", ".join(twice), where="redis_users")


def told(connection: Connection) -> list[str]:
    """Returns the users of a server as ACL LIST tells them, in an order that stays: Redis 7.0 gives commands in any."""
    return sorted(map(ordered, connection.ask("ACL", "LIST")))


def ordered(line: str) -> str:
    """Returns a line of ACL LIST with its commands in order, after the first one, which is for all of them."""
    words = line.split(" ")
    commands = [word for word in words if word[:1] in ("+", "-")]
    return " ".join([word for word in words if word[:1] not in ("+", "-")] + commands[:1] + sorted(commands[1:]))


def locked_out(connection: Connection, user: str, must_run: t.Sequence[str]) -> list[str]:
    """Asks a server which of the commands *must_run* its *user* may not run. Returns the reasons, none when all may.

    ACL DRYRUN (Redis 7) runs nothing.
    """
    reasons = []
    for command in must_run:
        try:
            answer = connection.ask("ACL", "DRYRUN", user, *shlex.split(command))
        except Refused as refused:
            answer = refused.what
        if answer != "OK":
            reasons.append(f"{command.split(' ', 1)[0]}: {answer}")
    return reasons


def rules(
    administrator_password: str, replication: str, sentinel: str, users: t.Sequence[t.Mapping[str, t.Any]]
) -> tuple[Rule, ...]:
    """Returns all users of a server, none without an administrator. Raises BadInput when they cannot be told apart."""
    if not administrator_password:
        if users or replication or sentinel:
            raise BadInput(
                "Users of Redis need an administrator.",
                expected="redis_administrator_password",
                found="none",
                where="redis_users, redis_replication_password, redis_sentinel_password",
            )
        return ()
    found = [administrator(administrator_password)]
    found += [Rule("replication", replication, REPLICATION)] if replication else []
    found += [Rule("sentinel", sentinel, SENTINEL, ("PING", "INFO", "ROLE"))] if sentinel else []
    found += [application(user) for user in users]
    unique(found)
    return tuple(found)


def must_get_in(login: t.Mapping[str, t.Any]) -> Rule:
    """Returns a login that must keep working, as something to try."""
    return Rule(login["user"], login["password"], "", ("PING", *login["must_run"]))


def finder(user: t.Mapping[str, t.Any]) -> Rule:
    """Returns the rule of a client of Sentinel."""
    application({**user, "keys": [], "commands": []})
    return Rule(user["name"], user["password"], FINDER)
