# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service has read its files since they changed. PRIVATE to the collection.

A run that dies between a file and the reload leaves a service that nobody will tell: to the next run, nothing changes.
"""

from __future__ import annotations

import datetime
import os
import typing as t

from .._foundation import command

DEADLINE = 10.0


def unread(unit: str, paths: t.Iterable[str]) -> bool:
    """Returns whether *unit* runs, and was neither started nor reloaded since the newest of *paths* changed.

    Paths that are not there do not count. Raises CommandFailed when systemd does not answer.
    """
    asked = ["systemctl", "show", "--timestamp=us+utc", "--property=ActiveState,StateChangeTimestamp", unit]
    told = dict(line.partition("=")[::2] for line in command.run(asked, deadline=DEADLINE).output.splitlines())
    return behind(told, [os.stat(path).st_mtime for path in paths if os.path.exists(path)])


def behind(told: t.Mapping[str, str], changed: t.Sequence[float]) -> bool:
    """Returns whether a service, by what systemd *told*, has read nothing since the last change. Pure.

    *changed*: seconds since 1970-01-01 UTC. A reload changes the state of a unit: active, reloading, active.
    """
    if told.get("ActiveState") != "active" or not changed:
        return False
    # Without the day of the week, which has a language: "Mon 2026-11-30 07:40:42.104214 UTC".
    text = told["StateChangeTimestamp"].split(" ", 1)[1]
    read = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=datetime.timezone.utc)
    return max(changed) > read.timestamp()
