# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is the primary of a cluster, who follows, and may somebody be promoted. Pure. PRIVATE to the collection.

The hosts decide, not the inventory: it only names the primary of a cluster that nobody has begun.
"""

from __future__ import annotations

import typing as t

Look = t.Mapping[str, t.Any]
PROVISION = "ansible-playbook vitalops.rollout.provision -i INVENTORY"
REPLICATION = "ansible-playbook vitalops.rollout.replication -i INVENTORY"
PROMOTE = "ansible-playbook vitalops.rollout.promote -i INVENTORY -e postgres_promote="
REJOIN = "ansible-playbook vitalops.rollout.rejoin -i INVENTORY -e postgres_rejoin="

#: Every state that a member can be in. The last three are of members that could not be asked on their host.
STATES = ("new", "primary", "standby", "stopped", "asleep", "fenced", "unclear", "unreachable", "closed")

#: What a member that is not the primary does in a provision; all others are left alone until somebody names them.
DOES = {"new": "join", "standby": "follow", "asleep": "follow"}


class Refused(Exception):
    """Why nothing was done, and what to type."""


class Member(t.NamedTuple):
    """A member as its own host and the others tell it.

    new: nothing of its own in it. stopped: data of a primary, not running. asleep: data of a standby that does not
    answer. unclear: something runs there that does not say what it is. closed: its host is up, and nothing listens.
    asked: whether its own host has answered. received: position in the WAL. upstream: name of whom a standby follows.
    ended_at: where a stopped server ended in good order. member: whether the role has made it one before.
    blind_to: names of members that its own host cannot reach over the network. streams: whether a standby receives.
    """

    name: str
    state: str
    asked: bool = True
    system: str = ""
    timeline: int = 0
    received: int = 0
    upstream: str = ""
    ended_at: str = ""
    member: bool = True
    blind_to: frozenset[str] = frozenset()
    streams: bool = True


class Plan(t.NamedTuple):
    """The primary, what each member does (lead, follow, join, leave; none for who was not asked), and what to tell."""

    primary: str
    does: t.Mapping[str, str]
    told: t.Sequence[str]


class Promotion(t.NamedTuple):
    """What a promotion takes.

    fence: members to be stopped first. until: the one of them that was the primary. lift: the target is fenced and
    comes back instead. given_up: names of who may still be alive somewhere, because somebody said so, with commas.
    """

    target: str
    fence: t.Sequence[str]
    until: str
    lift: bool
    done: bool
    given_up: str
    told: t.Sequence[str]


def position(text: str | None) -> int:
    """Returns a position in the WAL such as 0/3000148 as a number; 0 for none."""
    high, _slash, low = (text or "0/0").partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def looks(hostvars: t.Mapping[str, t.Any], names: t.Iterable[str], variable: str) -> dict[str, Look | None]:
    """Returns what the hosts have said in this run; none of who was not asked, or did not answer."""
    found: dict[str, Look | None] = {}
    for name in names:
        look = hostvars[name].get(variable) if name in hostvars else None
        found[name] = look if look and "state" in look else None
    return found


def members(addresses: t.Mapping[str, str], looks: t.Mapping[str, Look | None]) -> dict[str, Member]:
    """Returns every member from what its host said (*looks*, none where it did not answer) and what the others saw."""
    names = {address: name for name, address in addresses.items()}
    return {name: _member(name, looks.get(name), _seen_by_others(name, looks), names) for name in addresses}


def _seen_by_others(name: str, looks: t.Mapping[str, Look | None]) -> list[Look]:
    seen = (((look or {}).get("members") or {}).get(name) for other, look in looks.items() if other != name)
    return [one for one in seen if one]


def _member(name: str, look: Look | None, seen: t.Sequence[Look], names: t.Mapping[str, str]) -> Member:
    if look is not None:
        state = "new" if look["state"] == "absent" else str(look["state"])
        # What is a standby by its files takes no writes, whether it answers or not.
        if state in ("stopped", "unclear") and look.get("standby"):
            state = "asleep"
        ended = (look.get("lsn") or "") if look.get("ended_well") and not look.get("standby") else ""
        return Member(
            name,
            state,
            True,
            look.get("system") or "",
            int(look.get("timeline") or 0),
            position(look.get("lsn")),
            names.get(_address(look), ""),
            ended if state in ("stopped", "fenced") else "",
            bool(look.get("member")),
            frozenset(
                other
                for other, told in (look.get("members") or {}).items()
                if told["state"] in ("closed", "unreachable")
            ),
            (look.get("receiver") or {}).get("status") == "streaming",
        )
    for state in ("primary", "standby", "unclear", "closed"):
        found = [one for one in seen if one["state"] == state]
        if found:
            told = found[0]
            return Member(
                name, state, False, told.get("system") or "", told.get("timeline") or 0, position(told.get("lsn"))
            )
    return Member(name, "unreachable", False)


def _address(look: Look) -> str:
    """The address that a standby receives from, or would: its settings tell it while it receives from nobody."""
    receiver = look.get("receiver") or {}
    if receiver.get("address"):
        return str(receiver["address"])
    words = dict(word.partition("=")[::2] for word in str(look.get("upstream") or "").split())
    return words.get("host", "")


def plan(found: t.Mapping[str, Member], inventory_primary: str, rejoin: str = "") -> Plan:
    """Returns who leads and what the others do in a provision. Raises Refused.

    *rejoin* is a member that somebody has named: whatever it says of itself, it becomes a standby.
    """
    if inventory_primary not in found:
        raise Refused(f"postgres_primary must name one of {', '.join(found)}. Found: {inventory_primary or 'nothing'}.")
    _check_rejoin(found, rejoin)
    found = {name: one._replace(state="fenced") if name == rejoin else one for name, one in found.items()}
    primary = _primary(found, inventory_primary)
    if not rejoin:  # who names one has decided between the two
        _check_nobody_came_later(found, primary)
    told = []
    if primary.name != inventory_primary:
        told.append(
            f"The inventory says postgres_primary: {inventory_primary}, the hosts say {primary.name}, and so it stays: "
            f"write postgres_primary: {primary.name}."
        )
    does = {primary.name: "lead"} if primary.asked else {}
    for member in found.values():
        if member is primary or not member.asked:
            continue
        if _foreign(member, primary):
            raise Refused(_belongs_elsewhere(member, primary))
        # One that is made a primary in this run does not listen for others yet.
        if primary.state == "primary" and primary.member and primary.name in member.blind_to:
            raise Refused(
                f"{member.name} cannot reach its primary {primary.name} over the network. Nothing was changed. "
                f"Next: see that no firewall is between them and that postgres_port is the same, then {PROVISION}"
            )
        does[member.name] = "join" if member.name == rejoin else DOES.get(member.state, "leave")
        if does[member.name] == "leave":
            told.append(
                f"{member.name} is {member.state} and is left as it is: it may hold rows that {primary.name} has not. "
                f"To make it a standby: {REJOIN}{member.name}"
            )
    return Plan(primary.name, does, told)


def _check_rejoin(found: t.Mapping[str, Member], rejoin: str) -> None:
    if not rejoin:
        return
    if rejoin not in found or not found[rejoin].asked:
        raise Refused(f"postgres_rejoin must name a member that answers, of {', '.join(found)}. Found: {rejoin}.")
    if not any(one.state == "primary" for one in found.values() if one.name != rejoin):
        raise Refused(
            f"{rejoin} has nobody to follow: no other member is primary. Nothing was changed. Next: promote another "
            f"one, or have {rejoin} come back: {PROMOTE}NAME"
        )


def _check_nobody_came_later(found: t.Mapping[str, Member], primary: Member) -> None:
    """Refuses an old primary that came back while the one that replaced it is away."""
    later = [one for one in found.values() if _is_later(one, primary)]
    if not later:
        return
    newest = max(later, key=lambda one: (one.timeline, one.received))
    theirs = (
        f"{PROMOTE}{newest.name}"
        if newest.state == "standby"
        else f"start it (systemctl start postgresql on {newest.name}), then {REJOIN}{primary.name}"
    )
    raise Refused(
        f"{primary.name} would be the primary, with timeline {primary.timeline}, but {newest.name} ({newest.state}) "
        f"has timeline {newest.timeline}: somebody was promoted in between. Nothing was changed. Next: if users shall "
        f"have what {newest.name} has, {theirs}; if they shall have what {primary.name} has, {REJOIN}{newest.name}"
    )


def _is_later(member: Member, other: Member) -> bool:
    """Whether *member* has seen a promotion of the same cluster that *other* has not."""
    return bool(member.system) and member.system == other.system and member.timeline > other.timeline


def _foreign(member: Member, primary: Member) -> bool:
    return member.state != "new" and bool(member.system and primary.system) and member.system != primary.system


def _belongs_elsewhere(member: Member, primary: Member) -> str:
    return (
        f"The data folder of {member.name} belongs to another cluster: system identifier {member.system}, expected "
        f"{primary.system} as on {primary.name}. Nothing was changed. Next: look what it is; when nobody needs it, "
        f"pg_dropcluster --stop VERSION main && pg_createcluster VERSION main on {member.name}, then {PROVISION}"
    )


def _primary(found: t.Mapping[str, Member], inventory_primary: str) -> Member:
    named = found[inventory_primary]
    claims = [one for one in found.values() if one.state == "primary"]
    for one in claims:
        # Whoever was never a member is no rival; it is somebody's database that stands in the way.
        if one is not named and (not one.member or (_foreign(one, named) and named.state == "primary")):
            raise Refused(_belongs_elsewhere(one, named))
    if len(claims) > 1:
        raise Refused(_rivals(claims))
    if claims:
        return claims[0]
    begun = [one for one in found.values() if one.state not in ("new", "unreachable", "closed")]
    if not begun and named.asked:
        return named  # a cluster that nobody has begun begins where the inventory says
    others = [one for one in found.values() if one is not named]
    # Nobody can have been promoted in its place, if everybody was asked.
    if named.state == "stopped" and all(one.asked and one.state in DOES for one in others):
        return named
    raise Refused(
        f"Nobody is the primary: {', '.join(f'{one.name} is {one.state}' for one in found.values())}. "
        f"Nothing was changed. Next: start the one that was (systemctl start postgresql), or promote a standby: "
        f"{PROMOTE}NAME"
    )


def _rivals(claims: t.Sequence[Member]) -> str:
    newest = max(claims, key=lambda one: one.timeline)
    other = next(one for one in claims if one is not newest)
    which = (
        "Equal timelines do not tell who came later: look at their rows."
        if other.timeline == newest.timeline
        else "The higher timeline was promoted later."
    )
    return (
        f"{' and '.join(one.name for one in claims)} both say that they are the primary "
        f"({', '.join(f'{one.name}: timeline {one.timeline}' for one in claims)}). Nothing was changed. "
        f"{which} Next: if users shall have {newest.name}, {REJOIN}{other.name}"
    )


def promotion(
    found: t.Mapping[str, Member], target_name: str, given_up: str = "", reason: str = "", most_bytes: int = 2**24
) -> Promotion:
    """Returns what must be done so that *target_name* is the only primary. Raises Refused.

    *given_up*: names of members that nobody can stop, with commas between them. *most_bytes*: how far it may be behind
    a primary that runs.
    """
    if target_name not in found:
        raise Refused(f"postgres_promote must name one of {', '.join(found)}. Found: {target_name or 'nothing'}.")
    target = found[target_name]
    gone = _given_up(found, target, given_up, reason)
    others = [member for member in found.values() if member is not target and member.name not in gone]
    if not target.asked:
        raise Refused(
            f"{target.name} cannot be asked: it is {target.state}. Nothing was changed. Next: reach it, or look who "
            f"else there is: {REPLICATION}"
        )
    told = [f"{name} ({found[name].state}) is given up: {reason}" for name in gone]
    primaries = [one for one in others if one.state == "primary"]
    if target.state == "primary" and not primaries:
        return Promotion(target.name, [], "", False, True, "", [f"{target.name} is the primary already."])
    if target.state in ("fenced", "stopped") and not primaries:
        return _come_back(target, others, gone, told)
    if target.state != "standby":
        raise Refused(
            f"{target.name} is {target.state}; only a standby that runs can be promoted. Nothing was changed. "
            f"Next: look who does: {REPLICATION}"
        )
    leader = _leader(target, found)
    fence = []
    for member in others:
        if _is_later(member, target):
            raise Refused(_came_later(member, target))
        if _must_be_fenced(member, target, leader):
            if not member.asked:
                raise Refused(_unproven(member, target, gone))
            fence.append(member.name)
        elif not primaries and _has_more(member, target):
            raise Refused(
                f"{member.name} has received more than {target.name}: {member.received - target.received} bytes would "
                f"be lost. Nothing was changed. Next: {PROMOTE}{member.name}"
            )
        elif not member.asked:
            told.append(f"{member.name} cannot be asked ({member.state}); when it is back: {PROVISION}")
    for primary in primaries:
        _check_it_can_catch_up(target, primary, most_bytes)
    # A run that was cut off has fenced it already: that is done once more, to know where it ended.
    fence += [one.name for one in others if one.state == "fenced" and one.ended_at and one.timeline == target.timeline]
    same = [name for name in fence if found[name].timeline == target.timeline]
    until = leader.name if leader and leader.name in fence else next(iter(same), "")
    return Promotion(target.name, fence, until, False, False, ",".join(gone), told)


def _leader(target: Member, found: t.Mapping[str, Member]) -> Member | None:
    """Returns whom *target* gets its data from in the end, also through other standbys; None when that is unknown."""
    one, passed = target, {target.name}
    while one.state in ("standby", "asleep"):
        if one.upstream not in found or one.upstream in passed:
            return None
        one = found[one.upstream]
        passed.add(one.name)
    return one


def _must_be_fenced(member: Member, target: Member, leader: Member | None) -> bool:
    """Whether *member* could take writes, now or after a start."""
    if member.state in ("primary", "stopped") or (member.state == "unclear" and member.asked):
        return not _foreign(member, target)
    # Of those whom nobody can ask, anyone may have been promoted, unless the target still gets its data from a primary.
    return member.state in ("unclear", "unreachable", "closed") and not (leader and leader.state == "primary")


def _has_more(member: Member, target: Member) -> bool:
    """Whether rows would be lost that *member* has. While a primary runs, it tells itself how much there is."""
    same = member.system == target.system and member.timeline == target.timeline
    return same and member.state in ("standby", "asleep") and member.received > target.received


def _check_it_can_catch_up(target: Member, primary: Member, most_bytes: int) -> None:
    """A primary that runs is stopped only for a standby that will have all of it a moment later."""
    missing = primary.received - target.received
    if _foreign(primary, target) or (target.streams and missing <= most_bytes):
        return
    why = f"it is {missing} bytes behind" if target.streams else "it does not receive from"
    raise Refused(
        f"{target.name} was not promoted: {why} {primary.name}, which runs and would be stopped for it. Nothing was "
        f"changed. Expected: at most {most_bytes} bytes (postgres_update_lag). Next: {REPLICATION}, see why, then "
        f"{PROMOTE}{target.name}"
    )


def _came_later(member: Member, target: Member) -> str:
    start = f"start it (systemctl start postgresql on {member.name}), then {REJOIN}{target.name}"
    next_step = {
        "standby": f"{PROMOTE}{member.name}",
        "fenced": f"{PROMOTE}{member.name} brings it back",
        "primary": f"{REJOIN}{target.name}",
    }.get(member.state, start)
    return (
        f"{target.name} was not promoted: it has timeline {target.timeline}, and {member.name} ({member.state}) has "
        f"timeline {member.timeline}: what was written since would be lost. Nothing was changed. Next: {next_step}"
    )


def _unproven(member: Member, target: Member, gone: t.Sequence[str]) -> str:
    what = {
        "primary": "still answers as the primary, and its host cannot be reached to stop it",
        "unclear": "still answers, and its host cannot be reached to stop it",
        "closed": "takes no connections, but its host cannot be reached to keep it from starting",
    }.get(
        member.state,
        "does not answer; a host that is cut off looks the same as one that is dead, and may still take writes",
    )
    sure = (
        "cut its power or its network first, then"
        if member.state == "primary"
        else "when you know that nobody can write to it (power off, network cut),"
    )
    return (
        f"{target.name} was not promoted: {member.name} {what}. Nothing was changed. Next: reach it, or, {sure} "
        f"say so: {PROMOTE}{target.name} {_give_up(*gone, member.name)}"
    )


def _give_up(*names: str) -> str:
    return f"-e postgres_given_up={','.join(names)} -e \"postgres_reason='why'\""


def _given_up(found: t.Mapping[str, Member], target: Member, given_up: str, reason: str) -> list[str]:
    """Returns the names in *given_up*. Raises Refused for one that can be stopped, or is alive for certain."""
    names = list(dict.fromkeys(given_up.replace(",", " ").split()))
    if names and len(reason.split()) < 2:
        raise Refused("postgres_given_up needs postgres_reason with a sentence: it is written down.")
    for name in names:
        if name not in found or name == target.name:
            raise Refused(f"postgres_given_up must name another member. Found: {name}.")
        if found[name].asked:
            raise Refused(
                f"{name} answers on its host, so it can be stopped and need not be given up. Next: "
                f"{PROMOTE}{target.name}"
            )
        if found[name].state == "primary":
            raise Refused(
                f"{name} cannot be given up: it answers other members as the primary at this moment. Nothing was "
                f"changed. Next: cut its power or its network, then {PROMOTE}{target.name} {_give_up(*names)}"
            )
    return names


def _come_back(target: Member, others: t.Sequence[Member], gone: t.Sequence[str], told: t.Sequence[str]) -> Promotion:
    """The way back when a promotion failed after the old primary was stopped, or when its return was cut off."""
    # Data of a primary that does not run, or does not answer: it may have been the one that was promoted.
    newer = [one for one in others if not one.asked or one.state in ("stopped", "unclear") or _is_later(one, target)]
    if newer:
        away = [one.name for one in newer if not one.asked]
        say = f"; or, when you know that they were not: {PROMOTE}{target.name} {_give_up(*gone, *away)}" if away else ""
        raise Refused(
            f"{target.name} is {target.state}, and {', '.join(one.name for one in newer)} may have been promoted "
            f"since. Nothing was changed. Next: start whoever was, then {REJOIN}{target.name}{say}"
        )
    comes = f"{target.name} was {target.state}; nobody was promoted since: it comes back."
    return Promotion(target.name, [], "", True, False, ",".join(gone), [*told, comes])


def ended_at(promotion: t.Mapping[str, t.Any], fenced: t.Mapping[str, t.Mapping[str, t.Any] | None]) -> str:
    """Returns where the old primary of a *promotion* (refused, and the parts of Promotion) ended; empty when unknown.

    *fenced*: what the module that fences returned on each host. Raises Refused when a member that must be stopped
    first was not, however it came that this is asked (a task that was skipped, hosts that are not at the same task).
    """
    if promotion["refused"]:
        raise Refused(str(promotion["refused"]))
    open_ones = [name for name in promotion["fence"] if "ended_at" not in (fenced.get(name) or {})]
    if open_ones:
        raise Refused(
            f"{promotion['target']} was not promoted: {', '.join(open_ones)} must be stopped first, and was not in "
            f"this run. Next: {PROMOTE}{promotion['target']}"
        )
    return str((fenced[promotion["until"]] or {})["ended_at"] or "") if promotion["until"] else ""


def replication(found: t.Mapping[str, Member], looks: t.Mapping[str, Look | None]) -> list[str]:
    """Returns what an operator sees: who is what, how far behind, and what keeps the disk from getting free."""
    lines = []
    for member in found.values():
        look = looks.get(member.name) or {}
        what = f"{member.state} of {member.upstream}" if member.upstream and member.state == "standby" else member.state
        told = f", timeline {member.timeline}" if member.timeline else ""
        lines.append(
            f"{member.name}: {what}{told}{'' if member.asked else ', its host did not answer'}{_received(member, look)}"
        )
        if look.get("fence") and member.state != "primary":
            told = look["fence"]
            lines.append(
                f"  fenced at {told['at']} by {told['by']} for {told['for']}: {told['reason']}. "
                f"To make it a standby: {REJOIN}{member.name}"
            )
        lines.extend(f"  {_sender(one)}" for one in look.get("senders") or [])
        lines.extend(f"  {_slot(one, look)}" for one in look.get("slots") or [])
    return lines


def _received(member: Member, look: Look) -> str:
    if member.state != "standby" or not member.asked:
        return ""
    receiver = look.get("receiver") or {}
    if receiver.get("status") != "streaming":
        return ", receives from nobody: look at the end of its log"
    waiting = member.received - position(look.get("replayed"))
    age = float(look.get("last_commit_age") or 0) if waiting > 0 else 0.0
    return f", receives, {waiting} bytes ({age:.1f} s) not replayed yet"


def _sender(one: Look) -> str:
    if one.get("copied_bytes") is not None:
        copied, whole = int(one["copied_bytes"]) / 2**30, int(one.get("copy_bytes") or 0) / 2**30
        return f"to {one['name']}: a copy is made, {copied:.1f} of about {whole:.1f} GB"
    seconds = float(one.get("lag_seconds") or 0)
    return f"to {one['name']}: {one['state']}, {int(one.get('lag_bytes') or 0)} bytes and {seconds:.1f} s behind"


def _slot(one: Look, look: Look) -> str:
    kept = f"keeps {int(one.get('retained_bytes') or 0) / 2**20:.1f} MB of WAL"
    if one["state"] == "lost":
        return f"slot {one['name']}: lost. Its standby was away too long and must be made anew: {REJOIN}NAME"
    if not one["active"]:
        most = look.get("keep_at_most")
        return f"slot {one['name']}: NOBODY USES IT, {kept}, at most {most}. Start its standby, or see its log"
    return f"slot {one['name']}: in use, {kept}"


def behind(look: Look | None, most_bytes: int) -> list[str]:
    """Returns why this standby, or the standbys of this primary, do not have all, in sentences; none when they do."""
    look = look or {}
    if look.get("state") == "standby":
        return _standby_is_behind(look, most_bytes)
    if look.get("state") != "primary":
        return [f"the server is {look.get('state', 'unknown')}, neither primary nor standby"]
    idle = [f"slot {one['name']} has no standby" for one in look.get("slots") or [] if not one["active"]]
    late = [
        _sender(one)
        for one in look.get("senders") or []
        if one["state"] != "streaming" or int(one.get("lag_bytes") or 0) > most_bytes
    ]
    return idle + late


def _standby_is_behind(look: Look, most_bytes: int) -> list[str]:
    if (look.get("receiver") or {}).get("status") != "streaming":
        return ["it receives from nobody"]
    others = (look.get("members") or {}).values()
    written = max((position(one.get("lsn")) for one in others if one["state"] == "primary"), default=None)
    if written is None:
        return ["its primary does not answer"]
    missing = written - position(look.get("replayed"))
    return [f"{missing} bytes are not replayed yet"] if missing > most_bytes else []
