# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives each gate of a watch what looks for it on this host: counters of traffic, instances, stores. PRIVATE."""

from __future__ import annotations

import importlib.util
import math
import typing as t
from urllib.parse import urljoin, urlsplit

from .._foundation.errors import BadInput, NotFound, RolloutError, playbook
from .._gates import http_look, postgres, prometheus, redis
from .._gates.decision import Times
from .._gates.http_check import PROBE_HEADER
from .._gates.look import Sampler, broken
from .._gates.specification import GateSpecification
from .._gates.traffic import Blame, Slots, Tally, TrafficSampler
from .._gates.watch import Watched
from .._traffic.driver import Counted, Driver, mean_since

_WORST = 3  # instances that are named
#: What the samplers of these types need on the host, as Python and as Debian call it.
LIBRARIES = {"postgres": ("psycopg2", "python3-psycopg2"), "redis": ("redis", "python3-redis")}


class Place(t.NamedTuple):
    """What is watched from this host: the slots of *application*, behind *public_url*.

    *connections*: host, port, user, password… of postgres and redis, as their samplers want them. *watches* share the
    risk of a false alarm. *before*: what the live slot had answered when its release was confirmed; *since*: what the
    candidate had answered when it got all users, and *instances* each of its own by name; None where that is not known.
    """

    application: str
    slots: Slots
    public_url: str
    connections: t.Mapping[str, t.Mapping[str, t.Any]]
    watches: int = 1
    before: Tally | None = None
    since: Tally | None = None
    instances: t.Mapping[str, Counted] | None = None


class _Here(t.NamedTuple):
    """The *place*, and its load balancer."""

    place: Place
    times: Times
    api: Driver


def watched(gates: t.Sequence[GateSpecification], place: Place, times: Times, api: Driver) -> list[Watched]:
    """Returns every gate with its sampler. Raises RolloutError for a gate that can never look here.

    One that is not enforced stops nothing: what is wrong with it is what it says.
    """
    here = _Here(place, times, api)
    return [Watched(gate, _sampler(gate, here)) for gate in gates]


def _sampler(gate: GateSpecification, here: _Here) -> Sampler:
    try:
        return _MAKERS[gate.type](gate, here)
    except RolloutError as error:
        if gate.enforce:
            raise
        says = broken(str(error).partition("\n")[0])
        return lambda _allowed: says


def tallies(api: Driver, application: str) -> dict[str, Tally]:
    """Returns what each slot has answered since the load balancer's start. Raises CommandFailed."""
    return {slot: Tally(**told) for slot, told in api.tallies(application).items()}


def _traffic(gate: GateSpecification, here: _Here) -> Sampler:
    place, looks = here.place, max(1, math.ceil(here.times.seconds / gate.interval))
    return TrafficSampler(
        gate,
        lambda: tallies(here.api, place.application),
        place.slots,
        looks=looks,
        watches=place.watches,
        before=place.before,
        since=place.since,
        blame=_blame(here),
    )


def _blame(here: _Here) -> Blame:
    """Returns what names the instances of the candidate with most errors since it got all users, or the slowest ones.

    From now on, where nobody knows what they had answered then.
    """

    def read() -> dict[str, Counted]:
        found = here.api.servers(here.place.application)
        return {server.name: server.counted for server in found if server.slot == here.place.slots.candidate}

    before = read() if here.place.instances is None else here.place.instances

    def worst(slow: bool) -> list[str]:
        counted, waited = [], []
        for name, now in read().items():
            then = before.get(name, Counted())
            then = then if now.responses >= then.responses else Counted()  # it was reloaded
            waited.append((mean_since(now, then), name, now.responses - then.responses))
            errors = now.responses_5xx - then.responses_5xx, now.connection_errors - then.connection_errors
            counted.append((max(sum(errors), 0), name, *errors, now.responses - then.responses))
        if slow:
            slowest = sorted(waited, key=lambda one: (-one[0], one[1]))[:_WORST]
            return [
                f"{name}: its {responses} answers took {mean:.0f} ms on average"
                for mean, name, responses in slowest
                if mean > slowest[0][0] / 2  # the others are not what is wrong
            ]
        return [
            f"{name}: {answers} of its {responses} answers were errors, {connections} connections failed"
            for errors, name, answers, connections, responses in sorted(counted, reverse=True)[:_WORST]
            if errors
        ]

    return worst


def _http(gate: GateSpecification, here: _Here) -> Sampler:
    headers = {**(gate.fields["headers"] or {}), PROBE_HEADER: gate.name}
    return http_look.sampler(
        gate._replace(fields={**gate.fields, "headers": headers}), http_targets(gate, here.place, here.api)
    )


def http_targets(gate: GateSpecification, place: Place, api: Driver) -> list[tuple[str, str]]:
    """Returns name and address of what the gate asks. Raises NotFound when the slot has no instance."""
    url, path = gate.fields["url"], str(gate.fields["path"] or "/")
    if url:
        return [(urlsplit(url).netloc, url)]
    if gate.fields["through"] == "load_balancer":
        return [("load balancer", urljoin(place.public_url, path))]
    found = [
        (server.name, f"http://{server.address}{path}")
        for server in api.servers(place.application)
        if server.slot == place.slots.candidate and server.address
    ]
    if not found:
        raise NotFound(
            f"The gate {gate.name} has no instance to ask.",
            expected=f"instances of slot {place.slots.candidate} in {api.name}'s configuration",
            found="none",
            where=api.path,
        )
    return found


def _store(gate: GateSpecification, here: _Here) -> Sampler:
    connection = here.place.connections.get(gate.type) or {}
    if not connection.get("host"):
        variable = {"postgres": "rollout_database", "redis": "rollout_redis"}[gate.type]
        raise BadInput(
            f"The gate {gate.name} does not know where its {gate.type} is.",
            expected=f"{variable} with host, port, user and password",
            found="none",
            where=variable,
        )
    library, package = LIBRARIES[gate.type]
    if importlib.util.find_spec(library) is None:
        raise NotFound(
            f"The gate {gate.name} cannot look: the Python library {library} is missing on this host.",
            expected=package,
            found="no such module",
            next_step=f"{playbook('provision')} installs it where gates need it",
        )
    if gate.type == "postgres":
        return postgres.sampler(gate, connection)
    return redis.sampler(gate, connection)


def _prometheus(gate: GateSpecification, _here: _Here) -> Sampler:
    return prometheus.sampler(gate)


_MAKERS: t.Mapping[str, t.Callable[[GateSpecification, _Here], Sampler]] = {
    "traffic": _traffic,
    "http": _http,
    "prometheus": _prometheus,
    "postgres": _store,
    "redis": _store,
}
