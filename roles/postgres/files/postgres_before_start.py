# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Right before PostgreSQL starts: a server that was replaced while it was away does not come back as a second primary.

It asks the other members. Who does not answer does not hinder it: a primary must be able to start alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t

SETTINGS = "/etc/rollout/postgres_members.json"
# A standby tells the timeline that it has followed somebody to.
QUESTION = """
SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),
CASE WHEN pg_is_in_recovery() THEN
  (SELECT greatest(r.min_recovery_end_timeline, c.timeline_id, (SELECT received_tli FROM pg_stat_wal_receiver))
   FROM pg_control_recovery() r, pg_control_checkpoint() c)
ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
"""


def main(path: str = SETTINGS) -> int:
    """Returns 1 when the server must not start."""
    try:
        with open(path, encoding="utf-8") as handle:
            settings = json.load(handle)
        data, others = settings["data"], sorted(settings["others"].items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Nobody to ask is the same as nobody who answers.
        print(f"PostgreSQL starts without asking the other members: {path}: {error!r}", file=sys.stderr)
        return 0
    if os.path.exists(os.path.join(data, "standby.signal")):
        return 0
    system, timeline = own(settings)
    for name, address in others:
        there = ask(settings, address)
        if there and replaced(system, timeline, there):
            print(refusal(name, there, timeline, settings["member"]), file=sys.stderr)
            return 1
    return 0


def replaced(system: str, timeline: int, there: t.Sequence[str]) -> bool:
    """Whether *there* (in recovery, system identifier, timeline) has seen a promotion that this host has not."""
    return len(there) == 3 and there[1] == system and there[2].isdigit() and int(there[2]) > timeline


def refusal(name: str, there: t.Sequence[str], timeline: int, member: str) -> str:
    """Returns why the server is not started, and what to type."""
    if there[0] == "f":
        who, verb = f"{name} was promoted while this host was away", f"rejoin -i INVENTORY -e postgres_rejoin={member}"
    else:
        # Its primary is away; what it has is more than what is here.
        who = f"{name} follows somebody who was promoted while this host was away"
        verb = f"promote -i INVENTORY -e postgres_promote={name}"
    return (
        f"PostgreSQL is not started: {who} (timeline {there[2]}, here {timeline}). "
        f"Next: ansible-playbook vitalops.rollout.{verb}"
    )


def own(settings: dict[str, t.Any]) -> tuple[str, int]:
    """Returns the system identifier and the timeline of the data on this host."""
    told = run([f"/usr/lib/postgresql/{settings['version']}/bin/pg_controldata", settings["data"]])
    lines = dict(line.partition(":")[::2] for line in (told or "").splitlines())
    system = lines.get("Database system identifier", "").strip()
    # One that was promoted and died before its next checkpoint knows its timeline by a file alone.
    wal = os.path.join(settings["data"], "pg_wal")
    names = os.listdir(wal) if os.path.isdir(wal) else []
    begun = [int(name[:8], 16) for name in names if re.fullmatch(r"[0-9A-F]{8}\.history", name)]
    return system, max([int(lines.get("Latest checkpoint's TimeLineID", "0")), *begun])


def ask(settings: dict[str, t.Any], address: str) -> list[str] | None:
    """Returns what a member says of itself, or None."""
    target = (
        f"host={address} port={settings['port']} user={settings['user']} dbname=postgres "
        f"passfile={settings['passfile']} connect_timeout=3"
    )
    asked = ["psql", "--no-psqlrc", "--no-password", "-qAt", "-F", " ", "-d", target, "-c", " ".join(QUESTION.split())]
    told = run(["runuser", "-u", "postgres", "--", *asked])
    return told.split() if told else None


def run(arguments: list[str]) -> str | None:
    """Returns what a program wrote, or None when it failed or took too long."""
    try:
        ended = subprocess.run(
            arguments,
            env={**{key: value for key, value in os.environ.items() if key != "HOME"}, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
