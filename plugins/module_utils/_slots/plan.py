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
    when it should run and removed when not; what no definition knows is removed. *only* leaves the instances of other
    processes alone, unless they belong to another release: two releases are never mixed in a slot.
    """
    wanted = {one.name: one for one in expected}
    steps: list[Step] = []
    seen = set()
    for found in observed:
        seen.add(found.name)
        instance = wanted.get(found.name)
        foreign = instance is None or found.release_id != instance.definition.release.id
        if foreign or only is None or found.process in only:
            steps += _steps_for(instance, found, started)
    for name, instance in wanted.items():
        process = instance.process.name
        if name not in seen and process in started and (only is None or process in only):
            steps.append(Step("create", name, "it should run and does not exist"))
    return sorted(steps, key=lambda step: VERBS.index(step.verb))


def _steps_for(instance: Instance | None, found: Observed, started: t.Container[str]) -> list[Step]:
    """What one instance that exists needs. *instance* is how it should be; None when it should not exist."""
    up = found.state != "stopped"
    should_run = instance is not None and instance.process.name in started
    if instance is None or found.checksum != instance.checksum:
        reason = _difference(instance, found)
        stopping = [Step("stop", found.name, reason)] if up or found.boots else []
        replacing = [Step("create", found.name, "it replaces one that differs")] if should_run else []
        return [*stopping, Step("remove", found.name, reason), *replacing]
    if should_run and not (up and found.boots):
        return [Step("start", found.name, "it should run")]
    if not should_run and (up or found.boots):
        return [Step("stop", found.name, "it should not run")]
    return []


def _difference(instance: Instance | None, found: Observed) -> str:
    if instance is None:
        return "the slot does not have this instance"
    if instance.definition.release.id != found.release_id:
        return f"it is of release {found.release_id}"
    return "its definition changed"
