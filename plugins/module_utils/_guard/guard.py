# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""arm → switch → confirm: the one way in which traffic moves. What takes it back is in revert.py. PRIVATE.

Every method is one idempotent change of this load-balancer host that journals its own begin and end. What is durable
comes first (intent before timer, map file before the load balancer, state before the intent goes), so that a kill
between any two lines leaves something that the guard or the next run completes.
"""

from __future__ import annotations

import os
import typing as t

from .._foundation.errors import BadInput, CommandFailed, RolloutError, playbook
from .._state import intent as intents
from .._state import journal
from .._state import state as states
from .._state.intent import Intent
from .._state.run import Run
from .._traffic import pointer as pointers
from .._traffic import switch as traffic
from .place import NotConfirmed, Place
from .probe import Check

if t.TYPE_CHECKING:
    from .verify import Question

NOT_CONFIRMED_NEXT = f"{playbook('status')} says what is live; then run again"


class Arming(t.NamedTuple):
    """What the guard must know to take a switch back by itself.

    *deadline*: seconds until the revert. *instances*: the addresses (addr:port) per slot that are asked then, and
    *check* what a healthy one answers.
    """

    target: str
    previous: str | None
    deadline: float
    check: Check
    instances: t.Mapping[str, t.Sequence[str]]
    public_url: str = "http://127.0.0.1/"


def towards(run: Run, intent: Intent) -> Run:
    """Returns *run* as the one that answers for the switch of *intent*."""
    return run._replace(slot=intent.target, previous=intent.previous, release=intent.run.release)


class Guard(Place):
    """The guard of one application on this load-balancer host."""

    def instances(
        self, target: str, wanted: int, wait: float, while_waiting: t.Callable[[], None] = lambda: None
    ) -> dict[str, list[str]]:
        """Returns the addresses per slot as the load balancer has them, once *wanted* of *target* are up.

        Waits for at most *wait* seconds; *while_waiting* is called between two looks.

        Raises CommandFailed when they are not. Takes no lock: the guard of an earlier switch must not wait for it.
        """
        traffic.wait_for_servers(self.api, self.application, target, wanted, wait, while_waiting)
        known: dict[str, list[str]] = {slot: [] for slot in states.SLOTS}
        for server in self.api.servers(self.application):
            if server.address:
                known[server.slot].append(server.address)
        return known

    def arm(self, run: Run, arming: Arming) -> Intent:
        """Promises a revert at the deadline, and makes sure that the promise can be kept. Moves no traffic.

        Raises CommandFailed when systemd does not take the timer, BadInput when the guard is armed for another run.
        """
        if arming.target == arming.previous:
            raise BadInput("The guard needs a slot to go back to that is not the target.", found=arming.target)
        with self.alone(), journal.step(self.folder, run, "arm", self.clock):
            armed = self.intent()
            if armed is not None and armed.run.id != run.id:
                raise BadInput(
                    "The guard is armed for another run, which has not ended.",
                    expected=f"no guard, or the one of run {run.id}",
                    found=f"run {armed.run.id} by {armed.run.actor}, switching to {armed.target}",
                    where=self.intent_path,
                    next_step="run again: the next run takes back what that one left",
                )
            intent = self._intended(run, arming)
            try:
                intents.write(self.folder, intent)
                self.timer.start(intent.token, arming.deadline)
                if self.intent() != intent:
                    raise CommandFailed("The armed guard cannot be read back.", where=self.intent_path)
            except (RolloutError, OSError):
                self._armed_as_before(armed, intent)
                raise
            if armed is not None:
                self.stop_timer(armed)
            return intent

    def _intended(self, run: Run, arming: Arming) -> Intent:
        """Each arming has a token and a timer of its own: the timer before it runs on until this one does."""
        return Intent(
            token=os.urandom(8).hex(),
            run=run,
            target=arming.target,
            previous=arming.previous,
            armed=self.clock.utc(),
            boot_id=self.clock.boot_id(),
            deadline_boottime=self.clock.boottime() + arming.deadline,
            deadline_seconds=arming.deadline,
            instances={slot: tuple(addresses) for slot, addresses in arming.instances.items()},
            check=arming.check._asdict(),
            public_url=arming.public_url,
        )

    def _armed_as_before(self, armed: Intent | None, failed: Intent) -> None:
        """Without a timer there is no guard: the one before this arming counts, whose timer runs, or none at all."""
        if armed is None:
            self.disarm(failed)
            return
        intents.write(self.folder, armed)
        self.stop_timer(failed)

    def switch(self, run: Run, target: str, *, guarded: bool = True) -> bool:
        """Moves all traffic to *target*, which this run has armed the guard for. Returns whether it moved."""
        with self.alone(), journal.step(self.folder, run, "switch", self.clock):
            if guarded:
                self._armed_for(run, target)
            return traffic.switch(self.api, self.application, self.map_path, pointers.Pointer(target, None, 0))

    def shift(self, run: Run, target: str, weight: int) -> bool:
        """Sends *weight* % of the requests to *target*, for which this run has armed. Returns whether it did."""
        wanted = pointers.Pointer(run.previous, target, weight)
        with self.alone(), journal.step(self.folder, run, "shift", self.clock, detail=f"{weight} % to {target}"):
            self._armed_for(run, target)
            return traffic.switch(self.api, self.application, self.map_path, wanted)

    def _armed_for(self, run: Run, target: str) -> None:
        intent = self.intent()
        if intent is None or intent.run.id != run.id or intent.target != target:
            raise BadInput(
                "The guard is not armed for this switch, so nobody would take it back; traffic was not moved.",
                expected=f"a guard armed by run {run.id} for slot {target}",
                found=f"one of run {intent.run.id} for slot {intent.target}" if intent else "none",
                where=self.intent_path,
                next_step="run again",
            )
        if intents.due(intent, self.clock) <= 0:
            raise BadInput(
                "The guard's deadline passed before traffic was moved; it stays where it is.",
                expected=f"a switch within {intent.deadline_seconds:g} s of arming",
                where=self.intent_path,
                next_step="run again; raise rollout_guard_deadline if this host is that slow",
            )

    def confirm(
        self,
        run: Run,
        release: dict[str, str],
        *,
        token: str | None,
        environment: str,
        question: Question | None,
        approved_by: str = "",
    ) -> states.State:
        """Records that *release* is good, after fresh healthy answers through the load balancer, and disarms.

        *token* is what arm() gave; None when there was no guard. *approved_by*: as states.confirmed() has it. Raises
        NotConfirmed, and leaves everything as it is, when the token is wrong, the deadline has passed, or traffic is
        not where this run moved it.
        """
        target = t.cast(str, run.slot)
        with self.alone(), journal.step(self.folder, run, "confirm", self.clock):
            intent = self.intent()
            before = self.state() or states.State(self.application, environment)
            after, entry = states.confirmed(
                before,
                operation=run.operation,
                slot=target,
                release=release,
                by=run.actor,
                at=self.clock.utc(),
                epoch=run.epoch,
                approved_by=approved_by,
            )
            # Recorded and disarmed: an earlier call came this far.
            if not (intent is None and entry is None):
                self._must_be_armed(run, intent, token)
            self.must_serve(target)
            if question is not None:
                question.ask(intents.due(intent, self.clock) if intent else None)
            if entry is not None:
                states.save(after, self.root)
            self.disarm(intent)
            return after

    def _must_be_armed(self, run: Run, intent: Intent | None, token: str | None) -> None:
        if intent is None and token is None:
            return
        if intent is None:
            found = "nothing is armed: the guard has taken the switch back"
        elif intent.token != token or intent.target != run.slot:
            found = f"armed by run {intent.run.id} of {intent.run.actor} for slot {intent.target}, with another token"
        elif intent.status != "armed":
            found = intent.says or "the guard could not take the switch back"
        elif intents.due(intent, self.clock) <= 0:
            found = "the deadline has passed"
        else:
            return
        raise NotConfirmed(
            "The switch is not confirmed.",
            expected="the guard that this run armed, before its deadline",
            found=found,
            where=self.intent_path,
            next_step=NOT_CONFIRMED_NEXT,
        )

    def renew(self, run: Run) -> None:
        """*run* is alive: the guard that it armed waits for as long again. Its timer asks for that when it fires.

        Nothing is renewed whose time is over.
        """
        with self.alone():
            intent = self.intent()
            if intent is None or intent.run.id != run.id or intent.status != "armed":
                return
            if intents.due(intent, self.clock) > 0:
                again = self.clock.boottime() + intent.deadline_seconds
                intents.write(self.folder, intent._replace(deadline_boottime=again))

    def adopt(self, run: Run) -> None:
        """The armed guard of an earlier run is this run's from now on: it goes on where that one was cut off."""
        with self.alone():
            intent = self.intent()
            if intent is not None:
                intents.write(self.folder, intent._replace(run=towards(run, intent)))

    def follow(self, run: Run, state: states.State) -> bool:
        """This host was left behind: traffic goes where *state*, the fleet's newest, says. Returns whether it moved.

        What was armed here is over: *state* is confirmed.
        """
        live = t.cast(str, state.live)
        record = state.live_record
        release = record.release["id"] if record else None
        run = run._replace(slot=live, previous=None, release=release)
        with self.alone(), journal.step(self.folder, run, "adopt", self.clock):
            moved = traffic.switch(self.api, self.application, self.map_path, pointers.Pointer(live, None, 0))
            saved = states.save(state, self.root)
            self.disarm(self.intent())
            return moved or saved
