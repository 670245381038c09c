# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says about a watch, and how the hosts of one task know of each other. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError, playbook
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import quantity
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.quantity import DURATION
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.refusal import gate
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.specification import TYPES

PROGRAM = str(TYPES["command"].fields["timeout"].default)
PHASES = {
    "before_switch": "before the switch",
    "during_shift": "while traffic shifts",
    "bake": "bake",
    "after_roll_back": "after the roll back",
}
#: How a host stands to a release: all its gates pass, and users have come; all pass; nothing is missing but users, who
#: may have come through another load balancer; or anything else.
SEEN_USERS, CONTENT, LACKS_USERS, DOUBT = "seen_users", "content", "lacks_users", "doubt"
STANDINGS = (SEEN_USERS, CONTENT, LACKS_USERS)
Fields = dict[str, t.Any]


def clock(seconds: float) -> str:
    """Returns *seconds* as 1:05, or 1:02:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def line(host: str, when: str, progress: t.Mapping[str, t.Any]) -> str:
    """Returns one line about all gates at this moment, *when*: in which phase."""
    planned = progress["seconds"]
    of = f" of {clock(planned)}{', longer than planned' if progress['elapsed'] > planned else ''}" if planned else ""
    gates = "; ".join([*(progress.get("reasons") or []), *map(gate, progress["gates"])])
    return f"  {host}  {when}, {clock(progress['elapsed'])}{of}  {gates}"


def longest(programs: t.Iterable[t.Mapping[str, t.Any]]) -> float:
    """Returns how many s these gates of type command may take, one after another. Raises BadInput."""
    return sum(quantity.parse(told.get("timeout") or PROGRAM, DURATION, "timeout") for told in programs)


def running(told: t.Mapping[str, t.Any], elapsed: float) -> Fields:
    """Returns the gate *told* while its command runs, as a watch tells a gate."""
    now = {"name": told["name"], "enforce": told.get("enforce", True), "verdict": "running", "answers": []}
    return {**now, "words": [f"{clock(elapsed)} of {told.get('timeout') or PROGRAM}"]}


def ended(told: t.Mapping[str, t.Any], answer: t.Mapping[str, t.Any]) -> Fields:
    """Returns what the command of a gate gave, as a watch tells a gate."""
    seen = {key: answer[key] for key in ("verdict", "words", "answers")}
    return {"name": told["name"], "enforce": told.get("enforce", True), **seen}


def progress(gates: t.Sequence[Fields], elapsed: float) -> Fields:
    """Returns the progress of commands, as a watch tells its own."""
    return {"elapsed": elapsed, "seconds": 0.0, "gates": list(gates)}


def verdicts(progress: t.Mapping[str, t.Any]) -> list[str]:
    """Returns what must not change without a word."""
    return [str(one["verdict"]) for one in progress["gates"]]


def worst(verdicts: t.Sequence[str]) -> str:
    """Returns whether these verdicts are all good, one of them is bad, or something is open."""
    if any(one in ("fail", "error") for one in verdicts):
        return "bad"
    return "good" if verdicts and all(one == "pass" for one in verdicts) else "open"


def saw_users(progress: t.Mapping[str, t.Any]) -> bool:
    """Whether an enforced gate has passed on what users got."""
    gates = progress.get("gates") or []
    return any(one["enforce"] and one["verdict"] == "pass" and one.get("type") == "traffic" for one in gates)


def both(first: t.Mapping[str, t.Any] | None, gates: t.Sequence[Fields], elapsed: float) -> Fields | None:
    """Returns the progress *first* of a watch together with what commands gave, which have begun *elapsed* s ago."""
    if first is None:
        return progress(gates, elapsed) if gates else None
    return {**first, "gates": [*first["gates"], *gates]}


def unequal(host: str, hosts: int) -> str:
    """Returns what is to be said where the hosts of one watch did not come to an end together."""
    return str(
        RolloutError(
            "Not every host was content in time.",
            expected=f"{hosts} hosts that look at the same time",
            found=f"{host} still waits for the others, although its own time is over",
            next_step=f"run again with --forks {hosts} (ansible.cfg may have fewer); what runs: {playbook('status')}",
        )
    )


class Together:
    """The hosts that watch in one task. Each has a process of its own on the controller; they share a folder.

    A host whose gates have passed goes on looking until the others are content, too. One that refuses ends them all.
    """

    def __init__(self, folder: str, watch: str, host: str, hosts: t.Iterable[str]) -> None:
        self._folder = os.path.join(folder, f"watch-{watch}")
        self._host = _plain(host)
        self._hosts = set(map(_plain, hosts))
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def mark(self, what: str) -> None:
        """Notes that this host has *refused*, that a person has *approved*, or that its task has *ended*."""
        with open(self._path(what), "w", encoding="utf-8"):
            pass

    def stand(self, standing: str) -> None:
        """Notes how this host stands to the release now."""
        if standing in STANDINGS:
            self.mark(standing)
        for other in STANDINGS:
            if other != standing:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(self._path(other))

    def refused(self) -> list[str]:
        """Returns the hosts that refuse the release."""
        return self._marked("refused")

    def approved(self) -> bool:
        """Whether a person has said on one of the hosts that the release is good."""
        return bool(self._marked("approved"))

    def used(self) -> bool:
        """Whether gates on traffic have passed on one of the hosts."""
        return bool(self._marked(SEEN_USERS))

    def waiting(self) -> bool:
        """Whether one of the hosts is not content, or has not even begun.

        A load balancer without users keeps nobody waiting once another one has had some.
        """
        used = self._marked(SEEN_USERS)
        content = {*used, *self._marked(CONTENT), *self._marked("ended"), *(self._marked(LACKS_USERS) if used else [])}
        return not self._hosts <= content

    def _path(self, what: str) -> str:
        return os.path.join(self._folder, f"{self._host}.{what}")

    def _marked(self, what: str) -> list[str]:
        ending = f".{what}"
        return sorted(name[: -len(ending)] for name in os.listdir(self._folder) if name.endswith(ending))


def _plain(host: str) -> str:
    """Returns a name that a file may have."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", host)
