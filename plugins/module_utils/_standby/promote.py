# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby becomes the primary, within a deadline, and proves that it takes writes. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._foundation.errors import BadInput, RolloutError, playbook
from . import fence, host

_STATE = """
SELECT json_build_object('standby', pg_is_in_recovery(), 'receiving', EXISTS (SELECT FROM pg_stat_wal_receiver),
  'received', greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 'replayed', pg_last_wal_replay_lsn(),
  'last_commit', pg_last_xact_replay_timestamp(), 'read_only', current_setting('transaction_read_only') = 'on')
"""
# It does not only say that it takes writes: a transaction id that was given out is in the WAL.
_WRITES = "SELECT json_build_object('transaction', pg_current_xact_id()::text)"
_SLOTS = """
SELECT json_agg(pg_create_physical_replication_slot(name, true)::text) FROM unnest(ARRAY[{names}]::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)
"""
_SLOTS_MISSING = """
SELECT json_agg(name) FROM unnest(ARRAY[{names}]::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)
"""


class Promoted(t.NamedTuple):
    """promoted: whether it was a standby. received: the last position that came from the old primary. missing: bytes
    that never came, None when unknown."""

    changed: bool
    promoted: bool
    received: str | None
    last_commit: str | None
    missing: int | None
    seconds: float

    @property
    def loss(self) -> str:
        """What can be lost by it, in one sentence."""
        if not self.promoted:
            return ""
        if self.missing == 0:
            return "Nothing is lost: the old primary was stopped, and all that it wrote was received."
        return (
            "What the old primary committed and nobody received is lost, and how much that is only it can tell. "
            f"The last transaction that came was committed at {self.last_commit or 'an unknown time'}; "
            f"the last position is {self.received or 'unknown'}."
        )


def _missing(until: str | None, received: str | None) -> int | None:
    """Returns how many bytes before the end of the record at *until* have not come; None when there is no *until*."""
    if not until:
        return None
    ahead = host.position(received or "0/0") - host.position(until)
    return 0 if ahead > 0 else max(1, -ahead)


def promote(
    *, member: str, until: str | None, slots: t.Sequence[str], deadline: float, check: bool, by: str, reason: str
) -> Promoted:
    """Promotes the server of this host. Of one that is the primary already, only slots that a kill left out are made.

    *until* is where the old primary ended when it was stopped: the standby gets the time to reach it. *slots* are made
    before anybody writes, so that standbys lose nothing.
    """
    begun = time.monotonic()
    ends = begun + deadline
    cluster = host.known()
    state = host.ask(cluster, _STATE)
    if not state["standby"]:
        return Promoted(_make_slots(cluster, slots, check=check), False, None, None, None, 0.0)
    while _missing(until, state["received"]) and state["receiving"] and time.monotonic() < ends:
        time.sleep(0.2)
        state = host.ask(cluster, _STATE)
    # What was received is replayed before the promotion ends.
    missing = _missing(until, state["received"])
    if check:
        return Promoted(True, True, state["received"], state["last_commit"], missing, 0.0)
    if until and missing:
        raise BadInput(
            f"{member} has not received all that the old primary wrote before it was stopped; it was not promoted.",
            expected=until,
            found=f"{state['received']}: {missing} bytes or more are missing",
            next_step="give the old primary back, then see why it lags: "
            f"{playbook('promote')} -e postgres_promote=NAME_OF_THE_OLD_PRIMARY; when it cannot come back, switch its "
            f"host off and give it up: {playbook('promote')} -e postgres_promote={member} "
            "-e postgres_given_up=NAME_OF_THE_OLD_PRIMARY -e \"postgres_reason='why'\"",
        )
    seconds = max(1, int(ends - time.monotonic()))
    with contextlib.suppress(host.Silent):  # whether it worked is asked next
        host.ask(cluster, f"SELECT to_json(pg_promote(true, {seconds}))", deadline=seconds + host.LOOK)
    _wait(cluster, member, ends, deadline)
    fence.record(
        "promoted", by=by, reason=reason, received=state["received"], last_commit=state["last_commit"], missing=missing
    )
    _make_slots(cluster, slots, check=False)
    return Promoted(True, True, state["received"], state["last_commit"], missing, round(time.monotonic() - begun, 1))


def _make_slots(cluster: host.Cluster, slots: t.Sequence[str], *, check: bool) -> bool:
    """Makes the slots that are not there. Returns whether there were any."""
    if not slots:
        return False
    names = ", ".join(f"'{name}'" for name in slots)
    return bool(host.ask(cluster, (_SLOTS_MISSING if check else _SLOTS).format(names=names)))


def _wait(cluster: host.Cluster, member: str, ends: float, deadline: float) -> None:
    """pg_promote can say yes to a recovery that dies afterwards: it is asked until a write works."""
    found = "it did not answer"
    while True:
        try:
            state = host.ask(cluster, _STATE)
            if not state["standby"] and not state["read_only"]:
                host.ask(cluster, _WRITES)
                return
            found = "it is still in recovery" if state["standby"] else "it is read-only"
        except host.Silent as silent:
            found = silent.found or found
        if time.monotonic() > ends:
            raise RolloutError(
                f"{member} was told to become primary and did not.",
                expected=f"no recovery and a write that works within {deadline:g} s",
                found=found,
                where=cluster.log,
                next_step=f"look at the end of {cluster.log} on {member}; then {playbook('promote')} "
                f"-e postgres_promote={member}",
            )
        time.sleep(0.2)
