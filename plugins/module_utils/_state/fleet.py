# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several load balancers know together: which of them leads, and which must follow before anything new begins.

PRIVATE to the collection. Pure: one view per host in (as the steps begin and info give it), one fleet out.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._foundation.errors import BadInput
from .state import State, from_dict

View = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Fleet:
    """All load balancers of one application.

    *epoch* is the highest that any host has seen (0: none); *leader* the host with the newest confirmation and *state*
    what it knows, both None before the first rollout; *lags* say of each host, by name, where another release or slot
    is live, how it is behind; *says* are lines for people.
    """

    application: str
    environment: str
    epoch: int
    leader: str | None
    state: State | None
    lags: t.Mapping[str, str]
    says: tuple[str, ...]

    @property
    def behind(self) -> tuple[str, ...]:
        """The hosts, by name, where another release or slot is live."""
        return tuple(self.lags)


def agree(views: t.Mapping[str, View]) -> Fleet:
    """Returns what the hosts of *views* are together. The newest confirmation leads, because it was the last decision.

    The newest is the one by the run with the highest epoch: a run carries the highest that any load balancer has given.
    Raises BadInput when there is no view, or when they belong to different applications or environments, and
    StateUnreadable for a state that cannot be understood.
    """
    hosts = sorted(views)
    application, environment = _belonging(views)
    states = {host: _state(host, views[host]) for host in hosts}
    epochs = {host: _epoch(views[host]) for host in hosts}
    leader = _leader(states)
    state = states[leader] if leader is not None else None
    lags = {host: _lag(states[host]) for host in hosts if state is not None and _live(states[host]) != _live(state)}
    return Fleet(
        application=application,
        environment=environment,
        epoch=max(epochs.values()),
        leader=leader,
        state=state,
        lags=lags,
        says=_says(states, epochs, leader, tuple(lags)),
    )


def _belonging(views: t.Mapping[str, View]) -> tuple[str, str]:
    """Returns the one application and environment of all *views*."""
    groups: dict[tuple[str, str], list[str]] = {}
    for host in sorted(views):
        view = views[host]
        groups.setdefault((str(view.get("application")), str(view.get("environment"))), []).append(host)
    if len(groups) == 1:
        return next(iter(groups))
    found = "; ".join(f"{', '.join(hosts)}: {name} in {place}" for (name, place), hosts in groups.items())
    raise BadInput(
        "The load balancers do not belong together.",
        expected="one application in one environment on at least one load balancer",
        found=found or "no load balancer",
        where="/var/lib/rollout/ on the load-balancer hosts",
        next_step="correct the group load_balancer of this inventory, or rollout_application and rollout_environment",
    )


def _state(host: str, view: View) -> State | None:
    """Returns the state that *host* shows. Raises BadInput when it is of something else."""
    content = view.get("state")
    if content is None:
        return None
    where = f"state.json of {view['application']} on {host}"
    state = from_dict(content, where)
    if (state.application, state.environment) != (view["application"], view["environment"]):
        raise BadInput(
            f"The state on {host} belongs to something else.",
            expected=f"{view['application']} in {view['environment']}",
            found=f"{state.application} in {state.environment}",
            where=where,
            next_step="correct rollout_application and rollout_environment, or remove the host from this inventory",
        )
    return state


def _epoch(view: View) -> int:
    """Returns the highest epoch that *view* shows; what is no epoch counts as 0, for an epoch only ever grows."""
    found = [part.get("epoch") for part in (view.get("lease"), view.get("unfinished")) if part is not None]
    return max([0, *(epoch for epoch in found if isinstance(epoch, int) and not isinstance(epoch, bool))])


def _live(state: State | None) -> tuple[str, str] | None:
    """Returns the live slot and the id of its release, or None."""
    if state is None or state.live is None or state.live_record is None:
        return None
    return state.live, state.live_record.release["id"]


def _leader(states: t.Mapping[str, State | None]) -> str | None:
    """Returns the host with the newest confirmation, the first by name of several.

    Hosts with the same epoch have seen the same run. Only where that does not tell (one command that deploys and then
    rolls back, files from before epochs were kept), the clock of each host has a say.
    """
    best: tuple[int, str] | None = None
    leader = None
    for host, state in states.items():
        if state is None or state.live is None:
            continue
        rank = (state.confirmed_epoch, state.confirmed_at)
        if best is None or rank > best:
            best, leader = rank, host
    return leader


def _says(
    states: t.Mapping[str, State | None], epochs: t.Mapping[str, int], leader: str | None, behind: tuple[str, ...]
) -> tuple[str, ...]:
    newest = max(epochs.values())
    missed = [
        f"{host} saw epoch {epoch} last, the fleet is at {newest}: it missed runs."
        for host, epoch in epochs.items()
        if 0 < epoch < newest and host not in behind
    ]
    state = states[leader] if leader is not None else None
    if leader is None or state is None:
        return ("No load balancer has a confirmed release: this is the first rollout.", *missed)
    lead = _shown(state)
    if not behind:
        return (f"{_named(tuple(states))} {lead}.", *missed)
    return (
        f"{leader} leads: it {lead}, confirmed at {state.confirmed_at} (epoch {state.confirmed_epoch}).",
        *missed,
    )


def _named(hosts: tuple[str, ...]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{', '.join(hosts)} agree: each"


def _shown(state: State) -> str:
    live = _live(state)
    return f"has release {live[1]} live in slot {live[0]}" if live else "has no live release"


def _lag(state: State | None) -> str:
    """Returns how a host is behind; a state without a live release can only be a refused first rollout."""
    return "is new and has no state" if state is None else f"is behind and {_shown(state)}"
