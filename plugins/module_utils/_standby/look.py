# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host and the members it can reach tell about replication. Only looks. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from .._foundation import command
from . import fence, host

# pg_walfile_name names the timeline that is written at this moment; it may not be called in recovery.
_WHO = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN pg_is_in_recovery() THEN
      (SELECT greatest(r.min_recovery_end_timeline, c.timeline_id, (SELECT received_tli FROM pg_stat_wal_receiver))
       FROM pg_control_recovery() r, pg_control_checkpoint() c)
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'lsn', CASE WHEN pg_is_in_recovery() THEN
      greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END)
"""

_MORE = """
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'replayed', pg_last_wal_replay_lsn(),
  'last_commit_age', extract(epoch FROM now() - pg_last_xact_replay_timestamp()),
  'last_commit', pg_last_xact_replay_timestamp(),
  'receiver', (SELECT json_build_object('status', status, 'address', sender_host, 'port', sender_port)
    FROM pg_stat_wal_receiver),
  'upstream', current_setting('primary_conninfo'),
  'keep_at_most', current_setting('max_slot_wal_keep_size'),
  'senders', coalesce((SELECT json_agg(json_build_object('name', application_name, 'state', state,
      'copied_bytes', (SELECT backup_streamed FROM pg_stat_progress_basebackup AS b WHERE b.pid = r.pid),
      'copy_bytes', (SELECT coalesce(backup_total, (SELECT sum(pg_database_size(oid)) FROM pg_database))
        FROM pg_stat_progress_basebackup AS b WHERE b.pid = r.pid),
      'lag_bytes', pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_lsn() END, replay_lsn),
      'lag_seconds', extract(epoch FROM replay_lag)) ORDER BY application_name)
    FROM pg_stat_replication AS r), '[]'),
  'slots', coalesce((SELECT json_agg(json_build_object('name', slot_name, 'active', active, 'state', wal_status,
      'retained_bytes', pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_lsn() END, restart_lsn)) ORDER BY slot_name)
    FROM pg_replication_slots), '[]'))
"""


def here() -> dict[str, t.Any]:
    """Returns what is true on this host.

    state: absent (no cluster), new (nothing of its own in it), primary, standby, stopped, fenced, unclear (it runs and
    does not answer).
    """
    cluster = host.find()
    if cluster is None:
        return {"state": "absent", "packages": {}}
    told: dict[str, t.Any] = {
        "cluster": cluster._asdict(),
        "fence": fence.read(),
        "standby": host.is_standby(cluster),
        "member": os.path.exists(f"{cluster.folder}/conf.d/rollout_replication.conf"),
        "packages": packages(),
        **_files(cluster),
    }
    fresh = not told["holds_something"] and not told["standby"] and told["timeline"] <= 1
    if not cluster.running:
        # A fence that a kill has left half done, or half lifted, keeps nobody from starting.
        told["state"] = "fenced" if fence.is_closed(cluster) else "new" if fresh else "stopped"
        return told
    try:
        told.update(host.ask(cluster, _WHO))
        told.update(host.ask(cluster, _MORE))
    except host.Silent as silent:
        return {**told, "state": "unclear", "reason": silent.found}
    fresh = not told["holds_something"] and told["timeline"] == 1
    told["state"] = "standby" if told["standby"] else "new" if fresh else "primary"
    return told


def _files(cluster: host.Cluster) -> dict[str, t.Any]:
    """What the data folder tells while nobody may be asked."""
    control = host.control(cluster)
    timeline, lsn = int(control.get("Latest checkpoint's TimeLineID", "0")), control.get("Latest checkpoint location")
    if host.is_standby(cluster):
        # It has more than its last checkpoint: what was replayed by the time it went to the disk.
        lsn = max((lsn, control.get("Minimum recovery ending location")), key=lambda one: host.position(one or "0/0"))
    else:
        # One that was promoted and died before its next checkpoint knows its timeline by this file alone.
        timeline = max(timeline, newest_timeline(cluster))
    return {
        "holds_something": host.holds_something(cluster),
        "system": control.get("Database system identifier", ""),
        "timeline": timeline,
        "lsn": lsn,
        "ended_well": control.get("Database cluster state", "").startswith("shut down"),
    }


def newest_timeline(cluster: host.Cluster) -> int:
    """Returns the highest timeline that a promotion of this server, or of one before it, has begun; 0 for none."""
    folder = os.path.join(cluster.data, "pg_wal")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return max((int(name[:8], 16) for name in names if re.fullmatch("[0-9A-F]{8}\\.history", name)), default=0)


def member(address: str, port: int, user: str, passfile: str) -> dict[str, t.Any]:
    """Returns what another member says of itself; state: primary, standby, closed, unreachable, unclear."""
    if not os.path.exists(passfile):
        return {"state": "unclear", "reason": "no password to ask with yet"}
    try:
        told = host.ask_member(address, port, user, passfile, _WHO)
    except host.Silent as silent:
        return {"state": silent.kind, "reason": silent.found}
    return {**told, "state": "standby" if told["standby"] else "primary"}


def packages() -> dict[str, str]:
    """Returns the installed packages of PostgreSQL and their versions."""
    told = command.run(
        [
            "dpkg-query",
            "--show",
            "--showformat",
            "${db:Status-Status} ${Package} ${Version}\n",
            "postgresql*",
            "libpq5",
        ],
        deadline=host.LOOK,
        accepted=(0, 1),
    ).output
    rows = [line.split() for line in told.splitlines()]
    return {row[1]: row[2] for row in rows if row[0] == "installed" and len(row) == 3}
