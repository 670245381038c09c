# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One application on this load-balancer host: its folder, its lock, its traffic and its armed guard. PRIVATE."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import CommandFailed, NotFound, RolloutError, StateUnreadable, playbook
from .._foundation.lock import exclusive
from .._state import intent as intents
from .._state import state as states
from .._state.intent import Intent
from .._state.run import Run
from .._traffic import drivers
from .._traffic import pointer as pointers
from .._traffic import switch as traffic
from .._traffic.driver import Driver, NotRunning
from .probe import Check, anyone
from .timer import Timer

#: Who did it, in the journal, when nobody told the guard to.
ACTOR = "guard"
#: What is watched here until the switch is confirmed or taken back, see watching.py.
WATCH_FILE = "watch.json"
LOCK_SECONDS = 55.0
# For how long a load balancer that does not run may be one that starts and has read its file before it was changed.
STARTING_SECONDS = 2.0
_POLL = 0.1  # s
#: How often a run asks a slot that it wants to go back to before it is given up, and the seconds between.
LOOKS = 3
BETWEEN_LOOKS = 1.0


class NotConfirmed(RolloutError):
    """The switch was not confirmed; the guard keeps its deadline."""


class Place:
    """What a run, the guard and the next run change, one at a time."""

    def __init__(
        self,
        application: str,
        *,
        root: str = states.ROOT,
        api: Driver | None = None,
        timer: Timer | None = None,
        clock: Clock | None = None,
        probe: t.Callable[[t.Sequence[str], Check], bool] = anyone,
    ) -> None:
        self.application = application
        self.root = root
        self.folder = states.folder_of(application, root)
        self.map_path = pointers.path_of(application, root)
        self.intent_path = os.path.join(self.folder, intents.FILE)
        self.api = api or drivers.of(application, root)
        self.timer = timer or Timer(application)
        self.clock = clock or Clock()
        self._probe = probe
        self._held = 0

    @contextlib.contextmanager
    def alone(self) -> t.Iterator[None]:
        """One change at a time on this host: a confirm and a revert never cross. May be entered again from inside.

        Whoever needs the lock of the lease as well takes that one second. Raises Busy.
        """
        with contextlib.ExitStack() as stack:
            if not self._held:
                durable.make_folder(self.folder)
                where = os.path.join(self.folder, ".guard.lock")
                stack.enter_context(exclusive(where, LOCK_SECONDS, "Another change of the traffic"))
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1

    def intent(self) -> Intent | None:
        """Returns what is armed here, or None. Raises StateUnreadable."""
        return intents.read(self.folder)

    def state(self) -> states.State | None:
        """Returns what is recorded here, or None before the first rollout. Raises StateUnreadable."""
        return states.load(self.application, self.root)

    def confirmed(self, run: Run) -> bool:
        """Whether the state names the slot of *run* live, with its release."""
        state = self.state()
        live = state.live_record if state is not None and state.live == run.slot else None
        return live is not None and live.release["id"] == run.release

    def moved_to(self, target: str | None) -> bool:
        """Whether traffic goes to *target*, in the map file or in use. A file that nobody can read may say so."""
        used: list[pointers.Pointer | None] = []
        try:
            used.append(pointers.read_file(self.application, self.map_path))
        except RolloutError:
            return True
        with contextlib.suppress(RolloutError):
            used.append(self.api.pointer(self.application, self.map_path))
        return any(one is not None and target in (one.live, one.candidate) for one in used if target)

    def answers(self, slot: str | None, intent: Intent | None) -> bool:
        """Whether an instance of *slot* answers; without an intent, which knows how to ask, the load balancer's
        word counts."""
        if slot is None:
            return False
        if intent is not None:
            return self._probe(intent.instances.get(slot, ()), Check(**intent.check))
        with contextlib.suppress(RolloutError):
            return any(one.up for one in self.api.servers(self.application) if one.slot == slot)
        return False

    def answers_in_the_end(self, slot: str | None, intent: Intent | None) -> bool:
        """Whether one of LOOKS looks finds an instance of *slot* that answers: one that is slow once is not dead."""
        if slot is None:
            return False
        for look in range(LOOKS):
            if look:
                time.sleep(BETWEEN_LOOKS)
            if self.answers(slot, intent):
                return True
        return False

    def point(self, live: str | None) -> bool:
        """Sends all traffic to *live*: the map file counts even when nobody routes. Returns whether it moved.

        Raises CommandFailed when a load balancer that runs does not follow, OSError when the disk takes no file; it
        is told in that case, too, so that users need not wait for a disk.
        """
        wanted = pointers.Pointer(live, None, 0)
        try:
            written = pointers.write_file(self.application, self.map_path, wanted)
        except OSError:
            with contextlib.suppress(RolloutError):
                self.api.set_pointer(self.application, self.map_path, wanted)
            raise
        ends = time.monotonic() + STARTING_SECONDS
        while True:
            try:
                return self._tell(wanted) or written
            except (NotRunning, NotFound):
                # It reads what is kept when it starts; it has no map that could send users elsewhere.
                self.api.keep(self.application, wanted)
                if time.monotonic() >= ends:
                    return written
                time.sleep(_POLL)

    def _tell(self, wanted: pointers.Pointer) -> bool:
        """Makes the load balancer follow. One whose answer nobody can read, or ask for, is told all the same."""
        try:
            return traffic.switch(self.api, self.application, self.map_path, wanted)
        except StateUnreadable:
            self.api.set_pointer(self.application, self.map_path, wanted)
            return True

    def must_serve(self, target: str) -> None:
        """Raises NotConfirmed when traffic goes anywhere but to *target*, in the map file or in use."""
        wanted = pointers.Pointer(target, None, 0)
        in_file, in_use = traffic.current(self.api, self.application, self.map_path)
        if (in_file, in_use) != (wanted, wanted):
            raise NotConfirmed(
                "The switch is not confirmed: traffic is not where this run moved it.",
                expected=wanted.text(),
                found=f"file {in_file.text() if in_file else 'nothing'}, "
                f"{self.api.name} {in_use.text() if in_use else 'nothing'}",
                where=self.map_path,
                next_step=f"{playbook('status')} says what is live; then run again",
            )

    def disarm(self, intent: Intent | None) -> None:
        """Nothing is armed any more, and nothing is watched. A timer that cannot be stopped finds nothing to do."""
        if intent is None:
            return
        intents.remove(self.folder)
        durable.remove(os.path.join(self.folder, WATCH_FILE))
        self.stop_timer(intent)

    def stop_timer(self, intent: Intent) -> None:
        """Stops the timer of *intent*, which is not needed any more; if it cannot be stopped, it does no harm."""
        with contextlib.suppress(CommandFailed):
            self.timer.stop(intent.token)
