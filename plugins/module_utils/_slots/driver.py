# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both runtimes can do, so that a slot need not know which one it has. PRIVATE to the collection."""

from __future__ import annotations

import concurrent.futures
import typing as t

from .._foundation.command import Completed
from .._foundation.errors import CommandFailed, RolloutError
from .definition import Definition, Instance
from .plan import Observed

Result = t.TypeVar("Result")
Item = t.TypeVar("Item")

#: At most so many programs of the host are asked at the same time.
PARALLEL = 8


class Run(t.Protocol):
    """How drivers run programs: _foundation.command.run, or a stand-in for tests."""

    def __call__(
        self,
        arguments: t.Sequence[str],
        *,
        deadline: float,
        standard_input: str | None = None,
        accepted: t.Container[int] = (0,),
        next_step: str | None = None,
    ) -> Completed:
        """See _foundation.command.run."""


class Driver(t.Protocol):
    """One runtime on this host. Methods take many instances and treat them in parallel.

    *STARTS_FROM_ARTEFACT*: whether an instance that exists still needs the artefact of its release to start.
    """

    STARTS_FROM_ARTEFACT: bool

    def available(self) -> bool:
        """Whether the runtime is installed and answers."""

    def observe(self, application: str, slot: str) -> list[Observed]:
        """The instances of a slot that exist, running or not."""

    def has_artefact(self, definition: Definition) -> bool:
        """Whether the artefact of the release is on this host, complete."""

    def fetch(self, definition: Definition) -> None:
        """Brings the artefact of the release to this host."""

    def stop(self, instances: t.Sequence[Observed]) -> list[str]:
        """Stops instances (TERM, then KILL after their stop timeout); they stay stopped after a reboot.

        Returns the names of those that had to be killed.
        """

    def remove(self, instances: t.Sequence[Observed]) -> None:
        """Removes stopped instances and all that was made for them."""

    def create(self, instances: t.Sequence[Instance]) -> None:
        """Makes instances that do not exist and starts them; they come back after a reboot."""

    def start(self, instances: t.Sequence[Instance]) -> None:
        """Starts instances that exist; they come back after a reboot."""

    def surplus(self, application: str, keep: t.Sequence[Definition], artefact: str) -> list[str]:
        """Artefacts on this host that neither *keep* nor the newest three include."""

    def discard(self, artefacts: t.Sequence[str]) -> None:
        """Removes artefacts that surplus() named."""

    def logs(self, names: t.Sequence[str], lines: int) -> dict[str, list[str]]:
        """The last *lines* log lines of each instance, oldest first."""


def in_parallel(action: t.Callable[[Item], Result], items: t.Iterable[Item]) -> list[Result]:
    """Calls *action* for all items, several at a time, and waits for all of them.

    Raises the only error, or one CommandFailed that tells all of them.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        pending = [pool.submit(action, item) for item in items]
    errors = [error for error in (one.exception() for one in pending) if error is not None]
    if len(errors) == 1 or any(not isinstance(error, RolloutError) for error in errors):
        raise next((error for error in errors if not isinstance(error, RolloutError)), errors[0])
    if errors:
        raise CommandFailed(
            f"{len(errors)} instances failed at the same time.",
            found="\n    ".join(str(error).replace("\n", "\n    ") for error in errors),
        )
    return [one.result() for one in pending]
