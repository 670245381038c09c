# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the kernel: now, where the host may set them, and after every boot. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from .._foundation import durable
from .._foundation.errors import BadInput

HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"


class Setting(t.NamedTuple):
    """One setting: the file of the kernel and its value. *least*: a greater number is good as well."""

    path: str
    value: str
    least: bool = False


class Outcome(t.NamedTuple):
    """What was set or would be, and what the host refused, as lines for people."""

    changed: list[str]
    refused: list[str]


def read(exact: t.Mapping[str, t.Any], least: t.Mapping[str, t.Any], huge_pages: str | None) -> list[Setting]:
    """Returns the settings by the names of sysctl. Raises BadInput for a name that is none."""
    wrong = [name for name in (*exact, *least) if not re.fullmatch(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+", name)]
    if wrong:
        raise BadInput("A setting of the kernel has no such name.", expected="vm.name", found=", ".join(wrong))
    found = [
        Setting(f"/proc/sys/{name.replace('.', '/')}", str(value), told is least)
        for told in (exact, least)
        for name, value in sorted(told.items())
    ]
    return found + ([Setting(HUGE_PAGES, huge_pages)] if huge_pages else [])


def current(text: str) -> str:
    """Returns the value in a file of the kernel; of several choices the one in brackets."""
    chosen = re.search(r"\[(\S+)\]", text)
    return chosen.group(1) if chosen else text.strip()


def is_good(setting: Setting, value: str) -> bool:
    """Returns whether *value* is what *setting* wants."""
    if setting.least and value.isdigit():
        return int(value) >= int(setting.value)
    return value == setting.value


def boot_files(name: str, settings: t.Sequence[Setting]) -> dict[str, str]:
    """Returns the files that set the same after every boot, by path."""
    first = "# Managed by the collection vitalops.rollout.\n"
    rows = [one for one in settings if one.path != HUGE_PAGES]
    sysctl = "".join(f"{one.path[len('/proc/sys/') :].replace('/', '.')} = {one.value}\n" for one in rows)
    pages = "".join(f"w {one.path} - - - - {one.value}\n" for one in settings if one.path == HUGE_PAGES)
    files = {f"/etc/sysctl.d/60-{name}.conf": sysctl, f"/etc/tmpfiles.d/{name}.conf": pages}
    return {path: first + text for path, text in files.items() if text}


def apply(name: str, settings: t.Sequence[Setting], *, check: bool, root: str = "") -> Outcome:
    """Sets what differs. A host that does not allow it (a container) is told, not an error."""
    changed, refused = [], []
    for setting in settings:
        path = root + setting.path
        try:
            with open(path, encoding="utf-8") as handle:
                value = current(handle.read())
            if is_good(setting, value):
                continue
            _allowed(path)
            if not check:
                with open(path, "w", encoding="utf-8") as handle:
                    handle.write(setting.value)
            changed.append(f"{setting.path}: {value} -> {setting.value}")
        except OSError as error:
            refused.append(f"{setting.path}: {setting.value} ({error.strerror})")
    for path, text in boot_files(name, settings).items():
        if durable.read_text(root + path) == text:
            continue
        if not check:
            durable.make_folder(os.path.dirname(root + path), mode=0o755)
            durable.write_text(root + path, text, mode=0o644)
        changed.append(f"{path}: written")
    return Outcome(changed, refused)


def _allowed(path: str) -> None:
    """Raises OSError as a write would, also in check mode: opening a file of the kernel changes nothing."""
    os.close(os.open(path, os.O_WRONLY))
