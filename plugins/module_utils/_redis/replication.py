# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is primary of a set of servers, and how this one follows it. PRIVATE to the collection.

An inventory names the first primary. From then on Sentinel and the servers themselves know better, and are asked first.
"""

from __future__ import annotations

import collections
import ipaddress
import re
import time
import typing as t

from .._foundation import durable
from .._foundation.errors import BadInput, CommandFailed, RolloutError
from . import access
from .wire import Address, Connection, Login, Refused, Unreachable, connected

_ASKED = 2.0  # s for a peer or a Sentinel, which may be down
_LINK = 60.0  # s until a replica begins to get the keys of its primary, or has them
_SYNC = 3600.0  # s for all keys, while they come
_AGAIN = 10.0  # s for a replica that has just lost its primary: one of both was restarted


class Seen(t.NamedTuple):
    """What a server of the set says. *role* is empty when it is silent, *primary* is whom a replica follows."""

    address: str
    role: str = ""
    primary: str = ""
    replicas: int = 0


class Told(t.NamedTuple):
    """What a Sentinel says: the elected primary, empty when it knows none, and the replicas that it knows."""

    primary: str = ""
    replicas: tuple[str, ...] = ()


class Decision(t.NamedTuple):
    """The primary, who says so (Sentinel, the servers, the inventory), and whether Sentinel knows this server."""

    primary: str
    source: str
    known: bool = False


def decide(own: str, first: str, servers: t.Sequence[Seen], sentinels: t.Sequence[Told]) -> Decision:
    """Returns the primary of the set. *first* is the one in the inventory. Raises BadInput when answers disagree.

    *sentinels* has an entry for every Sentinel of the set: fewer than most of them may be cut off, and are believed
    only as long as no server says otherwise.
    """
    votes = collections.Counter(one.primary for one in sentinels if one.primary)
    followed = _followed(first, servers)
    if votes:
        best = votes.most_common(2)
        if len(best) > 1 and best[0][1] == best[1][1]:
            raise _divided("Sentinels", sorted(votes))
        primary, count = best[0]
        most = 2 * count > len(sentinels)
        if not most and followed - {primary}:
            raise BadInput(
                "Few Sentinels of this set answer, and its servers do not agree with them; nothing was changed.",
                expected=f"more than half of {len(sentinels)} Sentinels, or one primary",
                found=f"{primary}, says {count} Sentinel(s); {', '.join(sorted(followed))}, say the servers",
                next_step="start the Sentinels that are down, or let them be reached from here, then run this again",
            )
        known = own == primary or any(own in one.replicas for one in sentinels if one.primary == primary)
        return Decision(primary, "Sentinel", known and most)
    if len(followed) > 1:
        raise _divided("servers", sorted(followed))
    if followed:
        return Decision(followed.pop(), "the servers")
    return Decision(first, "the inventory")


def _followed(first: str, servers: t.Sequence[Seen]) -> set[str]:
    """Returns the members of the set that have replicas, by their own word or that of the replicas."""
    members = {one.address for one in servers} | {first}
    followed = {one.primary for one in servers if one.role == "slave" and one.primary in members}
    return followed | {one.address for one in servers if one.role == "master" and one.replicas}


def check_addresses(addresses: t.Iterable[str]) -> None:
    """Raises BadInput for a name: Sentinel tells addresses, and a server would not know itself among them."""
    names = []
    for one in addresses:
        try:
            ipaddress.ip_address(one)
        except ValueError:
            names.append(one)
    if names:
        raise BadInput(
            "A set that Sentinel watches is told by addresses, not by names.",
            expected="IP addresses",
            found=", ".join(sorted(set(names))),
            where="redis_address, redis_primary_address, redis_peer_addresses and those of the role sentinel",
        )


def _divided(who: str, primaries: t.Sequence[str]) -> BadInput:
    return BadInput(
        f"The {who} of this set do not agree on who is primary; nothing was changed.",
        expected="one primary",
        found=", ".join(primaries),
        next_step="on each host: redis-cli ROLE; then make all but one follow it (REPLICAOF), and run this again",
    )


def line_of(decision: Decision, first: str) -> str:
    """Returns what a person must know of the choice, in one line."""
    if decision.primary == first:
        return f"{first} is primary"
    return f"{decision.primary} is primary, says {decision.source}, and stays; the inventory names {first}"


class Wanted(t.NamedTuple):
    """One server of a set. *port* and *tls* are the same on all of them, *base* is what the server rewrites."""

    own: Address  # its socket
    address: str
    first: str
    peers: tuple[str, ...]
    port: int
    tls: bool
    authority: str
    administrator: str
    replication: str
    sentinels: tuple[str, ...]
    sentinel_port: int
    sentinel: str
    name: str
    base: str


class Outcome(t.NamedTuple):
    """What was done or would be. *before* and *after* are whom this server follows, itself when it is primary."""

    changed: bool
    line: str
    primary: str
    before: str
    after: str


def seen(address: Address, login: Login) -> Seen:
    """Returns what the server at *address* says of its part in the set; a silent one has no role."""
    try:
        with connected(address, login, deadline=_ASKED) as connection:
            return read(address.host, connection.info("replication"))
    except RolloutError:
        return Seen(address.host)


def read(address: str, info: t.Mapping[str, str]) -> Seen:
    """Returns what INFO replication tells."""
    return Seen(address, info.get("role", ""), info.get("master_host", ""), int(info.get("connected_slaves", 0)))


def told(address: Address, login: Login, name: str) -> Told:
    """Returns what the Sentinel at *address* knows of the set *name*."""
    try:
        with connected(address, login, deadline=_ASKED) as connection:
            found = connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
            if not found:
                return Told()
            replicas = connection.ask("SENTINEL", "REPLICAS", name)
            return Told(found[0], tuple(dict(zip(one[::2], one[1::2])).get("ip", "") for one in replicas))
    except RolloutError:
        return Told()


def ask(wanted: Wanted) -> Decision:
    """Asks everybody, and returns who is primary."""
    login = Login(access.ADMINISTRATOR, wanted.administrator)
    peers = [one for one in wanted.peers if one != wanted.address]
    servers = [seen(Address(one, wanted.port, wanted.tls, wanted.authority), login) for one in peers]
    if wanted.own.path:
        with connected(wanted.own, login) as connection:
            servers.append(read(wanted.address, connection.info("replication")))
    finder = Login("sentinel", wanted.sentinel)
    sentinels = [
        told(Address(one, wanted.sentinel_port, wanted.tls, wanted.authority), finder, wanted.name)
        for one in wanted.sentinels
    ]
    return decide(wanted.address, wanted.first, servers, sentinels)


def apply(wanted: Wanted, *, check: bool) -> Outcome:
    """Makes this server follow the primary, or leaves it as it is. Raises BadInput before its keys are at risk."""
    if wanted.sentinels:
        check_addresses((wanted.address, wanted.first, *wanted.peers))
    decision = ask(wanted)
    line = line_of(decision, wanted.first)
    with connected(wanted.own, Login(access.ADMINISTRATOR, wanted.administrator), deadline=_LINK) as connection:
        own = read(wanted.address, connection.info("replication"))
        before = own.primary if own.role == "slave" else own.address
        target = Address(decision.primary, wanted.port, wanted.tls, wanted.authority)
        if decision.primary in (wanted.address, before):
            return _left(connection, wanted, target, Outcome(False, line, decision.primary, before, before), check)
        _keeps_keys(connection, decision, target)
        problem = _let_in(wanted, target)
        if problem and not check:
            raise _unreachable("This replica cannot reach its primary; it was left as it is.", wanted, target, problem)
        line += "; it does not let this host in yet" if problem else ""
        if not check:
            _follow(connection, target)
            connection.ask("CONFIG", "REWRITE")
    return Outcome(True, line, decision.primary, before, decision.primary)


def foresee(wanted: Wanted) -> Outcome:
    """Raises BadInput when this server is to follow a primary that does not let it in; nothing was touched by then.

    The server of this host may not be there yet, or not know its administrator. One that follows already is left to
    apply(), which waits for a primary that was restarted a moment ago.
    """
    own = seen(wanted.own, Login(access.ADMINISTRATOR, wanted.administrator))
    decision = ask(wanted if own.role else wanted._replace(own=Address()))
    before = own.primary if own.role == "slave" else wanted.address
    if decision.primary not in (wanted.address, before):
        target = Address(decision.primary, wanted.port, wanted.tls, wanted.authority)
        problem = _let_in(wanted, target)
        if problem:
            raise _unreachable("This replica cannot reach its primary; nothing was changed.", wanted, target, problem)
    return Outcome(False, line_of(decision, wanted.first), decision.primary, before, before)


def _left(connection: Connection, wanted: Wanted, primary: Address, as_it_is: Outcome, check: bool) -> Outcome:
    """Returns what is done with a server that has its part already: nothing, but that part is written down."""
    before, line = as_it_is.before, as_it_is.line
    if before != as_it_is.primary:
        # Sentinel has elected it and tells it in a moment, or a person made it follow somebody else.
        return as_it_is._replace(line=f"{line}; {wanted.address} still follows {before}")
    problem = "" if before == wanted.address else _lost(connection, wanted, primary, 0 if check else _AGAIN)
    if problem and not check:
        raise _unreachable("This replica has lost its primary; it was left as it is.", wanted, primary, problem)
    stale = not _is_written(wanted, before)
    if stale and not check:
        connection.ask("CONFIG", "REWRITE")
    line += f"; {wanted.address} has lost it: {problem}" if problem else ""
    return as_it_is._replace(changed=stale, line=line)


def _let_in(wanted: Wanted, primary: Address) -> str:
    """Returns why the primary does not let this host in as a replica; empty when it does."""
    try:
        with connected(primary, Login("replication", wanted.replication)) as connection:
            connection.ask("PING")
    except (Refused, Unreachable) as error:
        return error.found or error.what
    return ""


def _lost(connection: Connection, wanted: Wanted, primary: Address, patience: float) -> str:
    """Returns why this replica does not hear its primary, which may take *patience* seconds; empty when it does."""
    ends = time.monotonic() + patience
    while not hears(connection.info("replication")):
        if time.monotonic() >= ends:
            return _let_in(wanted, primary) or "the primary lets it in; its log tells more"
        time.sleep(0.2)
    return ""


def hears(info: t.Mapping[str, str]) -> bool:
    """Returns whether a replica hears its primary, or gets its keys at this moment. *info* is INFO replication."""
    return info.get("master_link_status") == "up" or info.get("master_sync_in_progress") == "1"


def _unreachable(what: str, wanted: Wanted, primary: Address, found: str) -> BadInput:
    return BadInput(
        what,
        expected=f"the primary at {primary}, which lets the user replication in",
        found=found,
        where=wanted.address,
        next_step="look at firewalls, redis_bind_addresses, passwords and certificates of both",
    )


def _is_written(wanted: Wanted, primary: str) -> bool:
    """Returns whether a start of the server would find its part: a run may have died before it was written."""
    found = re.findall(r"(?m)^(?:replicaof|slaveof) (\S+) \d+$", durable.read_text(wanted.base) or "")
    return found == ([] if primary == wanted.address else [primary])


def _keeps_keys(connection: Connection, decision: Decision, target: Address) -> None:
    """Raises BadInput when following would throw away keys that nobody else has."""
    keys = keys_of(connection.info("keyspace"))
    if keys and not decision.known:
        raise BadInput(
            f"This server has {keys} keys of its own, and would lose them as a replica of {target}.",
            expected="an empty server, or one that Sentinel knows as a replica",
            found=f"{keys} keys",
            next_step="on this host: redis-cli FLUSHALL when nobody needs them, then run this again",
        )


def keys_of(info: t.Mapping[str, str]) -> int:
    """Returns how many keys all databases hold. *info* is INFO keyspace."""
    found = [re.match(r"keys=(\d+)", value) for name, value in info.items() if re.fullmatch(r"db\d+", name)]
    return sum(int(one.group(1)) for one in found if one)


def _follow(connection: Connection, target: Address) -> None:
    connection.ask("REPLICAOF", target.host, target.port)
    begun = time.monotonic()
    ends = begun + _LINK
    while True:
        told = connection.info("replication")
        if told.get("master_link_status") == "up":
            return
        if hears(told):
            ends = min(time.monotonic() + _LINK, begun + _SYNC)
        if time.monotonic() > ends:
            connection.ask("REPLICAOF", "NO", "ONE")
            raise CommandFailed(
                "This replica did not get the keys of its primary in time; it stands alone again.",
                expected=f"master_link_status:up, {_LINK:g} s after the last keys came",
                found=f"down, from {target}",
                next_step="read the server's log on both hosts",
            )
        time.sleep(0.1)
