# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentinel of this host: a file of ours that it reads, and a file of its own that it keeps. PRIVATE to the collection.

What Sentinel learns (the elected primary, its epoch, the others) is in its own file, which nothing here writes once it
is there: the set is told to the running Sentinel.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from .._foundation import command, durable
from .._foundation.errors import CommandFailed, RolloutError
from . import access, owner, plan, replication, unit
from .wire import Address, Connection, Login, Refused, connected, started

_START = 60.0  # s for systemctl, and until the primary is seen
_BLIND = ("s_down", "o_down", "disconnected", "failover_in_progress")  # flags of a primary that is not seen


class Place(t.NamedTuple):
    """Where Sentinel lives on this host. *state* is its own file."""

    unit: str
    user: str
    state: str
    settings: str
    users: str
    drop_in: str


class Wanted(t.NamedTuple):
    """What must be true. *numbers* are those of the set, by the names of SENTINEL SET."""

    directives: t.Mapping[str, plan.Value]
    address: str
    password: str
    administrator: str
    users: tuple[access.Rule, ...]
    port: int
    tls: bool
    numbers: t.Mapping[str, int]
    finds: replication.Wanted
    unit: str = ""  # what is added to the unit


class Outcome(t.NamedTuple):
    """What was done or would be, and who is primary."""

    lines: list[str]
    primary: str
    line: str


def apply(place: Place, wanted: Wanted, *, check: bool) -> Outcome:
    """Raises BadInput before anything changes; RolloutError when Sentinel does not come up or see the primary."""
    replication.check_addresses((wanted.address, wanted.finds.first, *wanted.finds.peers, *wanted.finds.sentinels))
    drop_in = unit.DropIn(place.drop_in, wanted.unit)
    contents = static(place, wanted)
    old = {path: durable.read_text(path) for path in (*contents, place.drop_in)}
    lines = [f"{os.path.basename(path)}: changed (restart)" for path in contents if old[path] != contents[path]]
    lines += ["unit: changed (restart)"] if drop_in.differs() else []
    if check and lines:
        return Outcome(lines, "", "")
    if not check:
        _write(place, contents)
        _make_state(place)
    if lines or _must_restart(place, wanted):
        lines = lines or ["restart"]
        if check:
            return Outcome(lines, "", "")
        drop_in.write()
        _restart(place, wanted, old)
    with connected(_own(wanted), _login(wanted), trusting=True) as connection:
        name = wanted.finds.name
        known = _set(connection, name)
        if not known:
            decision = replication.ask(wanted.finds)
            lines.append(f"set {name}: watches {decision.primary}")
            if check:
                return Outcome(lines, decision.primary, "")
            quorum = wanted.numbers["quorum"]
            connection.ask("SENTINEL", "MONITOR", name, decision.primary, wanted.finds.port, quorum)
        lines += _tell(connection, place, wanted, known, check)
        if not check:
            _see(connection, name)
        primary = connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)[0]
    return Outcome(lines, primary, replication.line_of(replication.Decision(primary, "Sentinel"), wanted.finds.first))


def static(place: Place, wanted: Wanted) -> dict[str, str]:
    """Returns our files by path: what Sentinel reads at a start, and who may ask it."""
    lines = [
        f"sentinel announce-ip {wanted.address}",
        "sentinel sentinel-user sentinel",
        f"sentinel sentinel-pass {plan.quoted(wanted.password)}",
    ]
    settings = plan.text_of({**wanted.directives, "aclfile": place.users}) + "".join(f"{line}\n" for line in lines)
    rules = (
        access.Rule(access.ADMINISTRATOR, wanted.administrator, "allchannels +@all"),
        access.Rule("sentinel", wanted.password, access.PEER),
        *wanted.users,
    )
    access.unique(rules)
    users = "".join(f"{line}\n" for line in (access.default_user(""), *(rule.line() for rule in rules)))
    return {place.settings: settings, place.users: users}


def numbers_to_set(known: t.Mapping[str, str], wanted: t.Mapping[str, int]) -> dict[str, tuple[str, int]]:
    """Returns what differs as name -> (before, after); *known* is as SENTINEL MASTER tells it."""
    return {
        name: (known.get(name, ""), value)
        for name, value in sorted(wanted.items())
        if known.get(name, "") != str(value)
    }


def login_in(state: str, name: str) -> tuple[str, str]:
    """Returns user and password of the servers of the set *name* as Sentinel's own file has them."""
    found = []
    for word in ("auth-user", "auth-pass"):
        line = re.search(rf"(?m)^sentinel {word} {re.escape(name)} (.+)$", state)
        found.append(plan.unquoted(line.group(1)) if line else "")
    return found[0], found[1]


def _write(place: Place, contents: t.Mapping[str, str]) -> None:
    for path, content in contents.items():
        durable.write_text(path, content, mode=0o640, owner=owner.of(place.user))


def _make_state(place: Place) -> None:
    if os.path.exists(place.state):
        return
    durable.write_text(place.state, "# Kept by Sentinel itself.\n", mode=0o640, owner=owner.of(place.user))


def _own(wanted: Wanted) -> Address:
    return Address("127.0.0.1", wanted.port, wanted.tls)


def _login(wanted: Wanted) -> Login:
    return Login(access.ADMINISTRATOR, wanted.administrator)


def _must_restart(place: Place, wanted: Wanted) -> bool:
    """Returns whether Sentinel is down, does not know us, or was started before one of its files was written."""
    try:
        with connected(_own(wanted), _login(wanted), trusting=True) as connection:
            since = started(connection.info("server"))
    except RolloutError:
        return True
    certificates = [str(wanted.directives.get(name, "")) for name in plan.CERTIFICATES]
    files = (place.settings, place.users, place.drop_in, *certificates)
    return any(os.stat(path).st_mtime > since for path in files if path and os.path.exists(path))


def _restart(place: Place, wanted: Wanted, old: t.Mapping[str, str | None]) -> None:
    try:
        _start(place, wanted)
    except RolloutError as error:
        before = {path: text for path, text in old.items() if text is not None and path != place.drop_in}
        all_are_back = len(before) == len(old) - 1
        if all_are_back:
            _write(place, before)
            unit.DropIn(place.drop_in, wanted.unit).put_back(old[place.drop_in])
            command.run(["systemctl", "restart", place.unit], deadline=_START, accepted=range(256))
        raise CommandFailed(
            "Sentinel did not come up with its settings" + ("; those that it had are back." if all_are_back else "."),
            found=error.found or error.what,
            where=place.unit,
            next_step=f"on this host: journalctl -u {place.unit}; tail /var/log/{place.user}/*sentinel*.log",
        ) from error


def _start(place: Place, wanted: Wanted) -> None:
    command.run(["systemctl", "restart", place.unit], deadline=_START)
    ends = time.monotonic() + 15
    while True:
        try:
            with connected(_own(wanted), _login(wanted), trusting=True):
                return
        except RolloutError:
            if time.monotonic() > ends:
                raise
        time.sleep(0.1)


def _set(connection: Connection, name: str) -> dict[str, str]:
    try:
        return connection.pairs("SENTINEL", "MASTER", name)
    except Refused as refused:
        if "No such master" not in refused.what:
            raise
        return {}


def _tell(connection: Connection, place: Place, wanted: Wanted, known: t.Mapping[str, str], check: bool) -> list[str]:
    name = wanted.finds.name
    different = numbers_to_set(known, wanted.numbers)
    lines = [f"{word}: {before} -> {after} (SENTINEL SET)" for word, (before, after) in different.items() if known]
    words = [word for one, (_before, after) in different.items() for word in (one, str(after))]
    if login_in(durable.read_text(place.state) or "", name) != ("sentinel", wanted.password):
        lines += ["login at the servers: changed (SENTINEL SET)"] if known else []
        words += ["auth-user", "sentinel", "auth-pass", wanted.password]
    if words and not check:
        connection.ask("SENTINEL", "SET", name, *words)
    return lines


def sees(flags: str) -> bool:
    """Returns whether Sentinel sees its primary; *flags* are those that SENTINEL MASTER tells."""
    return "master" in flags.split(",") and not set(_BLIND) & set(flags.split(","))


def _see(connection: Connection, name: str) -> None:
    """Waits until the primary is seen, every time: an earlier run may have given up here."""
    ends = time.monotonic() + _START
    while not sees(_set(connection, name).get("flags", "")):
        if time.monotonic() > ends:
            told = _set(connection, name)
            raise CommandFailed(
                "Sentinel does not see the primary of its set.",
                expected="flags: master",
                found=f"{told.get('flags', 'no set')}, at {told.get('ip', 'no address')}",
                next_step="look at firewalls, passwords and certificates; redis-cli -p 26379 SENTINEL MASTERS",
            )
        time.sleep(0.2)
