# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must happen to the instances of a slot so that it runs what it should. Pure.

PRIVATE to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .definition import Instance

#: Verbs in the order in which they are done. ``create`` makes an instance and starts it.
VERBS = ("stop", "remove", "create", "start")


@dataclasses.dataclass(frozen=True)
class Observed:
    """An instance that exists on the host. *boots*: it comes back by itself after a reboot. *stop_timeout* in s."""

    name: str
    process: str
    number: int
    state: str  # running, restarting or stopped
    checksum: str
    release_id: str
    boots: bool
    stop_timeout: int = 30
    host_port: int | None = None
    health: str | None = None
    restarts: int = 0
    started_at: str | None = None


class Step(t.NamedTuple):
    """One thing to do to one instance."""

    verb: str
    name: str
    reason: str


def plan(
    expected: t.Iterable[Instance],
    observed: t.Iterable[Observed],
    started: t.Container[str],
    *,
    only: t.Container[str] | None = None,
) -> list[Step]:
    """Returns the steps that bring a slot from *observed* to *expected*, ordered by verb.

    Processes in *started* run, others do not (they may exist, stopped). What differs from its definition is replaced
    when it should run and removed when not; what no definition knows is removed. *only* leaves other processes alone.
    """
    wanted = {one.name: one for one in expected if only is None or one.process.name in only}
    present = {one.name: one for one in observed if only is None or one.process in only}
    steps: list[Step] = []
    for name, found in present.items():
        instance = wanted.get(name)
        if instance is None or found.checksum != instance.checksum:
            reason = _difference(instance, found)
            if found.state != "stopped" or found.boots:
                steps.append(Step("stop", name, reason))
            steps.append(Step("remove", name, reason))
            if instance is not None and instance.process.name in started:
                steps.append(Step("create", name, reason))
        elif instance.process.name in started:
            if found.state == "stopped" or not found.boots:
                steps.append(Step("start", name, "it should run"))
        elif found.state != "stopped" or found.boots:
            steps.append(Step("stop", name, "it should not run"))
    steps += [
        Step("create", name, "it should run and does not exist")
        for name, instance in wanted.items()
        if name not in present and instance.process.name in started
    ]
    return sorted(steps, key=lambda step: VERBS.index(step.verb))


def _difference(instance: Instance | None, found: Observed) -> str:
    if instance is None:
        return "the slot does not have this instance"
    if instance.definition.release.id != found.release_id:
        return f"it is of release {found.release_id}"
    return "its definition changed"
