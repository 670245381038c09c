# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the verdicts of all gates of a phase to what the rollout does: go on, hold, or revert. Pure. PRIVATE.

Going on needs a pass of every enforced gate; nothing that was not seen counts as one.
"""

from __future__ import annotations

import typing as t

from .verdict import ERROR, FAIL, NO_DATA, PASS

GO, HOLD, REVERT = "go", "hold", "revert"
#: From best to worst: the worst of all gates is what happens.
ACTIONS = (GO, HOLD, REVERT)
#: What is done about a gate that has not passed when its phase is over: look on while there is time, wait for a person,
#: or revert.
EXTEND = "extend"
POLICIES = (EXTEND, HOLD, REVERT)
_PERSON = ", a person must decide: confirm or roll_back"
#: How a limit calls what it counts.
_WORDS = ((FAIL, "failures"), (ERROR, "errors"), (NO_DATA, "looks without data"))


class AtMost(t.NamedTuple):
    """How many looks of a phase may end so; one more reverts. Each is counted for itself, in a row or not.

    None: any number, until the phase is over: in a night without users nothing is wrong, and nothing proven either.
    """

    failures: int | None = 0
    errors: int | None = 3
    no_data: int | None = None


class Looks(t.NamedTuple):
    """How many looks of a gate have ended with each verdict, and how the *newest* one has (empty before the first)."""

    counts: t.Mapping[str, int]
    newest: str = ""


class Gate(t.NamedTuple):
    """One gate of a phase with all its *looks*. Without *enforce* it is only measured and told.

    *without_users*: what follows when the phase is over and too few users came (GO or HOLD); empty where enough did.
    *late*: a look that began before the phase was over should have ended by now.
    """

    name: str
    looks: Looks
    at_most: AtMost = AtMost()
    on_inconclusive: str = EXTEND
    enforce: bool = True
    without_users: str = ""
    late: bool = False


class Times(t.NamedTuple):
    """Of a phase, in s: how long it lasts (0: until its gates have passed; inf: until it is stopped), and at most."""

    seconds: float
    most: float


class Decision(t.NamedTuple):
    """What to do (GO, HOLD or REVERT), and why: a sentence for each gate that is not content.

    *lacks_users*: the phase is over, and nothing is missing but a user.
    """

    action: str
    reasons: list[str]
    lacks_users: bool = False


def is_late(since: float | None, over: float, now: float, interval: float) -> bool:
    """Whether a look that began at *since* (None: none is on) should have ended by *now*, all in s of one clock.

    Looks come each *interval*. One that begins after *over*, the end of the phase, holds nobody up.
    """
    return since is not None and since < over and now - since > interval


def decide_watch(gates: t.Sequence[Gate], elapsed: float, times: Times) -> Decision:
    """Returns what to do now, *elapsed* seconds after the watch began. Nothing is waited for without an end."""
    over, may_extend = elapsed >= times.seconds, elapsed < times.most
    if may_extend and not times.seconds:  # such a phase is over when its gates have passed, or after most
        gates = [gate._replace(on_inconclusive=EXTEND) for gate in gates]
    decided = decide(gates, over=over, may_extend=may_extend)
    used = [gate for gate in gates if not gate.without_users]
    others = decide(used, over=over, may_extend=may_extend).action
    lacks_users = decided.action == HOLD and others == GO
    if decided.action == HOLD and over and not may_extend and not lacks_users:
        return Decision(REVERT, [*decided.reasons, "nobody decided in time"])
    late = [f"{gate.name}: its last look is not over yet" for gate in gates if gate.late and gate.enforce]
    if late and (decided.action == GO or lacks_users):  # the newest verdict may be a pass of long ago
        return Decision(HOLD, [*decided.reasons, *late])  # and every look has a deadline
    return decided._replace(lacks_users=lacks_users)


def decide(gates: t.Iterable[Gate], *, over: bool, may_extend: bool = False) -> Decision:
    """Returns what to do now. *over*: the phase has had its time; *may_extend*: there is more if it is needed.

    More bad looks than are allowed revert at once. Else the phase holds until it is over; then the newest verdict of
    each gate counts: a pass goes on, and of anything else the gate itself says what follows.
    """
    action, reasons = GO if over else HOLD, list[str]()
    for gate in gates:
        wanted, why = _wanted(gate, over, may_extend)
        if why:
            reasons.append(f"{gate.name}: {why}" if gate.enforce else f"{gate.name} (not enforced): {why}")
        unseen = over and may_extend and not gate.looks.newest and wanted == HOLD  # what only measures has a look, too
        if gate.enforce or unseen:
            action = max(action, wanted, key=ACTIONS.index)
    return Decision(action, reasons)


def _wanted(gate: Gate, over: bool, may_extend: bool) -> tuple[str, str]:
    """Returns what this gate alone wants, and why when that is not to go on."""
    exceeded = [
        f"{words} {seen}, at most {limit}"
        for (verdict, words), limit in zip(_WORDS, gate.at_most)
        if limit is not None and (seen := gate.looks.counts.get(verdict, 0)) > limit
    ]
    if exceeded:
        return REVERT, "; ".join(exceeded)
    if not over or (not gate.looks.newest and may_extend):
        return HOLD, ""
    if gate.without_users == GO or (gate.without_users == HOLD and gate.on_inconclusive != REVERT):
        return gate.without_users, f"too few users came{_PERSON if gate.on_inconclusive == HOLD else ''}"
    newest = gate.looks.newest or NO_DATA
    if newest == PASS:
        return GO, ""
    if gate.on_inconclusive == EXTEND:
        return (HOLD, f"{newest}, watched for longer") if may_extend else (REVERT, f"{newest} when its time was over")
    told = _PERSON if gate.on_inconclusive == HOLD else ", it says revert then"
    return gate.on_inconclusive, f"{newest} when its time was over{told}"
