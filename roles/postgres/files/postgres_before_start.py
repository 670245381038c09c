# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Right before PostgreSQL starts: a server that was replaced while it was away does not come back as a second primary.

It asks the other members. Who does not answer does not hinder it: a primary must be able to start alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

SETTINGS = "/etc/rollout/postgres_members.json"
QUESTION = """
SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),
CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
"""


def main() -> int:
    with open(SETTINGS, encoding="utf-8") as handle:
        settings = json.load(handle)
    data = settings["data"]
    if os.path.exists(os.path.join(data, "standby.signal")):
        return 0
    system, timeline = own(settings)
    for name, address in sorted(settings["others"].items()):
        there = ask(settings, address)
        if replaced(system, timeline, there):
            print(
                f"PostgreSQL is not started: {name} was promoted while this host was away "
                f"(timeline {there[2]}, here {timeline}). Next: ansible-playbook "
                f"vitalops.rollout.rejoin -i INVENTORY -e postgres_rejoin={settings['member']}",
                file=sys.stderr,
            )
            return 1
    return 0


def replaced(system: str, timeline: int, there: t.Sequence[str] | None) -> bool:
    """Whether *there* (in recovery, system identifier, timeline) is a primary of the same cluster that came later."""
    return bool(there) and there[0] == "f" and there[1] == system and int(there[2]) > timeline


def own(settings: dict[str, t.Any]) -> tuple[str, int]:
    """Returns the system identifier and the timeline of the data on this host."""
    told = run([f"/usr/lib/postgresql/{settings['version']}/bin/pg_controldata", settings["data"]])
    lines = dict(line.partition(":")[::2] for line in (told or "").splitlines())
    system = lines.get("Database system identifier", "").strip()
    return system, int(lines.get("Latest checkpoint's TimeLineID", "0"))


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
            env={**os.environ, "LC_ALL": "C"},
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
