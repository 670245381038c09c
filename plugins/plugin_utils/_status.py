# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of an application as a screenful of lines. Pure. PRIVATE to the collection."""

from __future__ import annotations

import datetime
import textwrap
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import playbook

SLOTS = ("blue", "green")
WIDTH = 100
RELEASE_WIDTH = 26
# The parts that grow, in lines: the table of hosts, the run, its watch, what needs attention, all and each of it.
MOST_HOST_LINES = 6
MOST_RUN_LINES = 3
MOST_WATCH_LINES = 2
MOST_REASON_LINES = 2
MOST_ATTENTION_LINES = 8
MOST_LINES_EACH = 3

Fields = t.Mapping[str, t.Any]


class Status(t.NamedTuple):
    """What was asked of the hosts; shapes as rollout_info and slot_info return them.

    state: content of state.json. pointer: live, candidate, weight. servers: slot, name, status of each server of the
    load balancer. instances: result of slot_info by host. problems: sentences. now: seconds since 1970-01-01 UTC.
    run: the run that is under way, its step, and what happens next, in words. undone: whether the last deploy died, and
    users are where they were. watch: what the gates see at this moment. router: what routes, of all load balancers.
    astray: whether one of them sends users to a slot that nobody confirmed.
    """

    application: str
    environment: str
    state: Fields | None
    pointer: Fields | None
    servers: t.Sequence[Fields]
    instances: t.Mapping[str, Fields]
    problems: t.Sequence[str]
    now: float
    run: str = ""
    undone: bool = False
    watch: str = ""
    router: str = "HAProxy"
    astray: bool = False

    @property
    def live(self) -> str | None:
        """The slot that is live as the state tells."""
        return self.state["live"] if self.state else None

    @property
    def pointed(self) -> str | None:
        """The slot that the traffic pointer calls live."""
        return self.pointer["live"] if self.pointer else None

    def record(self, slot: str) -> Fields | None:
        """What the state tells about *slot*: release, since, by."""
        slots: t.Mapping[str, Fields | None] = (self.state or {}).get("slots", {})
        return slots.get(slot)

    def wanted(self, host: str, slot: str) -> list[Fields]:
        """The instances of *slot* on *host* that should run."""
        told = self.instances[host]["slots"].get(slot) or {}
        started = told.get("processes_started")
        return [
            one
            for one in told.get("instances") or []
            if one["kind"] is not None and (started is None or one["process"] in started)
        ]


def render(status: Status) -> list[str]:
    """Returns at most 32 lines of at most 100 characters."""
    lines = [_headline(status), "", *_slot_table(status), "", *_host_table(status)]
    if status.instances:
        lines.append("")
    last_good = (status.state or {}).get("last_good")
    lines.append(f"  last good   {last_good or 'none yet'}")
    lines.append(f"  roll back   {_way_back(status)}")
    lines.append(f"  traffic     {_traffic(status)}")
    lines.append(f"  last run    {_last_run(status)}")
    because = _wrapped("because", _reason(status), MOST_REASON_LINES)
    lines += [*because, *_wrapped("run now", status.run, MOST_RUN_LINES)]
    lines += _wrapped("watch", status.watch, MOST_WATCH_LINES)
    odd = [*status.problems, *oddities(status)]
    if odd:
        lines += ["", "  attention", *_attention(odd, MOST_ATTENTION_LINES - len(because))]
    return [_clip(line, WIDTH) for line in lines]


def _wrapped(name: str, text: str, most: int) -> list[str]:
    """Returns *text* in at most *most* lines that begin with its *name*; none without a text."""
    indents = f"  {name:<12}", " " * 14
    return textwrap.wrap(
        text, WIDTH, initial_indent=indents[0], subsequent_indent=indents[1], max_lines=most, placeholder=" ..."
    )


def oddities(status: Status) -> list[str]:
    """Returns what a person should look at, in words, the worst first."""
    odd = []
    if status.live != status.pointed and not status.run:
        way = "roll_back goes there" if status.live else "deploy a version that works"
        odd.append(
            f"the traffic pointer sends users to {status.pointed or 'nobody'}, "
            f"but the state says {status.live or 'nothing'} is live: {way}"
        )
    down = [one["name"] for one in status.servers if one["slot"] == status.live and not _serves(one)]
    if down:
        odd.append(f"the load balancer does not send users to {few(down)} of the live slot {status.live}")
    ordered = [slot for slot in SLOTS if slot == status.live] + [slot for slot in SLOTS if slot != status.live]
    for slot in ordered:
        record = status.record(slot)
        for host in sorted(status.instances):
            current = ((status.instances[host]["slots"].get(slot) or {}).get("current") or {}).get("id")
            if record and current != record["release"]["id"] and slot == status.live:
                odd.append(f"{host}: the live slot {slot} holds {current or 'nothing'}, not {record['release']['id']}")
            odd += [
                f"{host}: {one['name']} is {_condition(one)}{_restarted(one)}"
                for one in status.wanted(host, slot)
                if not _is_up(one) and not _begins(one)
            ]
    for host in sorted(status.instances):
        strays = [
            one["name"]
            for told in status.instances[host]["slots"].values()
            for one in (told or {}).get("instances") or []
            if one["kind"] is None
        ]
        if strays:
            odd.append(f"{host}: {few(strays)} should not be there")
    return odd + _unscheduled(status) + _refused(status)


def _unscheduled(status: Status) -> list[str]:
    """A host that follows users alone starts no scheduler that would have to change hosts: then none runs."""
    told = [(status.instances[host]["slots"].get(status.live or "") or {}) for host in sorted(status.instances)]
    known = {one["process"] for each in told for one in each.get("instances") or [] if one["kind"] == "scheduler"}
    begun = {name for each in told for name in each.get("processes_started") or []}
    if not known or known & begun or status.run or status.problems:  # a host that did not answer may run it
        return []
    record = status.record(status.live) if status.live else None
    version = record["release"]["version"] if record else "VERSION"
    way = f"{playbook('deploy')} -e rollout_version={version}"
    return [f"no host runs the scheduler ({few(sorted(known))}) of the live slot {status.live}: {way}"]


def _refused(status: Status) -> list[str]:
    """What a bake that nobody attended has left: it takes traffic back, work follows, and no console tells of it."""
    last = ((status.state or {}).get("history") or [{}])[-1]
    slot, release = last.get("slot"), last.get("release")
    if last.get("outcome") != "refused" or slot == status.live or status.run:
        return []
    left = {
        host: [one for one in status.wanted(host, slot) if _is_up(one) or _begins(one)]
        for host in sorted(status.instances)
        if ((status.instances[host]["slots"].get(slot) or {}).get("current") or {}).get("id") == release
    }
    web = [f"{one['name']} on {host}" for host, found in left.items() for one in found if one["kind"] == "web"]
    work = [host for host, found in left.items() if any(one["kind"] != "web" for one in found)]
    live = status.record(status.live) if status.live else None
    told = []
    if work:
        # Where the last deploy is undone, a roll back moves no traffic: it only brings work to where users are.
        version = live["release"]["version"] if live else "VERSION"
        way = playbook("roll_back") if status.undone else f"{playbook('deploy')} -e rollout_version={version}"
        followed = all(status.instances[host].get("follows") == release for host in work)
        ends = f"take jobs in {slot} until the next deploy, or"
        if followed and status.pointed == status.live:
            ends = f"in {slot} stop within a minute, else"
        told.append(f"{few(work)}: workers of the refused {release} {ends}: {way}")
    if web:
        told.append(f"why {release} was refused: " if not work else "why: ")
        told[-1] += f"journalctl -u rollout-watch@{status.application} on the load balancer, log of {web[0]}"
    # In one sentence: beside what the guard says there is room for one more.
    return ["; ".join(told)] if told else []


def _attention(odd: t.Sequence[str], most: int) -> list[str]:
    """Returns what there is room for, and how much more there is."""
    lines: list[str] = []
    for left, text in zip(range(len(odd), 0, -1), odd):
        wrapped = textwrap.wrap(
            text,
            WIDTH,
            initial_indent="  - ",
            subsequent_indent="    ",
            max_lines=MOST_LINES_EACH,
            break_on_hyphens=False,  # of a command to type
            placeholder=" ...",
        )
        # Only after the last one is there no more to tell of.
        if len(lines) + len(wrapped) + (left > 1) > most:
            return [*lines, f"  - ... and {left} more"]
        lines += wrapped
    return lines


def _headline(status: Status) -> str:
    place = f"{status.application} in {status.environment}"
    record = status.record(status.live) if status.live else None
    if record is None and status.pointed:
        return f"{place}: slot {status.pointed} has the traffic, but no state tells what is in it"
    if record is None:
        return f"{place}: nothing is live yet"
    age = _age(record["since"], status.now)
    return f"{place}: {record['release']['version']} is live in slot {status.live}, for {age} (by {record['by']})"


def _slot_table(status: Status) -> list[str]:
    rows = [("slot", "state", "release", "since (UTC)", "instances", f"in {status.router}")]
    for slot in SLOTS:
        record = status.record(slot)
        wanted = [one for host in status.instances for one in status.wanted(host, slot)]
        servers = [one for one in status.servers if one["slot"] == slot]
        rows.append(
            (
                slot,
                "live" if slot == status.live else "idle",
                _clip(record["release"]["id"], RELEASE_WIDTH) if record else "empty",
                f"{_moment(record['since'])} ({_age(record['since'], status.now)} ago)" if record else "-",
                f"{sum(map(_is_up, wanted))}/{len(wanted)} up" if wanted else "-",
                f"{sum(map(_serves, servers))}/{len(servers)} up" if servers else "-",
            )
        )
    return _aligned(rows)


def _host_table(status: Status) -> list[str]:
    """Hosts that look the same share a row."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for host in sorted(status.instances):
        groups.setdefault(tuple(_cell(status, host, slot) for slot in SLOTS), []).append(host)
    rows = [(few(hosts), *cells) for cells, hosts in groups.items()]
    if not rows:
        return []
    return _capped(_aligned([("instances", *SLOTS), *rows]), "  ... and {} more groups of hosts", MOST_HOST_LINES)


def _cell(status: Status, host: str, slot: str) -> str:
    wanted = status.wanted(host, slot)
    processes: dict[str, list[Fields]] = {}
    for one in (status.instances[host]["slots"].get(slot) or {}).get("instances") or []:
        if one["kind"] is not None:
            processes.setdefault(one["process"], []).append(one)
    parts = []
    for process, instances in processes.items():
        if any(one in wanted for one in instances):
            parts.append(f"{process} {sum(map(_is_up, instances))}/{len(instances)}")
        else:
            left = sum(map(_is_up, instances))
            parts.append(f"{process} {f'{left} still up' if left else 'off'}")
    return "  ".join(parts) or "-"


def _way_back(status: Status) -> str:
    if status.live is None:
        return "no: nothing is live"
    if status.astray or status.pointed not in (None, status.live):
        record = status.record(status.live)
        return f"to {record['release']['id'] if record else '?'} in {status.live}: a run was cut off after its switch"
    done = _done_already(status)
    if done:
        return done
    target = next(slot for slot in SLOTS if slot != status.live)
    record = status.record(target)
    if record is None:
        return f"no: slot {target} is empty, this is the first release"
    release = record["release"]["id"]
    if not status.instances:
        return f"to {release} in {target}: unknown, no application host answered"
    return f"to {release} in {target}: {_warmth(status, target, release)}"


def _done_already(status: Status) -> str:
    if status.undone:
        return "done already, for the last deploy was cut off; a second one goes to the release before"
    confirmed = [entry for entry in (status.state or {}).get("history") or [] if entry["outcome"] == "confirmed"]
    rolled_back = bool(confirmed) and confirmed[-1]["operation"] == "roll_back"
    return "done already; to go forward, deploy a version" if rolled_back else ""


def _warmth(status: Status, slot: str, release: str) -> str:
    web = up = 0
    for host in sorted(status.instances):
        told = status.instances[host]["slots"].get(slot) or {}
        current = (told.get("current") or {}).get("id")
        if current != release:
            before = (told.get("previous") or {}).get("id")
            if before != release:
                return f"no, {host} does not have it any more (found {current or 'nothing'})"
            return f"possible, must start first ({host} holds {current or 'nothing'})"
        instances = [one for one in told.get("instances") or [] if one["kind"] == "web"]
        web += len(instances)
        up += sum(map(_is_up, instances))
    if not web:
        return "possible, must start first (no web instance is there)"
    return f"warm, {up} of {web} web instances up" if up == web else f"possible, {web - up} of {web} must start first"


def _traffic(status: Status) -> str:
    if not status.pointer or not status.pointed:
        return "to nobody: there is no traffic pointer yet"
    weight, candidate = int(status.pointer.get("weight") or 0), status.pointer.get("candidate")
    if candidate and weight:
        return f"{100 - weight} % to {status.pointed}, {weight} % to {candidate}"
    return f"100 % to {status.pointed}"


def _last_run(status: Status) -> str:
    history = (status.state or {}).get("history") or []
    if not history:
        return "none is recorded"
    last = history[-1]
    return (
        f"{last['operation']} of {last['release']} in {last['slot']}: {last['outcome']}, "
        f"{_age(last['at'], status.now)} ago by {last['by']}{_approved(last)}"
    )


def _approved(entry: Fields) -> str:
    """Who confirmed it before its gates did, if somebody did."""
    return f", approved by {entry['approved_by']}" if entry.get("approved_by") else ""


def _reason(status: Status) -> str:
    """Returns why the last run was refused; what nobody attended has told nobody else."""
    history = (status.state or {}).get("history") or [{}]
    return " ".join(str(history[-1].get("reason") or "").split())


def _is_up(instance: Fields) -> bool:
    return instance["state"] in ("running", "active", "up") and instance.get("health") in (None, "", "none", "healthy")


def _begins(instance: Fields) -> bool:
    """Whether its runtime has not asked it often enough yet, and nothing has gone wrong so far."""
    return instance["state"] == "running" and instance.get("health") == "starting" and not instance.get("restarts")


def _condition(instance: Fields) -> str:
    return f"{instance['state']} but {instance['health']}" if instance["state"] == "running" else str(instance["state"])


def _restarted(instance: Fields) -> str:
    restarts = int(instance.get("restarts") or 0)
    return f", restarted {restarts} time{'s' if restarts > 1 else ''}" if restarts else ""


def _serves(server: Fields) -> bool:
    return str(server["status"]).startswith("UP") or server["status"] == "no check"


def _parse(moment: str) -> datetime.datetime:
    parsed = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)


def _moment(moment: str) -> str:
    return _parse(moment).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")


def _age(moment: str, now: float) -> str:
    """Returns how long ago *moment* was, such as 2 h 05 min; a clock that runs ahead gives 0 s."""
    seconds = max(0, int(now - _parse(moment).timestamp()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{days} d {hours % 24:02d} h"


def _aligned(rows: t.Sequence[t.Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths))}".rstrip() for row in rows]


def few(names: t.Sequence[str]) -> str:
    """Returns *names* in words that stay short."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} to {names[-1]} ({len(names)})"


def _capped(lines: t.Sequence[str], rest: str, most: int) -> list[str]:
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], rest.format(len(lines) - most + 1)]


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
