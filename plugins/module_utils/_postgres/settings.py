# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of settings means before anything is touched: what differs, what waits for a restart. Pure. PRIVATE."""

from __future__ import annotations

import re
import typing as t

from . import amounts

HEADER = "# Managed by the role postgres. Read after postgresql.conf, so the last word is here.\n"
_LINE = re.compile(r"(?P<name>[A-Za-z_.][\w.]*) = '(?P<value>(?:[^'\\]|''|\\\\)*)'")
#: Values that may hold a password are never shown.
SECRET = ("primary_conninfo", "ssl_passphrase_command")


class Running(t.NamedTuple):
    """One row of pg_settings."""

    setting: str
    unit: str | None
    context: str
    vartype: str


class Change(t.NamedTuple):
    """What differs: values by name before and after (None: not set by us), and the names that wait for a restart."""

    before: dict[str, str | None]
    after: dict[str, str | None]
    waiting: list[str]


def render(settings: t.Mapping[str, t.Any]) -> str:
    """Returns the text of our file. A value that is a list is written with commas between."""
    lines = [f"{name} = '{_escaped(_text(value))}'\n" for name, value in sorted(settings.items())]
    return HEADER + "".join(lines)


def parse(text: str) -> dict[str, str]:
    """Returns the settings in a text that render() wrote; lines of another shape are left out."""
    found = {}
    for line in text.splitlines():
        matched = _LINE.fullmatch(line.strip())
        if matched:
            found[matched["name"]] = matched["value"].replace("''", "'").replace("\\\\", "\\")
    return found


def change(old: str, new: str, running: t.Mapping[str, Running]) -> Change:
    """Returns what *new* makes of *old* (texts of our file), seen from a server that runs with *running*.

    A setting of context postmaster waits when the running value is another one than the new file's. One that we no
    longer set falls back to a value that is not known here, so it counts as waiting.
    """
    had, wanted = parse(old), parse(new)
    differing = sorted(name for name in {*had, *wanted} if had.get(name) != wanted.get(name))
    waiting = []
    for name in sorted({*wanted, *differing}):
        row = running.get(name)
        if row is None or row.context != "postmaster":
            continue
        if name not in wanted or not amounts.same(wanted[name], row.setting, row.unit, row.vartype):
            waiting.append(name)
    return Change(
        {name: _shown(name, had.get(name)) for name in differing},
        {name: _shown(name, wanted.get(name)) for name in differing},
        waiting,
    )


def _shown(name: str, value: str | None) -> str | None:
    return "(hidden)" if value and name in SECRET else value


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")
