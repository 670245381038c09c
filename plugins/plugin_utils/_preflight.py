# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong before a verb changes anything, as messages for people. Pure. PRIVATE to the collection."""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from ._gate_phases import left_alone
from ._gate_problems import gate_problems, missing_authorities, missing_libraries
from ._ports import expected_ports, first_ports, load_balancer_driver, web_instances
from ._preflight_memory import crowded
from ._probation import pointer_places, untold_pointers

NEEDED_GROUPS = {
    "deploy": ("load_balancer", "application"),
    "roll_back": ("load_balancer", "application"),
    "confirm": ("load_balancer", "application"),
    "retire": ("load_balancer", "application"),
    "site": ("load_balancer", "application"),
    "status": ("load_balancer", "application"),
}
SUPPORTED = {"debian": ("12", "13")}
REASON_LENGTH = 200  # characters


class Host(t.NamedTuple):
    """What is known of one host of the play. expected_ports None: as its variables and groups tell."""

    name: str
    variables: t.Mapping[str, t.Any]
    groups: t.Sequence[str]
    host_info: t.Mapping[str, t.Any] | None = None
    login: t.Mapping[str, t.Any] | None = None
    expected_ports: t.Sequence[t.Mapping[str, t.Any]] | None = None

    @property
    def told(self) -> t.Mapping[str, t.Any] | None:
        """What the host told of itself, None when it did not."""
        info = self.host_info
        return None if not info or info.get("unreachable") or info.get("failed") or "init" not in info else info

    @property
    def ports(self) -> t.Sequence[t.Mapping[str, t.Any]]:
        """The ports that this host needs."""
        return expected_ports(self.variables, self.groups) if self.expected_ports is None else self.expected_ports


def problems(
    hosts: t.Sequence[Host],
    *,
    verb: str,
    known: t.Collection[str],
    also_known: t.Collection[str] = (),
    version: str = "",
    left_out: t.Sequence[str] = (),
    inventory: t.Collection[str] = (),
    gates: t.Mapping[str, t.Any] | None = None,
) -> list[str]:
    """Returns one message for each problem, the ones that explain others first. An empty list means: go on.

    *version* is the one to deploy; *left_out* are the load balancers and application hosts that do not take part;
    *inventory* are all hosts, also those outside of the play; *gates* are the variables that gates depend on.
    A roll back is in a hurry: its hosts were not asked, and only variables count.
    """
    if verb in ("roll_back", "confirm"):
        hasty = (
            *missing_hosts(hosts, left_out, verb),
            *mixed_environments(hosts),
            *lost_safety(hosts),
            *short_guards(hosts),
        )
        return [str(one) for one in hasty]
    found = [
        *missing_version(version, verb),
        *missing_hosts(hosts, left_out, verb),
        *unreachable(hosts),
        *silent(hosts),
        *empty_groups(hosts, verb),
        *mistyped(hosts, {*known, *also_known}),
        *mixed_environments(hosts),
    ]
    if verb != "status":
        found += [
            *without_systemd(hosts),
            *unknown_addresses(hosts),
            *unsupported_distribution(hosts),
            *names_to_bind(hosts),
            *clashing_settings(hosts),
            *moved_ports(hosts),
            *taken_ports(hosts),
            *refused_logins(hosts),
            *(stale_slots(hosts) if verb in ("provision", "site") else ()),
            *(crowded_hosts(hosts) if verb in ("provision", "site") else ()),
            *lost_safety(hosts),
            *short_guards(hosts),
            *short_leases(hosts),
            *(problems_of_gates(hosts, verb, gates, inventory) if gates else ()),
        ]
    return [str(problem) for problem in found]


def missing_version(version: str, verb: str) -> t.Iterator[RolloutError]:
    if verb in ("deploy", "site") and not version:
        yield RolloutError(
            "It is not clear which version to deploy.",
            expected="a version such as 1.1.0",
            found="no rollout_version",
            where="-e on the command line, or the survey of the job template",
            next_step="run again with -e rollout_version=VERSION",
        )


def missing_hosts(hosts: t.Sequence[Host], left_out: t.Sequence[str], verb: str) -> t.Iterator[RolloutError]:
    """Roles may be applied to a part of the fleet; no load balancer gets application hosts that nobody looked at."""
    routes = any("load_balancer" in host.groups for host in hosts)
    if left_out and (routes or verb not in ("provision", "site")):
        yield RolloutError(
            "This run leaves out a part of the fleet, so users would get two releases.",
            expected="every load balancer and every application host of the inventory",
            found=f"without {', '.join(left_out)}",
            where="--limit, or the limit of the job template",
            next_step="run again without a limit; a host that is gone for good leaves the inventory, then provision",
        )


def unreachable(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    lost = [host for host in hosts if (host.host_info or {}).get("unreachable")]
    if lost:
        names = [host.name for host in lost]
        yield RolloutError(
            f"{_count(lost, 'host')} cannot be reached.",
            expected="an SSH login on every host of the play",
            found=_lines(f"{host.name}: {_one_line((host.host_info or {}).get('msg'))}" for host in lost),
            next_step=f"try ssh {names[0]}; to go on without, take it out of the inventory and run provision first",
        )


def silent(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """Hosts that were reached, or not even asked, and did not tell what they are: no data is never a pass."""
    quiet = [host for host in hosts if host.told is None and not (host.host_info or {}).get("unreachable")]
    if quiet:
        yield RolloutError(
            f"{_count(quiet, 'host')} did not tell what it is."
            if len(quiet) == 1
            else f"{_count(quiet, 'host')} did not tell what they are.",
            expected="a result of vitalops.rollout.host_info for every host of the play",
            found=_lines(f"{host.name}: {_one_line((host.host_info or {}).get('msg'))}" for host in quiet),
            next_step=f"run alone: ansible {quiet[0].name} -i INVENTORY -b -m vitalops.rollout.host_info",
        )


def empty_groups(hosts: t.Sequence[Host], verb: str) -> t.Iterator[RolloutError]:
    present = {group for host in hosts for group in host.groups}
    missing = [group for group in NEEDED_GROUPS.get(verb, ()) if group not in present]
    if missing:
        yield RolloutError(
            f"The inventory has no host for {verb} in: {', '.join(missing)}.",
            expected=f"at least one host in each of {', '.join(NEEDED_GROUPS[verb])}",
            found=f"hosts in {', '.join(sorted(present - {'all', 'ungrouped'})) or 'no group'}",
            where="hosts.yml of the inventory, and --limit",
            next_step="ansible-inventory -i INVENTORY --graph",
        )


def mistyped(hosts: t.Sequence[Host], known: t.Collection[str]) -> t.Iterator[RolloutError]:
    owners: dict[str, list[str]] = {}
    for host in hosts:
        for name in host.variables:
            if str(name).startswith("rollout_") and name not in known:
                owners.setdefault(str(name), []).append(host.name)
    for name, where in sorted(owners.items()):
        close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
        yield RolloutError(
            f"Nothing reads the variable {name}.",
            expected=f"did you mean {close[0]}?" if close else "a variable of role rollout",
            found=f"{name}, set for {_names(where, len(hosts))}",
            where="group_vars or host_vars of the inventory, or -e",
            next_step=f"correct or remove it: grep -rn {name} inventories/ (names: ansible-doc -t role "
            "vitalops.rollout.rollout)",
        )


def mixed_environments(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    environments: dict[str, list[str]] = {}
    for host in hosts:
        environments.setdefault(str(host.variables.get("rollout_environment") or ""), []).append(host.name)
    if len(environments) > 1 or "" in environments:
        named = [name for name in environments if name]
        yield RolloutError(
            "The play mixes environments."
            if len(named) > 1
            else "Some hosts do not say to which environment they belong."
            if named
            else "No host says to which environment it belongs.",
            expected="the same rollout_environment on every host of the play",
            found=_lines(f"{name or '(none)'}: {', '.join(where)}" for name, where in sorted(environments.items())),
            where="group_vars/all of the inventory; is there more than one -i?",
            next_step="ansible-inventory -i INVENTORY --graph --vars",
        )


def unknown_addresses(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """A default of the role would be seen by the host itself alone, and load balancers must reach every one of them."""
    unknown = [
        host.name for host in hosts if "application" in host.groups and not host.variables.get("rollout_address")
    ]
    if unknown:
        yield RolloutError(
            "Load balancers do not know where application hosts are.",
            expected="rollout_address, the address by which other hosts reach this one",
            found="none",
            where=_names(unknown, len(hosts)),
            next_step="for all of them, in group_vars/all: "
            'rollout_address: "{{ ansible_host | default(inventory_hostname) }}"',
        )


def without_systemd(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    for host in hosts:
        if host.told is not None and not host.told["init"].get("systemd"):
            yield RolloutError(
                f"{host.name} does not run systemd.",
                expected="systemd as process 1",
                found=f"{host.told['init'].get('name') or 'something unknown'} as process 1",
                where=host.name,
                next_step="use a host or virtual machine that boots with systemd; see: ps -p 1 -o comm=",
            )


def unsupported_distribution(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    for host in hosts:
        if host.told is None or "unsupported_distribution" in (host.variables.get("rollout_allow") or []):
            continue
        distribution = host.told.get("distribution") or {}
        if distribution.get("version") not in SUPPORTED.get(str(distribution.get("id")), ()):
            shown = distribution.get("name") or f"{distribution.get('id')} {distribution.get('version')}"
            yield RolloutError(
                f"The distribution of {host.name} is not supported.",
                expected="Debian 12 or 13",
                found=str(shown).strip() or "no /etc/os-release",
                where=host.name,
                next_step="to try it all the same: rollout_allow: [unsupported_distribution]",
            )


#: What a variable gives up, by the name that rollout_allow accepts it under: the variable, the value, and the loss.
LOSSES = {
    "no_guard": ("rollout_guard", False, "a run that dies leaves users on a release that nobody has found good"),
    "no_drain": ("rollout_drain_deadline", 0.0, "instances are stopped in the middle of requests"),
    "one_slot": ("rollout_keep_warm_seconds", 0.0, "a roll back must start the earlier release first"),
}
#: Seconds that a confirmation may take once the workers have moved.
CONFIRMATION = 10.0
DEFAULT_GUARD_DEADLINE, DEFAULT_STOP_TIMEOUT = 60.0, 30.0
DEFAULT_LEASE, DEFAULT_READY_DEADLINE = 300.0, 60.0


def lost_safety(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """What the variables give up without saying so by name."""
    for name, (variable, value, loss) in LOSSES.items():
        losing = [
            host.name
            for host in hosts
            if name not in (host.variables.get("rollout_allow") or [])
            and _gives_up(host.variables.get(variable), value)
        ]
        if losing:
            yield RolloutError(
                f"{variable} gives up safety: {loss}.",
                expected=f"another value, or {name} in rollout_allow",
                found=f"{variable}: {str(value).lower() if isinstance(value, bool) else 0}",
                where=_names(losing, len(hosts)),
                next_step=f"leave {variable} as it is, or accept the loss by name: rollout_allow: [{name}]",
            )


def _gives_up(found: t.Any, value: t.Any) -> bool:
    if found is None:
        return False
    if isinstance(value, bool):
        return str(found).strip().lower() in ("false", "no", "off", "0")
    try:
        return bool(float(found) <= value)
    except (TypeError, ValueError):
        return False  # the argument specification refuses it


def short_guards(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """A guard that fires while workers still finish their jobs would take a good switch back."""
    for host in hosts:
        processes = host.variables.get("rollout_processes") or []
        stops = [
            float(one.get("stop_timeout") or DEFAULT_STOP_TIMEOUT) for one in processes if one.get("kind") != "web"
        ]
        deadline = _number(host, "rollout_guard_deadline", DEFAULT_GUARD_DEADLINE)
        # A third of the time may go by while the slot that lost the traffic drains.
        needed = 1.5 * (max(stops, default=0.0) + CONFIRMATION)
        accepted = "short_guard" in (host.variables.get("rollout_allow") or [])
        if "load_balancer" in host.groups and deadline < needed and not accepted:
            yield RolloutError(
                "The guard would fire while workers still finish their jobs.",
                expected=f"rollout_guard_deadline of at least {needed:g} s: the longest stop_timeout of a worker or "
                f"scheduler and {CONFIRMATION:g} s to confirm, and half of that again to drain",
                found=f"{deadline:g} s",
                where=host.name,
                next_step=f"rollout_guard_deadline: {needed:g}; or accept it by name: rollout_allow: [short_guard]",
            )
            return


def short_leases(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """A lease that ends while instances still start would let another run in beside a living one."""
    for host in hosts:
        lease = _number(host, "rollout_lease_seconds", DEFAULT_LEASE)
        ready = _number(host, "rollout_ready_deadline", DEFAULT_READY_DEADLINE)
        accepted = "short_lease" in (host.variables.get("rollout_allow") or [])
        if "application" in host.groups and lease < ready and not accepted:
            yield RolloutError(
                "The lease would end while instances still start, and let another run in.",
                expected=f"rollout_lease_seconds of at least rollout_ready_deadline, {ready:g} s",
                found=f"{lease:g} s",
                where=host.name,
                next_step=f"rollout_lease_seconds: {ready:g}; or accept it by name: rollout_allow: [short_lease]",
            )
            return


def _number(host: Host, name: str, default: float) -> float:
    told = host.variables.get(name)
    return default if told is None else float(told)


def problems_of_gates(
    hosts: t.Sequence[Host], verb: str, gates: t.Mapping[str, t.Any], inventory: t.Collection[str]
) -> t.Iterator[RolloutError]:
    """Gates that cannot be used; on a host that is provisioned first, nothing is missing yet.

    A deploy answers for the gates of a roll back, too, which has no time to ask hosts.
    """
    found = list(gate_problems(gates, inventory)) or list(uncounted_gates(hosts, gates))
    yield from found
    stores_from = next((host for host in hosts if "application" in host.groups), None)
    if found or verb != "deploy":
        return
    if stores_from is not None and stores_from.told is not None:
        yield from missing_libraries(gates, stores_from.name, stores_from.told.get("python") or {})
    routing = [host for host in hosts if "load_balancer" in host.groups]
    told = {host.name: host.told.get("authorities") or {} for host in routing if host.told is not None}
    yield from missing_authorities(gates, told, [host.name for host in routing])
    if left_alone(gates):
        places = pointer_places({host.name: host.variables for host in routing}, [host.name for host in routing])
        asked = [host for host in hosts if "application" in host.groups and host.told is not None]
        yield from untold_pointers({host.name: (host.told or {}).get("load_balancers") or {} for host in asked}, places)


def uncounted_gates(hosts: t.Sequence[Host], gates: t.Mapping[str, t.Any]) -> t.Iterator[RolloutError]:
    """Gates that would read counters which the load balancer does not have."""
    without = [host.name for host in hosts if "load_balancer" in host.groups and _routes_with_nginx(host)]
    phases = (gates.get("rollout_gates") or {}).items()
    names = [f"{phase}: {gate.get('name')}" for phase, each in phases for gate in each if gate.get("type") == "traffic"]
    if without and names:
        yield RolloutError(
            "nginx does not count what each slot answers; gates of type traffic would never have anything to look at.",
            expected="gates of the types http and prometheus, or load_balancer_driver: haproxy",
            found=f"traffic ({', '.join(names)})",
            where=f"rollout_gates; nginx on {', '.join(without)}",
            next_step="look at the application itself: through http, or its own metrics by prometheus (docs/gates.md)",
        )


def _routes_with_nginx(host: Host) -> bool:
    return load_balancer_driver(host.variables) == "nginx"


def crowded_hosts(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """Hosts that PostgreSQL and Redis share, with less memory than both may take."""
    for host in hosts:
        memory = int(((host.told or {}).get("memory_bytes") or {}).get("usable") or 0)
        found = (
            crowded(host.name, host.variables, memory) if memory and {"postgres", "redis"} <= {*host.groups} else None
        )
        if found:
            yield found


def names_to_bind(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    wrong: dict[str, list[str]] = {}
    for host in hosts:
        address = str(host.variables.get("rollout_bind_address") or "")
        if address and "application" in host.groups and not _is_address(address):
            wrong.setdefault(address, []).append(host.name)
    for address, where in wrong.items():
        yield RolloutError(
            "rollout_bind_address is not an IP address; instances can be published on IP addresses only.",
            expected="an IP address of the host without brackets, or 0.0.0.0 for all of them",
            found=address,
            where=_names(where, len(hosts)),
            next_step="correct rollout_bind_address in group_vars or host_vars; addresses of a host: ip -brief address",
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def clashing_settings(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """Ports that the variables themselves give to two things; hosts with the same clash share a message."""
    clashes: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        for clash in _clashes(host):
            clashes.setdefault(clash, []).append(host.name)
    for (expected, found), where in clashes.items():
        yield RolloutError(
            "The configured ports clash.",
            expected=expected,
            found=found,
            where=_names(where, len(hosts)),
            next_step="move rollout_ports (or the other port) in group_vars",
        )


def _clashes(host: Host) -> t.Iterator[tuple[str, str]]:
    if "application" in host.groups:
        first, count = first_ports(host.variables), web_instances(host.variables)
        distance = abs(first["blue"] - first["green"])
        if distance < count:
            yield (
                f"at least {count} ports between the slots, one for each web instance",
                "; ".join(f"{slot} takes {port} to {port + count - 1}" for slot, port in first.items()),
            )
            return
    purposes: dict[int, list[str]] = {}
    for wanted in host.ports:
        purposes.setdefault(wanted["port"], []).append(wanted["purpose"])
    for port, names in sorted(purposes.items()):
        if len(names) > 1:
            yield "a port of its own for each service", f"port {port} for {' and for '.join(names)}"


def moved_ports(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """Slots whose instances run, none of them where the variables say: HAProxy would look for them in vain."""
    for host in hosts:
        count = web_instances(host.variables) if "application" in host.groups else 0
        if not count:
            continue
        for slot, first in first_ports(host.variables).items():
            expected = list(range(first, first + count))
            found = _ports_of(host, slot)
            if found and not found.intersection(expected):
                yield RolloutError(
                    f"rollout_ports would move slot {slot} of {host.name} away from its running instances.",
                    expected=f"web instances of slot {slot} on {_ports(expected)}, as the variables say",
                    found=f"instances of slot {slot} on {_ports(sorted(found))}",
                    where=host.name,
                    next_step="put rollout_ports back; ports can move only with the idle slot empty",
                )


def _ports_of(host: Host, slot: str) -> set[int]:
    """Ports that instances of *slot* hold, those of its workers and schedulers left out: a worker may tell metrics."""
    application = re.escape(str(host.variables.get("rollout_application") or ""))
    others = {one.get("name") for one in host.variables.get("rollout_processes") or [] if one.get("kind") != "web"}
    instance = re.compile(rf"{application}-{slot}-(?P<process>.+?)(?:-\d+|@\d+\.service)")
    found = set()
    for listener in (host.told or {}).get("listeners") or []:
        matched = [instance.fullmatch(listener.get(key) or "") for key in ("container", "unit")]
        if any(one and one["process"] not in others for one in matched):
            found.add(int(listener["port"]))
    return found


def _ports(ports: t.Sequence[int]) -> str:
    return f"port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"


def taken_ports(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    for host in hosts:
        listeners = (host.told or {}).get("listeners") or []
        for wanted in host.ports:
            for listener in listeners:
                if (
                    listener["port"] == wanted["port"]
                    and not _is_ours(listener, wanted["owners"])
                    and not (wanted.get("slot") and _is_unknown_container(listener))
                ):
                    yield RolloutError(
                        f"Port {wanted['port']} of {host.name} is taken by someone else.",
                        expected=f"port {wanted['port']} free, or used by ours ({wanted['purpose']})",
                        found=_holder(listener),
                        where=f"{host.name}, {listener.get('address')}:{listener['port']}",
                        next_step=f"on {host.name}: ss -ltnp sport = :{wanted['port']}; "
                        "stop that program or choose another port",
                    )
                    break


def _is_ours(listener: t.Mapping[str, t.Any], owners: t.Iterable[str]) -> bool:
    names = [listener.get(key) for key in ("container", "unit", "process")]
    return any(re.search(owner, name) for owner in owners for name in names if name)


def _is_unknown_container(listener: t.Mapping[str, t.Any]) -> bool:
    """The engine forwards the port and did not tell to whom: no reason to refuse, slot_release looks at ports again."""
    forwarded = listener.get("process") == "docker-proxy" or listener.get("unit") == "docker.service"
    return forwarded and not listener.get("container")


def _holder(listener: t.Mapping[str, t.Any]) -> str:
    parts = [
        f"process {listener['process']}" if listener.get("process") else "a process that cannot be seen",
        f"pid {listener['pid']}" if listener.get("pid") else "",
        f"unit {listener['unit']}" if listener.get("unit") else "",
        f"container {listener['container']}" if listener.get("container") else "",
    ]
    return ", ".join(part for part in parts if part)


def stale_slots(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    """Application hosts that missed runs: once HAProxy knows them, users would get what they hold from before."""
    told = [(host, (host.told or {}).get("rollout") or {}) for host in hosts]
    lives = [rollout["live"] for host, rollout in told if "load_balancer" in host.groups and rollout.get("live")]
    if not lives:
        return
    live = max(lives, key=lambda one: (one["epoch"], one["confirmed_at"]))  # as fleet.agree finds the one that leads
    slot, release = live["slot"], live["release"]
    for host, rollout in told:
        held = (rollout.get("slots") or {}).get(slot)
        stops = rollout.get("retires") == slot
        if (rollout.get("replaced") or {}).get(slot) == release:
            continue  # a release was refused in there, over the one on record
        if "application" in host.groups and held and (held != release or stops):
            application = host.variables.get("rollout_application")
            yield RolloutError(
                f"{host.name} missed runs: users would get what it holds from before.",
                expected=f"release {release} or nothing in slot {slot}, where users are",
                found=f"release {held}{', which its timer will stop' if stops else ''}",
                where=f"{host.name}, slot {slot}",
                next_step=f"empty that slot: ansible {host.name} -i INVENTORY -b -m vitalops.rollout.slot_release -a "
                f"'application={application} slot={slot} state=absent'; then provision, and deploy what is live again",
            )


def refused_logins(hosts: t.Sequence[Host]) -> t.Iterator[RolloutError]:
    refusals: dict[tuple[str, str, str], list[str]] = {}
    for host in hosts:
        login = host.login
        if not login or login.get("skipped") or login.get("is_available"):
            continue
        database = host.variables.get("rollout_database") or {}
        address = f"{database.get('host')}:{database.get('port') or 5432}"
        place = f"{address}, database {database.get('name')}, user {database.get('user')}"
        said = str(login.get("conn_err_msg") or login.get("msg") or "no reason was given")
        password = str(database.get("password") or "")
        reason = _one_line(said.replace(password, "********") if password else said)
        command = f"psql -h {database.get('host')} -p {database.get('port') or 5432} -U {database.get('user')} "
        refusals.setdefault((place, reason, f"{command}{database.get('name')}"), []).append(host.name)
    for (place, reason, command), where in refusals.items():
        yield RolloutError(
            "The login of rollout_database is not accepted.",
            expected="a login with the user and password of rollout_database",
            found=reason,
            where=f"{place}, asked from {', '.join(where)}",
            next_step=f"correct rollout_database.password in the vault; try: {command}",
        )


def _lines(lines: t.Iterable[str]) -> str:
    return "\n    ".join(lines)


def _one_line(text: t.Any) -> str:
    line = " ".join(str(text or "no reason was given").split())
    # A message of ours says at its end what to type.
    return line if len(line) <= REASON_LENGTH or " next: " in line else f"{line[: REASON_LENGTH - 3]}..."


def _count(things: t.Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _names(names: t.Sequence[str], total: int) -> str:
    return f"all {total} hosts" if len(names) == total > 1 else ", ".join(names)
