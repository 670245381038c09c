# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server becomes a standby: by a base backup beside its data, or by a rewind of it. PRIVATE to the collection.

Every step can be cut off and is found again by what lies beside the data folder: DATA.coming (a base backup that is not
whole), DATA.ready (one that is), DATA.before (what it replaced), DATA.rewinding (a rewind that did not end).
"""

from __future__ import annotations

import os
import shutil
import time
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, CommandFailed, RolloutError, playbook
from . import fence, host

#: Seconds for a copy of a whole cluster.
COPY = 24 * 3600
_SIZE = "SELECT sum(pg_database_size(oid)) FROM pg_database"
_PLACES = """
SELECT json_agg(pg_tablespace_location(oid)) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''
"""
_WHO = """
SELECT json_build_object('standby', pg_is_in_recovery(),
  'system', (SELECT system_identifier::text FROM pg_control_system()))
"""
# What it writes at this moment, and what its last checkpoint has told the control file, where pg_rewind reads it.
_TIMELINES = """
SELECT json_build_object('written', ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,
  'told', (SELECT timeline_id FROM pg_control_checkpoint()))
"""
_STREAMS = (
    "SELECT json_build_object('status', status, 'address', sender_host, 'port', sender_port) FROM pg_stat_wal_receiver"
)
_DROP_SLOTS = """
SELECT json_agg(json_build_object('name', slot_name, 'dropped', pg_drop_replication_slot(slot_name)::text))
FROM pg_replication_slots WHERE pg_is_in_recovery() AND NOT active AND slot_name LIKE 'rollout\\_%'
"""


class Upstream(t.NamedTuple):
    """The primary as a standby reaches it; the password is in *passfile*."""

    name: str
    address: str
    port: int
    user: str
    slot: str
    passfile: str


class Joined(t.NamedTuple):
    """What was done: kept, base_backup, rewind or started."""

    changed: bool
    way: str


def join(upstream: Upstream, by: str, *, member: str, again: bool, check: bool, deadline: float) -> Joined:
    """Makes this host a standby of *upstream* that streams. *again*: its own data may go, because somebody named it.

    Raises BadInput before anything is touched when that cannot work.
    """
    cluster = host.known()
    cluster = cluster._replace(data=os.path.realpath(cluster.data))
    system = _check(cluster, upstream, member, again=again)
    swapped = _finish_swap(cluster, system, check=check)
    in_place = host.is_standby(cluster) and not os.path.exists(host.beside(cluster, "rewinding"))
    if in_place and (swapped or not again):
        return _run(
            cluster, upstream, by, "base_backup" if swapped else "kept", check=check, deadline=deadline, member=member
        )
    if in_place and _streams(cluster, upstream):
        return Joined(False, "kept")
    rewinds = again and not in_place and _may_rewind(cluster, system)
    if not rewinds:
        _check_place(cluster)
    if check:
        return Joined(True, "rewind or base_backup" if rewinds else "base_backup")
    if not rewinds:
        _make_room(cluster, upstream)
    way = "base_backup"
    if again:
        # Not for one moment may it come up as a primary, whatever happens on the way.
        fence.close(cluster, by, "it becomes a standby", upstream.name)
        way = "rewind" if rewinds and _rewind(cluster, upstream, deadline) else "base_backup"
    if way == "base_backup":
        if rewinds:
            _check_place(cluster)
            _make_room(cluster, upstream)
        _copy(cluster, upstream, member)
        _swap(cluster)
    fence.record("joined", by=by, way=way, upstream=upstream.name)
    return _run(cluster, upstream, by, way, check=False, deadline=deadline, member=member)


def _check(cluster: host.Cluster, upstream: Upstream, member: str, *, again: bool) -> str:
    """Refuses what would fail later, or would cost data that is nowhere else. Returns the system identifier."""
    try:
        told = host.ask_member(upstream.address, upstream.port, upstream.user, upstream.passfile, _WHO)
    except host.Silent as silent:
        raise BadInput(
            f"The standby {member} cannot reach its primary {upstream.name}; nothing was changed here.",
            expected=f"an answer to {upstream.user} at {upstream.address}, port {upstream.port}",
            found=silent.found,
            next_step=f"see that {upstream.name} runs, that no firewall is between, and that both have the same "
            f"postgres_replication_password (no --limit): {playbook('provision')}",
        ) from silent
    if told["standby"]:
        raise BadInput(
            f"{upstream.name} is a standby itself; nothing was changed here.",
            expected="a primary",
            next_step=playbook("provision"),
        )
    own = host.control(cluster).get("Database system identifier", "")
    if own and own != told["system"] and (host.holds_something(cluster) or host.is_standby(cluster)):
        raise BadInput(
            f"The data folder of {member} belongs to another cluster and holds something; nothing was changed here.",
            expected=f"system identifier {told['system']}, as on {upstream.name}",
            found=f"system identifier {own}",
            where=cluster.data,
            next_step=f"move it away if nobody needs it: pg_dropcluster --stop {cluster.version} {cluster.name} && "
            f"pg_createcluster {cluster.version} {cluster.name} on {member}; then {playbook('provision')}",
        )
    # Even one with nothing in it has been told apart from a new one: that has an identifier of its own.
    if own == told["system"] and not host.is_standby(cluster) and not again:
        raise BadInput(
            f"{member} was a primary itself: it may hold rows that {upstream.name} has not; nothing was changed here.",
            expected="its name, by somebody who knows that",
            where=cluster.data,
            next_step=f"{playbook('rejoin')} -e postgres_rejoin={member}",
        )
    return str(told["system"])


def _may_rewind(cluster: host.Cluster, system: str) -> bool:
    """Whether the data is a whole primary of the same cluster: no standby, no rewind that did not end."""
    own = host.control(cluster).get("Database system identifier")
    return own == system and not host.is_standby(cluster) and not os.path.exists(host.beside(cluster, "rewinding"))


def _tells_its_timeline(upstream: Upstream, seconds: float) -> bool:
    """Whether the control file of the primary has the timeline that it writes: after a promotion, a checkpoint later.

    Before it, pg_rewind up to version 15 believes that both are on one timeline, and does nothing.
    """
    ends = time.monotonic() + seconds
    while True:
        told = host.ask_member(upstream.address, upstream.port, upstream.user, upstream.passfile, _TIMELINES)
        if told["told"] == told["written"]:
            return True
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)


def _rewind(cluster: host.Cluster, upstream: Upstream, deadline: float) -> bool:
    """Takes the data back to where the primary went another way. Returns whether that worked; else a copy is needed."""
    mark = host.beside(cluster, "rewinding")
    if not _tells_its_timeline(upstream, deadline):
        fence.record("not_rewound", reason=f"no checkpoint of {upstream.name} since its promotion in {deadline:g} s")
        return False
    durable.write_text(mark, "A rewind began here and did not end.\n")
    source = host.conninfo(upstream.address, upstream.port, upstream.user, upstream.passfile)
    try:
        command.run(
            host.as_postgres(
                [
                    cluster.program("pg_rewind"),
                    f"--target-pgdata={cluster.data}",
                    f"--source-server={source}",
                    f"--config-file={cluster.folder}/postgresql.conf",
                ]
            ),
            deadline=COPY,
        )
    except CommandFailed as failed:
        fence.record("not_rewound", reason=str(failed))
        return False
    _be_standby(cluster.data)
    durable.remove(mark)
    return True


def _be_standby(data: str) -> None:
    signal = os.path.join(data, "standby.signal")
    durable.write_text(signal, "")
    shutil.chown(signal, "postgres", "postgres")
    durable.sync_folder(data)


def _check_place(cluster: host.Cluster) -> None:
    """Refuses a copy that could not take the place of the data folder."""
    if os.path.ismount(cluster.data):
        raise BadInput(
            "The data folder is a file system of its own, so a copy beside it cannot take its place.",
            expected=f"the mount at {os.path.dirname(cluster.data)} or above",
            found=f"a mount at {cluster.data}",
            where=cluster.data,
            next_step=f"mount that disk at {os.path.dirname(cluster.data)}, with the data in a folder in it, then run "
            "this again",
        )


def _make_room(cluster: host.Cluster, upstream: Upstream) -> None:
    """Refuses a copy that would fill the disk; what runs left that were cut off makes room first."""
    # While there are data, nobody needs what they replaced.
    for left in ("coming", "before") if os.path.isdir(cluster.data) else ("coming",):
        if os.path.isdir(host.beside(cluster, left)):
            shutil.rmtree(host.beside(cluster, left))
    for place in host.ask_member(upstream.address, upstream.port, upstream.user, upstream.passfile, _PLACES) or []:
        if os.path.isdir(place) and os.listdir(place):
            raise BadInput(
                "A tablespace would be copied into a folder that holds something.",
                expected=f"no folder, or an empty one, as {upstream.name} has a tablespace there",
                found=f"{len(os.listdir(place))} entries",
                where=place,
                next_step=f"move it away when nobody needs it: mv {place} {place}.before; then run this again",
            )
    needed = int(host.ask_member(upstream.address, upstream.port, upstream.user, upstream.passfile, _SIZE))
    free = shutil.disk_usage(os.path.dirname(cluster.data)).free
    if needed > free:
        raise BadInput(
            "There is not enough room for a copy beside the data folder.",
            expected=f"{needed >> 20} MB",
            found=f"{free >> 20} MB",
            where=os.path.dirname(cluster.data),
            next_step=f"free space, then run again; see: df -h {os.path.dirname(cluster.data)}",
        )


def _copy(cluster: host.Cluster, upstream: Upstream, member: str) -> None:
    """Makes DATA.ready, while the server of this host is as it was."""
    coming, ready = host.beside(cluster, "coming"), host.beside(cluster, "ready")
    source = host.conninfo(upstream.address, upstream.port, upstream.user, upstream.passfile)
    command.run(
        host.as_postgres(
            [
                cluster.program("pg_basebackup"),
                # By this name the primary tells how far it is.
                f"--dbname={source} application_name={member}",
                f"--pgdata={coming}",
                "--wal-method=stream",
                f"--slot={upstream.slot}",
                "--checkpoint=fast",
                "--no-password",
            ]
        ),
        deadline=COPY,
        next_step="see the log of the primary in /var/log/postgresql/, then run this again",
    )
    _be_standby(coming)
    os.rename(coming, ready)
    durable.sync_folder(os.path.dirname(ready))


def _swap(cluster: host.Cluster) -> None:
    """Puts DATA.ready where the data was. Two renames; one that was cut off is finished by the next run."""
    ready, before = host.beside(cluster, "ready"), host.beside(cluster, "before")
    if os.path.isdir(cluster.data):
        host.stop(cluster)
        if os.path.isdir(before):
            shutil.rmtree(before)
        os.rename(cluster.data, before)
    os.rename(ready, cluster.data)
    durable.sync_folder(os.path.dirname(ready))
    durable.remove(host.beside(cluster, "rewinding"))


def _finish_swap(cluster: host.Cluster, system: str, *, check: bool) -> bool:
    """Ends what an earlier run began. Returns whether there was something. A copy of another cluster is not taken."""
    ready = host.beside(cluster, "ready")
    if not os.path.isdir(ready):
        return False
    fits = host.control(cluster._replace(data=ready)).get("Database system identifier") == system
    if not check and fits:
        _swap(cluster)
    elif not check:
        shutil.rmtree(ready)
    return fits


def _run(
    cluster: host.Cluster, upstream: Upstream, by: str, way: str, *, check: bool, deadline: float, member: str
) -> Joined:
    """Starts the standby where it does not run, and waits until it streams."""
    now = host.known()
    fenced = fence.read() is not None
    idle = not now.running or fenced
    if check:
        return Joined(idle or way != "kept", "started" if idle and way == "kept" else way)
    if fenced:
        fence.lift(cluster, by)
    if not now.running:
        host.start(cluster)
    elif not _streams(cluster, upstream):
        # A run that was killed may have left settings that nobody has read.
        host.reload(cluster)
    wait_until_it_streams(cluster, upstream, member, deadline)
    dropped = host.ask(cluster, _DROP_SLOTS) or []
    before = host.beside(cluster, "before")
    if os.path.isdir(before):
        shutil.rmtree(before)
    return Joined(idle or way != "kept" or bool(dropped), "started" if idle and way == "kept" else way)


def _streams(cluster: host.Cluster, upstream: Upstream) -> bool:
    """Whether it receives, and from nobody else."""
    wanted = {"status": "streaming", "address": upstream.address, "port": upstream.port}
    try:
        return bool(host.ask(cluster, _STREAMS) == wanted)
    except host.Silent:
        return False


def _received(cluster: host.Cluster) -> str:
    try:
        told = host.ask(cluster, _STREAMS)
    except host.Silent as silent:
        return f"{silent.found}\n    {host.last_words(cluster)}"
    if told and told["status"] == "streaming":
        return f"a stream from {told['address']}, port {told['port']}"
    return host.last_words(cluster)


def wait_until_it_streams(cluster: host.Cluster, upstream: Upstream, member: str, deadline: float) -> None:
    """Raises RolloutError with the last lines of the log when the standby does not stream within *deadline* seconds."""
    ends = time.monotonic() + deadline
    while not _streams(cluster, upstream):
        if time.monotonic() > ends:
            raise RolloutError(
                f"The standby {member} does not receive from {upstream.name}.",
                expected=f"a stream from {upstream.address}, port {upstream.port} within {deadline:g} s",
                found=_received(cluster),
                where=cluster.log,
                next_step="when the log says that it still replays, wait and run this again; when it receives from "
                "elsewhere, ALTER SYSTEM RESET primary_conninfo there; when WAL is gone or timelines differ, make it "
                f"anew: {playbook('rejoin')} -e postgres_rejoin={member}",
            )
        time.sleep(0.3)
