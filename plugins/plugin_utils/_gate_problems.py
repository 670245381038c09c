# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the gates of an environment, before a run relies on them. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import (
    http_look,
    prometheus,
    quantity,
    specification,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.assertion import HAS_JMESPATH
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.samplers import LIBRARIES

from ._gate_phases import ALONE, STORES, is_true, left_alone, looking_hosts

#: What says how long gates of a phase look.
_TIMES = {
    "before_switch": "rollout_before_switch_seconds",
    "during_shift": "rollout_shift_seconds",
    "bake": "rollout_bake_seconds",
    "after_roll_back": "rollout_after_roll_back_seconds",
}
_EVERY = quantity.parse(specification.COMMON["interval"].default, quantity.DURATION, "interval")


def gate_problems(variables: t.Mapping[str, t.Any], inventory: t.Collection[str]) -> t.Iterator[RolloutError]:
    """Yields gates that cannot look, or that would prove nothing. *inventory* has the names of all hosts."""
    try:
        gates = specification.read(variables.get("rollout_gates") or {})
    except RolloutError as error:
        yield error
        return
    shares = variables.get("rollout_shift") or [100]
    whole = [share for share in shares if str(share).isdigit()]
    if whole != shares or [*map(int, shares)] != sorted({*map(int, shares), 100}) or int(shares[0]) <= 0:
        yield RolloutError(
            "The shares of rollout_shift do not lead to all users.",
            expected="whole shares that grow and end with 100, such as [5, 25, 100]",
            found=str(shares),
            where="rollout_shift",
        )
        return
    alone = left_alone(variables)
    told = {
        "bake": float(variables.get("rollout_bake_seconds") or 0),
        "after_roll_back": float(variables.get("rollout_after_roll_back_seconds") or 0),
        "during_shift": float(len(shares) - 1),
    }
    for phase, seconds in told.items():
        if any(gate.phase == phase for gate in gates) != (seconds > 0):
            variable = "rollout_shift" if phase == "during_shift" else f"rollout_{phase}_seconds"
            yield RolloutError(
                f"The phase {phase} would prove nothing.",
                expected=f"gates for it, and {variable} that lets them look",
                found=f"no {'gate' if seconds > 0 else variable}",
                where=f"rollout_gates.{phase} and {variable}",
                next_step="set both or none of them",
            )
    unguarded = [name for name, used in (("rollout_shift", len(shares) > 1), ("rollout_bake_attended", alone)) if used]
    if unguarded and not is_true(variables, "rollout_guard"):
        yield RolloutError(
            "Without a guard nobody would take the traffic back.",
            expected="rollout_guard: true",
            found="rollout_guard: false",
            where=", ".join(unguarded),
            next_step="leave rollout_guard as it is, or do without these",
        )
    for gate in gates:
        yield from _problems(gate, variables, inventory)


def missing_libraries(
    variables: t.Mapping[str, t.Any], host: str, python: t.Mapping[str, t.Any]
) -> t.Iterator[RolloutError]:
    """Yields what gates on stores miss on *host*, whose *python* is as host_info tells it."""
    gates = [gate for phase in (variables.get("rollout_gates") or {}).values() for gate in phase]
    needed = {LIBRARIES[gate["type"]][0] for gate in gates if gate.get("type") in LIBRARIES}
    missing = sorted(library for library in needed if not (python.get("libraries") or {}).get(library))
    if missing:
        yield RolloutError(
            "Gates cannot ask PostgreSQL or Redis yet.",
            expected=f"the Python {'library' if len(missing) == 1 else 'libraries'} {' and '.join(missing)}",
            found="none",
            where=host,
            next_step="run provision, which installs what gates need",
        )


def missing_authorities(
    variables: t.Mapping[str, t.Any], told: t.Mapping[str, t.Mapping[str, t.Any]], load_balancers: t.Sequence[str]
) -> t.Iterator[RolloutError]:
    """Yields files of ca_path that cannot be used where a gate looks. *told*: what host_info says of them, by host."""
    places: dict[tuple[str, str], list[str]] = {}
    for phase, gates in (variables.get("rollout_gates") or {}).items():
        alone = phase == "bake" and left_alone(variables)
        for gate in gates:
            path = gate.get("ca_path")
            for host in looking_hosts(gate, load_balancers, (), alone) if path and _by_tls(gate, variables) else ():
                # One that was asked about another file, or not at all, has told nothing of this one.
                found = _private(path) or told.get(host, {}).get(path)
                if found:
                    place = f"{host}, rollout_gates.{phase}, gate {gate.get('name')}"
                    places.setdefault((path, found), []).append(place)
    for (path, found), where in places.items():
        yield RolloutError(
            "A gate would not know whom to trust.",
            expected=f"certificates of authorities in PEM format in {path}, on the host that looks",
            found=found,
            where="; ".join(where),
            next_step="put the file there, or correct ca_path; to see what is there: "
            f"ansible {where[0].split(',')[0]} -i INVENTORY -b -a 'ls -l {path}'",
        )


def _by_tls(gate: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> bool:
    """Whether *gate* asks anybody by TLS; instances are asked without."""
    public = variables.get("rollout_public_url") if gate.get("through") == "load_balancer" else ""
    return str(gate.get("url") or public or "").startswith("https:")


def _private(path: str) -> str:
    """Returns what a watch finds in a folder that its unit has for itself (PrivateTmp)."""
    return "nothing: a watch has a folder of its own there" if path.startswith(("/tmp/", "/var/tmp/")) else ""  # noqa: S108


def _rare(
    gate: specification.GateSpecification, variables: t.Mapping[str, t.Any], where: str
) -> t.Iterator[RolloutError]:
    """Gates that would look when their phase begins, and then no more."""
    variable = _TIMES[gate.phase]
    seconds = float(variables.get(variable) or 0)
    if gate.interval > max(seconds, _EVERY) and seconds > 0 and gate.type != "command":
        yield RolloutError(
            "A gate would look once, and then no more until its phase is over.",
            expected=f"an interval of at most {seconds:g} s, which is {variable}",
            found=quantity.words(gate.interval, quantity.DURATION),
            where=f"{where}, interval",
            next_step=f"look more often, or raise {variable}",
        )


def _misplaced(gate: specification.GateSpecification, where: str) -> t.Iterator[RolloutError]:
    """Gates that would look at another release than the one they are to judge."""
    through = gate.type == "http" and gate.fields["through"] == "load_balancer"
    reasons = {
        "before_switch": "users do not have the release yet" if through or gate.type == "traffic" else "",
        "during_shift": "what answers there is one slot or the other" if through else "",
        "after_roll_back": "the release that was left is no measure" if gate.relative else "",
    }
    reason = reasons.get(gate.phase)
    if reason:
        yield RolloutError(
            f"A gate of phase {gate.phase} would judge another release: {reason}.",
            expected="instances of the slot, or limits that stand for themselves",
            found=f"{gate.type}{' through the load balancer' if through else ''}",
            where=where,
            next_step="move it to the phase bake, or ask instances (through: instance)",
        )


def _unusable(gate: specification.GateSpecification, where: str) -> t.Iterator[RolloutError]:
    """Gates that could never ask, which their watch would find out when users have the release already."""
    if (gate.fields.get("json") or gate.fields.get("values")) and not HAS_JMESPATH:
        yield RolloutError(
            "Nobody can check the expressions of this gate.",
            expected="the Python library jmespath beside ansible-core",
            found="none",
            where=where,
            next_step="pip install jmespath, where ansible-playbook runs",
        )
        return
    told = gate._replace(fields={**gate.fields, "ca_path": None})  # a file of the host that looks
    try:
        if gate.type == "http":
            http_look.sampler(told, [("instance", gate.fields["url"] or f"http://127.0.0.1{gate.fields['path']}")])
        elif gate.type == "prometheus":
            prometheus.check(told)
    except RolloutError as error:
        yield RolloutError(error.what, expected=error.expected, found=error.found, where=where)


def _problems(
    gate: specification.GateSpecification, variables: t.Mapping[str, t.Any], inventory: t.Collection[str]
) -> t.Iterator[RolloutError]:
    where = f"rollout_gates.{gate.phase}, gate {gate.name}"
    yield from _rare(gate, variables, where)
    yield from _misplaced(gate, where)
    yield from _unusable(gate, where)
    if gate.type == "command" and gate.fields["host"] not in {*inventory, "localhost"}:
        yield RolloutError(
            "A gate would run its command on a host that nobody knows.",
            expected="localhost, or a host of the inventory",
            found=str(gate.fields["host"]),
            where=where,
            next_step="ansible-inventory -i INVENTORY --graph",
        )
    attended = is_true(variables, "rollout_bake_attended")
    if gate.phase == "bake" and gate.type not in ALONE and not attended:
        yield RolloutError(
            "A load balancer cannot look through this gate in a bake that nobody attends.",
            expected=f"gates of the types {', '.join(ALONE)}",
            found=gate.type,
            where=where,
            next_step="move it to phase before_switch, or leave rollout_bake_attended as it is",
        )
    variable = STORES.get(gate.type)
    if variable and not (variables.get(variable) or {}).get("host"):
        yield RolloutError(
            f"A gate does not know where its {gate.type} is.",
            expected=f"{variable} with host, port, user and password",
            found="none",
            where=where,
            next_step=f"set {variable} in group_vars",
        )
