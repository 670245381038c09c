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


def unread(unit: str, paths: t.Iterable[str]) -> list[str]:
    """Returns those of *paths* that changed since *unit*, if it runs, was started or reloaded the last time.

    Paths that are not there do not count. Raises CommandFailed when systemd does not answer.
    """
    asked = ["systemctl", "show", "--timestamp=us+utc", "--property=ActiveState,StateChangeTimestamp", unit]
    told = dict(line.partition("=")[::2] for line in command.run(asked, deadline=DEADLINE).output.splitlines())
    return behind(told, {path: os.stat(path).st_mtime for path in paths if os.path.exists(path)})


def behind(told: t.Mapping[str, str], changed: t.Mapping[str, float]) -> list[str]:
    """Returns the paths that a service, by what systemd *told*, has not read since they changed. Pure.

    *changed*: seconds since 1970-01-01 UTC, by path. A reload changes the state of a unit: active, reloading, active.
    """
    if told.get("ActiveState") != "active":
        return []
    # Without the day of the week, which has a language: "Mon 2026-11-30 07:40:42.104214 UTC".
    text = told["StateChangeTimestamp"].split(" ", 1)[1]
    read = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=datetime.timezone.utc)
    return [path for path, seconds in changed.items() if seconds > read.timestamp()]
