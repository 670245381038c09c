# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of the module rollout_watch: has a host watch, and says every few seconds what it sees."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
import uuid

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.vitalops.rollout.plugins.action.rollout_step import ActionModule as Step
from ansible_collections.vitalops.rollout.plugins.action.rollout_step import run_id
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.refusal import refusal
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _watch

ARGUMENTS: dict[str, t.Any] = {
    "application": {"type": "str", "required": True},
    "environment_name": {"type": "str", "required": True},
    "run": {"type": "dict", "required": True},
    "phase": {"type": "str", "required": True, "choices": list(_watch.PHASES)},
    "part": {"type": "str", "default": ""},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "gates": {"type": "list", "elements": "dict", "required": True},
    "seconds": {"type": "float", "required": True},
    "most": {"type": "float", "required": True},
    "public_url": {"type": "str", "required": True},
    "shared": {"type": "bool", "default": False},
    "watches": {"type": "int", "default": 1},
    "users_optional": {"type": "bool", "default": False},
    "application_host": {"type": "bool", "default": False},
    "lease_seconds": {"type": "float", "required": True},
    "connections": {"type": "dict", "default": {}, "no_log": True},
    "alone": {"type": "bool", "default": False},
    "release": {"type": "dict", "default": {}},
    "verify": {"type": "dict", "default": {}},
    "programs": {"type": "list", "elements": "dict", "default": []},
    "program_environment": {"type": "dict", "default": {}},
    "masked": {"type": "list", "elements": "str", "default": [], "no_log": True},
}
_ASKED = (
    *("seconds", "most", "public_url", "shared", "watches", "users_optional", "connections"),
    *("alone", "release", "verify", "masked"),
)
_POLL = 1.0  # s
_SPEAK = 5.0  # s between two lines while nothing changes
_OVERDUE = 60.0  # s after the longest time of a watch
_LATE = 5.0  # s after the longest time of a watch, by which the others have decided
_COLORS = {"good": "COLOR_OK", "bad": "COLOR_ERROR", "open": "COLOR_VERBOSE"}
_APPROVED = 5.0  # s from the first host that a person has approved to the last one
_STOPPING = 5.0  # s that a program may take to end when nobody needs it any more

Result = dict[str, t.Any]


class ActionModule(Step):
    """What Ansible asks for."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Returns what was seen. Fails when the gates of this or of another host refuse the release."""
        super(Step, self).run(tmp, task_vars)
        _validated, self._wanted = self.validate_argument_spec(ARGUMENTS)
        self._variables = task_vars or {}
        self._host = str(self._variables.get("inventory_hostname"))
        self._known: list[str] = []
        self._said = 0.0
        self._approved = 0.0
        gates = self._wanted["gates"]
        self._runs_while = f"/tmp/rollout-gate-{uuid.uuid4().hex}"  # noqa: S108 # made with O_EXCL, on the host
        commands = _Commands(
            [gate for gate in gates if gate.get("type") == "command"], self._command, self._stop_command
        )
        looking = [gate for gate in gates if gate.get("type") != "command"]
        # Every load balancer watches, if only its guard: whoever confirms or rolls back ends what is watched there.
        watches = looking or not (self._wanted["application_host"] or self._wanted["phase"] == "after_roll_back")
        told = self._wanted
        watch = f"{told['phase']}-{told['part']}-{told['run'].get('epoch', 0)}-{run_id()}"
        together = _watch.Together(constants.DEFAULT_LOCAL_TMP, watch, self._host, told["hosts"])
        result: Result = {"failed": True}
        try:  # a host that is lost before it has begun must be known to the others, too
            begun = self._step("watch", {**{key: told[key] for key in _ASKED}, "gates": looking}) if watches else {}
            if self._task.check_mode or (told["alone"] and not begun.get("failed")):
                result = {"changed": False, **begun}
                return result
            result = begun if begun.get("failed") else self._look_on(begun.get("watch"), commands, together)
            return {**result, "warnings": begun["warnings"]} if begun.get("warnings") else result
        finally:
            together.mark("refused" if result.get("failed") else "ended")
            commands.stop()

    def _look_on(self, watch: str | None, commands: _Commands, together: _watch.Together) -> Result:
        """Looks until every host is content, or one is not."""
        # Programs, on whatever host, may take longer than the phase.
        self._longest = max(self._wanted["seconds"], self._wanted["most"]) + _watch.longest(self._wanted["programs"])
        ends = time.monotonic() + self._longest + _OVERDUE
        commands.start()
        while True:
            seen = self._seen(watch)
            if seen.get("failed"):
                return seen
            progress = _watch.both(seen.get("progress"), commands.told(), commands.elapsed())
            self._say(progress)
            result = self._result(watch, seen, progress, commands, together)
            if result is None and time.monotonic() >= ends:
                result = {"failed": True, "msg": _watch.unequal(self._host, len(self._wanted["hosts"]))}
            if result is not None:
                return result if seen.get("ended") else self._left(watch, result)
            time.sleep(_POLL)

    def _result(
        self,
        watch: str | None,
        seen: Result,
        progress: Result | None,
        commands: _Commands,
        together: _watch.Together,
    ) -> Result | None:
        """Returns how it ends, or None as long as something is not decided."""
        if seen.get("ended") not in (None, "go"):
            return self._refused(str(seen["says"]), progress)
        if commands.refused():
            return self._refused(commands.refused(), {**(progress or {"gates": []}), "reasons": []})
        others = together.refused()
        if others:
            return {"failed": True, "msg": f"Refused by {', '.join(others)}; its message says why."}
        standing = self._standing(watch, seen, commands)
        together.stand(standing)
        if seen.get("approved"):
            together.mark("approved")
        approved = together.approved() and self._is_approved(watch, seen)
        if approved or (standing != _watch.DOUBT and not together.waiting()):
            return {"changed": False, "progress": progress}
        late = progress and progress["elapsed"] >= self._longest + _LATE
        if standing == _watch.LACKS_USERS and late and not together.used():
            return self._refused("too few users came in time", progress)
        return None

    def _standing(self, watch: str | None, seen: Result, commands: _Commands) -> str:
        """Returns how this host stands to the release."""
        progress = seen.get("progress") or {}
        if not commands.ended():
            return _watch.DOUBT
        if watch is None or seen.get("ended") == "go" or progress.get("action") == "go":
            return _watch.SEEN_USERS if _watch.saw_users(progress) else _watch.CONTENT
        return _watch.LACKS_USERS if progress.get("lacks_users") else _watch.DOUBT

    def _seen(self, watch: str | None) -> Result:
        """Returns what the watch of this host tells."""
        if watch is None:
            return {}
        told = self._step("watched", {"watch": watch})
        return told if told.get("failed") else t.cast(Result, told["watch"])

    def _is_approved(self, watch: str | None, seen: Result) -> bool:
        """Whether nothing is to be waited for: a person approves on every load balancer, but not at the same moment."""
        self._approved = self._approved or time.monotonic()
        return watch is None or bool(seen.get("ended")) or time.monotonic() - self._approved >= _APPROVED

    def _left(self, watch: str | None, result: Result) -> Result:
        """Ends the watch of this host. What is refused elsewhere leaves the users of this host at once."""
        if watch is None:
            return result
        refused = result["msg"].partition("\n")[0] if result.get("failed") and self._moved() else ""
        told = self._step("unwatch", {"watch": watch, "refused": refused})
        return {**result, "changed": True} if told.get("changed") else result

    def _moved(self) -> bool:
        """Whether users have the release that is watched."""
        return self._wanted["phase"] in ("during_shift", "bake")

    def _command(self, gate: Result) -> Result:
        asked = {key: self._wanted[key] for key in ("phase", "masked")}
        told = {name: str(value) for name, value in self._wanted["program_environment"].items()}
        asked.update(gate=gate, runs_while=self._runs_while, program_environment=told)
        return t.cast(
            Result,
            self._execute_module("vitalops.rollout.command_gate", module_args=asked, task_vars=self._variables),
        )

    def _stop_command(self) -> None:
        with contextlib.suppress(AnsibleConnectionFailure):  # then it runs to its time limit
            self._low_level_execute_command(f"rm -f {self._runs_while}", sudoable=True)

    def _say(self, progress: t.Mapping[str, t.Any] | None) -> None:
        """Says what is seen: every few seconds, and at once when a verdict changes."""
        if not progress or not progress["gates"]:
            return
        verdicts, now = _watch.verdicts(progress), time.monotonic()
        if now - self._said >= _SPEAK or verdicts != self._known:
            self._said, self._known = now, verdicts
            color = getattr(constants, _COLORS[_watch.worst(verdicts)])
            self._display.display(_watch.line(self._host, _watch.PHASES[self._wanted["phase"]], progress), color=color)

    def _refused(self, says: str, progress: t.Mapping[str, t.Any] | None) -> Result:
        msg = refusal(self._host, _watch.PHASES[self._wanted["phase"]], says, progress or {"gates": []})
        return {"failed": True, "changed": self._moved(), "msg": msg, "progress": dict(progress or {})}

    def _step(self, step: str, parameters: Result) -> Result:
        wanted = self._wanted
        told = {
            "phase": wanted["phase"],
            **parameters,
            "lease_seconds": wanted["lease_seconds"],
            "application_host": wanted["application_host"],
        }
        return self._ask(self._request(step, wanted, told), wanted["masked"])


class _Commands:
    """Programs that run one after another, each to its end or its time limit; all end at once when all is lost."""

    def __init__(
        self, gates: t.Sequence[Result], run: t.Callable[[Result], Result], stop: t.Callable[[], None]
    ) -> None:
        self._gates = gates
        self._run = run
        self._stop = stop
        self._stopped = False
        self._told: list[Result] = []
        self._since = self._began = 0.0  # of all of them, and of the one that runs
        self._thread = threading.Thread(target=self._run_all, daemon=True)

    def start(self) -> None:
        """The first one begins."""
        self._since = self._began = time.monotonic()
        if self._gates:
            self._thread.start()

    def stop(self) -> None:
        """Ends the program that runs; a load test must not outlive its rollout."""
        self._stopped = True
        ends = time.monotonic() + _STOPPING
        # Said again and again: it may be about to begin.
        while self._thread.is_alive() and time.monotonic() < ends:
            self._stop()
            self._thread.join(_POLL)

    def _run_all(self) -> None:
        for gate in self._gates:
            if self._stopped:
                return
            self._began = time.monotonic()
            self._told.append(_watch.ended(gate, self._answer(gate)))

    def _answer(self, gate: Result) -> Result:
        """Returns what a program gave. A host that cannot be asked is an error of its gate, and no silence."""
        try:
            answer = self._run(gate)
        except Exception as error:  # in a thread nobody would hear of it
            answer = {"failed": True, "msg": str(error)}
        if answer.get("failed") or "verdict" not in answer:
            why = str(answer.get("msg") or "it ended without an answer").strip()
            return {"verdict": "error", "words": [why.partition("\n")[0]], "answers": why.splitlines()[1:]}
        return answer

    def elapsed(self) -> float:
        """Returns for how many s they have run."""
        return time.monotonic() - self._since

    def told(self) -> list[Result]:
        """Returns those that have ended, and the one that runs."""
        ended = list(self._told)
        if self._thread.is_alive() and len(ended) < len(self._gates):
            return [*ended, _watch.running(self._gates[len(ended)], time.monotonic() - self._began)]
        return ended

    def refused(self) -> str:
        """Returns why a command refuses the release, or an empty text."""
        failed = [one["name"] for one in self._told if one["enforce"] and one["verdict"] != "pass"]
        return f"{', '.join(failed)} did not pass" if failed else ""

    def ended(self) -> bool:
        """Whether all of them have ended."""
        return len(self._told) == len(self._gates)
