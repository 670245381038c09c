# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How application hosts hear that load balancers took users back from a release. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

#: Seconds after the last moment at which a load balancer should have decided; one that was down decides at its boot.
MARGIN = 3600.0
_EVERYWHERE = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound
_DEFAULT_PORT = 80


def pointer_places(hostvars: t.Mapping[str, t.Any], load_balancers: t.Sequence[str]) -> dict[str, str]:
    """Returns address:port at which each of *load_balancers* tells its traffic pointer."""
    return {name: _place(name, hostvars[name]) for name in load_balancers}


def _place(name: str, variables: t.Mapping[str, t.Any]) -> str:
    bound = str(variables.get("load_balancer_bind_address") or "")
    reached = variables.get("rollout_address") or variables.get("ansible_host") or name
    address = (str(reached) if bound in _EVERYWHERE else bound).strip("[]")
    port = int(variables.get("rollout_public_port") or _DEFAULT_PORT)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def probation(
    plan: t.Mapping[str, t.Any],
    places: t.Mapping[str, str],
    kinds: t.Sequence[str],
    *,
    seconds: float,
    drain: float,
) -> dict[str, t.Any] | None:
    """Returns what an application host does when users are taken back from what *plan* gives them, as
    module_utils/_guard/probation.py reads it; None where *plan* takes them from nowhere, and where one load balancer
    would answer for another.

    *seconds* are those in which load balancers decide, *drain* those that requests have to end.
    """
    previous = plan.get("previous_release") or {}
    if not plan["moves"] or not previous or _shared(places):
        return None
    return {
        "slot": plan["slot"],
        "release_id": plan["release"]["id"],
        "previous_slot": plan["previous_slot"],
        "previous_release_id": previous["id"],
        "kept_release_id": plan.get("kept_release_id"),
        "kinds": list(kinds),
        "load_balancers": dict(places),
        # What a roll back left was good enough to be live.
        "withholds": plan["operation"] == "deploy",
        "drain_seconds": drain,
        "seconds": seconds + MARGIN,
    }


def _shared(places: t.Mapping[str, str]) -> list[str]:
    """Returns the names of load balancers that are asked at the same place."""
    return sorted(name for name, place in places.items() if [*places.values()].count(place) > 1)


def untold_pointers(
    told: t.Mapping[str, t.Mapping[str, str | None]], places: t.Mapping[str, str]
) -> t.Iterator[RolloutError]:
    """Yields what keeps application hosts from hearing that users were taken back. *told*: by host and load balancer,
    why it got no pointer, or None."""
    shared = _shared(places)
    if shared:
        yield RolloutError(
            "Application hosts cannot ask each load balancer alone which slot users have.",
            expected="an address of its own for every load balancer",
            found=f"{places[shared[0]]} for {', '.join(shared)}",
            where="load_balancer_bind_address, or rollout_address",
            next_step="leave load_balancer_bind_address as it is by default, or let the run attend: "
            "rollout_bake_attended: true",
        )
    silent = [
        f"{host}: {name} at {places.get(name, '?')}: {why}"
        for host, each in sorted(told.items())
        for name, why in sorted(each.items())
        if why
    ]
    if silent:
        yield RolloutError(
            "When nobody attends the bake, application hosts must hear from every load balancer which slot users have.",
            expected="an answer: else a refused release goes on to work, although users were taken back",
            found="\n    ".join(silent),
            where="rollout_bake_attended: false",
            next_step="provision, and let application hosts reach that port; another status than 200: they come from "
            "another address, so name it in load_balancer_pointer_networks; or: rollout_bake_attended: true",
        )
