# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New settings and access rules of a cluster: checked, written, in effect, or put back with the reason. PRIVATE."""

from __future__ import annotations

import grp
import os
import pwd
import time
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, RolloutError
from . import age, connected, settings, trial
from . import cluster as clusters
from .cluster import Cluster

NEVER, WHEN_NEEDED = "never", "when_needed"
_RELOAD_SECONDS = 15.0
_RUNNING = """SELECT json_build_object(
  'settings', (SELECT json_object_agg(name, json_build_array(setting, unit, context, vartype)) FROM pg_settings),
  'pending', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'loaded', extract(epoch FROM pg_conf_load_time()))"""
# "could not be applied" is no error: pg_file_settings says so of every setting that waits for a restart.
_ERRORS = """SELECT coalesce(json_agg(found), '[]') FROM (
  SELECT format('%s line %s: %s: %s', sourcefile, sourceline, name, error) AS found FROM pg_file_settings
  WHERE error IS NOT NULL AND error <> 'setting could not be applied'
  UNION ALL SELECT format('pg_hba.conf line %s: %s', line_number, error) FROM pg_hba_file_rules
  WHERE error IS NOT NULL) AS errors"""


class Files(t.NamedTuple):
    """Texts of our two files; None: there is no such file."""

    settings: str | None
    access: str | None


class Outcome(t.NamedTuple):
    """What happened, or in check mode would: differences, what was done, and what still waits for a restart."""

    before: dict[str, t.Any]
    after: dict[str, t.Any]
    changed: bool
    actions: list[str]
    waiting: list[str]
    port: int
    checksums: bool


def configure(
    version: str,
    wanted: t.Mapping[str, t.Any],
    access: t.Sequence[str],
    restart: str,
    *,
    layout: clusters.Layout | None = None,
    beside: t.Mapping[str, t.Any] | None = None,
    may_lose: t.Sequence[str] = (),
    dry: bool = False,
) -> Outcome:
    """Makes the cluster at *layout*, or Debian's cluster main of *version*, run with *wanted* and the lines *access*.

    *beside* are settings of another file, read after ours: a plan names what they need before that file is written.
    Who is connected and could not come back is refused, but for users and addresses that *may_lose* names.
    Nothing of the running server is touched before everything is checked; *restart* is NEVER or WHEN_NEEDED; *dry*
    checks and tells. Raises BadInput when a setting or a rule is refused, RolloutError when the server does not go on.
    """
    cluster = clusters.find(version, layout)
    found = clusters.check_identity(cluster)
    old, new = _read(cluster), Files(settings.render(wanted), "".join(f"{line}\n" for line in access))
    if new.settings != old.settings:
        trial.check(cluster, new.settings or "")
    running: t.Any = clusters.ask(cluster, _RUNNING) if cluster.runs else None
    rows = {name: settings.Running(*row) for name, row in running["settings"].items()} if running else {}
    change = settings.change(old.settings or "", new.settings or "", rows)
    # Of files that it has read, the server itself knows what waits.
    foreseen = [name for name in change.waiting if name not in (beside or {})] if new.settings != old.settings else []
    foreseen += settings.change("", settings.render(beside or {}), rows).waiting
    waiting = sorted({*foreseen, *(running["pending"] if running else ())})
    restarts = bool(waiting) and restart == WHEN_NEEDED and running is not None
    renewed = age.of_certificate(wanted, cluster.data)
    actions = _planned(cluster, old, new, running, restarts, renewed)
    before: dict[str, t.Any] = {"settings": change.before, "access": (old.access or "").splitlines()}
    after: dict[str, t.Any] = {"settings": change.after, "access": list(access)}
    if waiting:
        after["restart"] = f"{'restarts' if restarts else 'waits for a restart'}: {', '.join(waiting)}"
    if not dry:
        unread = bool(running) and _written_at(cluster) > float(running["loaded"])
        if actions and not _act(cluster, old, new, restart, may_lose, unread=unread):
            actions = [action for action in actions if action != "restarted"]
        # A note of what is, and no change of it: a standby that has joined gets it at the next run.
        clusters.remember_identity(cluster, found)
        cluster = clusters.look(cluster)
        running = clusters.ask(cluster, _RUNNING)
        waiting = running["pending"]
    checksums = bool(running) and running["settings"]["data_checksums"][0] == "on"
    return Outcome(before, after, bool(actions), actions, waiting, cluster.port, checksums)


def _planned(
    cluster: Cluster, old: Files, new: Files, running: t.Mapping[str, t.Any] | None, restarts: bool, renewed: float
) -> list[str]:
    """Returns what there is to do, in order. A run that was killed may have written files that nobody has read.

    *renewed* is when the certificate became what it is; the server goes on with the former one until it reloads.
    """
    actions = []
    if new.settings != old.settings:
        actions.append("settings written")
    if new.access != old.access:
        actions.append("access rules written")
    if running is None:
        return [*actions, "started"]
    if actions or max(_written_at(cluster), renewed) > float(running["loaded"]):
        actions.append("reloaded")
    return [*actions, "restarted"] if restarts else actions


def _act(
    cluster: Cluster, old: Files, new: Files, restart: str, may_lose: t.Sequence[str], *, unread: bool = False
) -> bool:
    """Returns whether the server restarted. Raises what went wrong, with the old files back in effect.

    *unread*: a run that was killed has written files that the server has not read, and perhaps nobody has checked.
    """
    touched, times = "", _times(cluster)
    try:
        _write(cluster, new)
        if cluster.runs:
            _refuse_errors(cluster)
            if unread or new.access != old.access:
                lines = (new.access or "").splitlines()
                gone = connected.taken_out((old.access or "").splitlines(), lines)
                connected.refuse(clusters.ask(cluster, connected.LOCKED_OUT), [*may_lose, *gone], lines)
            touched = "reload"
            _reload(cluster)
        if not cluster.runs or (restart == WHEN_NEEDED and clusters.ask(cluster, _RUNNING)["pending"]):
            touched = "restart"
            clusters.restart(cluster)
            _refuse_errors(clusters.look(cluster))
        return touched == "restart"
    except RolloutError as error:
        _write(cluster, old)
        if not touched:
            # The server has read these files: the next run shall not find them newer than that.
            _set_times(times)
        if touched == "restart":
            clusters.restart(cluster)
        elif touched:
            command.run(["systemctl", "reload", cluster.unit], deadline=clusters.ANSWER_SECONDS)
        raise type(error)(
            error.what,
            expected=error.expected,
            found=error.found,
            where=error.where,
            next_step="correct the variables of role postgres, then run this again; the previous settings are back"
            + (" and in effect" if touched else ", and the server was not touched"),
        ) from error


def _refuse_errors(cluster: Cluster) -> None:
    errors = clusters.ask(cluster, _ERRORS)
    if errors:
        raise BadInput(
            "PostgreSQL does not understand its new files.",
            expected="no error in pg_file_settings and pg_hba_file_rules",
            found="\n    ".join(errors),
        )


def _reload(cluster: Cluster) -> None:
    """Reloads, and waits until new connections see it: the signal is one thing, the server's reading another."""
    before = clusters.ask(cluster, "SELECT extract(epoch FROM pg_conf_load_time())")
    clusters.ask(cluster, "SELECT to_json(pg_reload_conf())")
    ends = time.monotonic() + _RELOAD_SECONDS
    while clusters.ask(cluster, "SELECT extract(epoch FROM pg_conf_load_time())") == before:
        if time.monotonic() > ends:
            raise RolloutError("PostgreSQL did not read its files again.", expected=f"within {_RELOAD_SECONDS:g} s")
        time.sleep(0.05)


def _paths(cluster: Cluster) -> tuple[str, str]:
    return f"{cluster.folder}/conf.d/rollout.conf", f"{cluster.folder}/pg_hba.conf"


def _read(cluster: Cluster) -> Files:
    return Files(*(durable.read_text(path) for path in _paths(cluster)))


def _write(cluster: Cluster, files: Files) -> None:
    group = grp.getgrnam("postgres").gr_gid
    owners = (0, pwd.getpwnam("postgres").pw_uid)
    for path, text, owner in zip(_paths(cluster), files, owners):
        if text is None:
            durable.remove(path)
            continue
        durable.write_text(path, text, mode=0o640, owner=(owner, group))


def _times(cluster: Cluster) -> dict[str, int]:
    return {path: os.stat(path).st_mtime_ns for path in _paths(cluster) if os.path.exists(path)}


def _set_times(times: t.Mapping[str, int]) -> None:
    for path, changed in times.items():
        os.utime(path, ns=(changed, changed))


def _written_at(cluster: Cluster) -> float:
    return max(os.stat(path).st_mtime for path in _paths(cluster) if os.path.exists(path))
