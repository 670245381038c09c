# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that was primary is kept from starting: stopped, masked, and written down. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._foundation import command, durable
from .._foundation.clock import Clock
from .._foundation.errors import BadInput, playbook
from .._foundation.lock import Busy, exclusive
from . import host

FOLDER = "/var/lib/rollout/postgres"
FENCE = f"{FOLDER}/fence.json"
JOURNAL = f"{FOLDER}/journal.ndjson"
LOCK = f"{FOLDER}/lock"
#: Where a mask is.
UNITS = "/etc/systemd/system"
SCHEMA = 1
LOCK_SECONDS = 10.0


@contextlib.contextmanager
def alone(*, check: bool) -> t.Iterator[None]:
    """One change of this host's server at a time: a copy goes on when its controller is gone. *check*: no trace."""
    if check:
        yield
        return
    durable.make_folder(FOLDER)
    try:
        with exclusive(LOCK, LOCK_SECONDS, "Another change of PostgreSQL on this host"):
            yield
    except Busy as busy:
        raise Busy(
            busy.what,
            expected=busy.expected,
            found="a run whose controller may be gone; it ends by itself",
            where=LOCK,
            next_step="wait for it, then run this again; see how far a copy is: "
            f"{playbook('replication')}; who it is: fuser -v {LOCK} (package psmisc)",
        ) from busy


def read() -> dict[str, t.Any] | None:
    """Returns what fences this host (at, by, reason, for), or None."""
    return durable.read_json(FENCE, schema=SCHEMA)


def record(event: str, **told: t.Any) -> None:
    """Appends what happened to the journal of this host."""
    durable.make_folder(FOLDER)
    durable.append_line(JOURNAL, json.dumps({"at": Clock().utc(), "event": event, **told}, sort_keys=True))


def is_closed(cluster: host.Cluster) -> bool:
    """Whether the server is fenced, masked and not running."""
    return bool(read()) and not cluster.running and _is_masked(cluster) and _start_mode(cluster) == "disabled"


def close(cluster: host.Cluster, by: str, reason: str, successor: str) -> None:
    """Fences the server. Cut off anywhere, the next call goes on: it is masked before it is stopped."""
    told = {"schema": SCHEMA, "at": Clock().utc(), "by": by, "reason": reason, "for": successor}
    durable.make_folder(FOLDER)
    # Of one that runs, what is written there is from another time, or from this run before it was cut off.
    if cluster.running or not read():
        durable.write_json(FENCE, told)
    _set_start_mode(cluster, "disabled")
    command.run(["systemctl", "mask", cluster.unit], deadline=host.LOOK)
    host.stop(cluster)
    record("fenced", by=by, reason=reason, successor=successor)


def lift(cluster: host.Cluster, by: str) -> None:
    """Lets the server start again. The record goes last, so that a lift that was cut off is done again.

    Raises BadInput for data that are half another's.
    """
    mark = host.beside(cluster, "rewinding")
    if os.path.exists(mark):
        raise BadInput(
            "A rewind began here and did not end: these data are nobody's, and are not started.",
            where=mark,
            next_step=f"make it a standby: {playbook('rejoin')} -e postgres_rejoin=NAME_OF_THIS_HOST",
        )
    command.run(["systemctl", "unmask", cluster.unit], deadline=host.LOOK)
    _set_start_mode(cluster, "auto")
    if durable.remove(FENCE):
        record("unfenced", by=by)


def _is_masked(cluster: host.Cluster) -> bool:
    return os.path.realpath(f"{UNITS}/{cluster.unit}") == os.devnull


def _start_mode(cluster: host.Cluster) -> str:
    lines = (durable.read_text(f"{cluster.folder}/start.conf") or "auto").splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "auto")


def _set_start_mode(cluster: host.Cluster, mode: str) -> None:
    """Tells pg_ctlcluster, which a mask does not stop."""
    if _start_mode(cluster) != mode:
        durable.write_text(
            f"{cluster.folder}/start.conf", f"# Set by vitalops.rollout: auto, or disabled.\n{mode}\n", mode=0o644
        )
        command.run(["systemctl", "daemon-reload"], deadline=host.LOOK)
