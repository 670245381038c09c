# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is: init system, distribution, Python, space, memory, clock, authorities. PRIVATE to the collection."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
import shlex
import sys
import time
import typing as t

SPACE_OF = ("/", "/var/lib")
#: Python libraries without which gates cannot ask a store.
LIBRARIES = ("psycopg2", "redis")
_NO_LIMIT = 1 << 60  # bytes; control groups of version 1 write a number near 2^63 for none


def parse_os_release(text: str) -> dict[str, str]:
    """Returns the assignments in the text of /etc/os-release (os-release(5)); lines that are none are left out."""
    values = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            try:
                values[name] = "".join(shlex.split(value))
            except ValueError:
                continue
    return values


def parse_meminfo(text: str) -> dict[str, int]:
    """Returns {"total", "available"} in bytes out of the text of /proc/meminfo; 0 for what it does not tell."""
    kibibytes = {}
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        fields = value.split()
        if fields and fields[0].isdigit():
            kibibytes[name] = int(fields[0])
    return {"total": kibibytes.get("MemTotal", 0) * 1024, "available": kibibytes.get("MemAvailable", 0) * 1024}


def memory_limit(groups: str, read: t.Callable[[str], str]) -> int | None:
    """Returns the smallest limit (bytes) that the control groups of a process set, None without one.

    *groups* is the text of its /proc/PID/cgroup, *read* gives the text of a file. Knows both versions (cgroups(7)): a
    group is limited by each of its parents, too.
    """
    limits = []
    for line in groups.splitlines():
        _number, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, file = (
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") if controllers else ("/sys/fs/cgroup", "memory.max")
        )
        parts = [part for part in path.split("/") if part]
        for length in range(len(parts) + 1):
            told = read("/".join([root, *parts[:length], file])).strip()
            if told.isdigit() and int(told) < _NO_LIMIT:
                limits.append(int(told))
    return min(limits, default=None)


def collect() -> dict[str, t.Any]:
    """Returns the description of this host (see RETURN of host_info), without its listeners."""
    release = parse_os_release(_text("/etc/os-release"))
    name = _text("/proc/1/comm").strip()
    memory = parse_meminfo(_text("/proc/meminfo"))
    limit = memory_limit(_text("/proc/1/cgroup"), _text)
    return {
        "init": {"name": name, "systemd": name == "systemd" and os.path.isdir("/run/systemd/system")},
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "libraries": {name: importlib.util.find_spec(name) is not None for name in LIBRARIES},
        },
        "distribution": {
            "id": release.get("ID", ""),
            "version": release.get("VERSION_ID", ""),
            "codename": release.get("VERSION_CODENAME", ""),
            "name": release.get("PRETTY_NAME", ""),
        },
        "free_bytes": {path: _free(path) for path in SPACE_OF if os.path.isdir(path)},
        "memory_bytes": {**memory, "usable": min(limit or memory["total"], memory["total"])},
        "cores": len(os.sched_getaffinity(0)),
        "boot_id": _text("/proc/sys/kernel/random/boot_id").strip(),
        "uptime": float((_text("/proc/uptime").split() or ["0"])[0]),
        "clock": time.time(),
    }


def authority_problem(path: str) -> str | None:
    """Returns what is found instead of certificates of authorities in the file *path*, None when they can be used.

    It is for a watch, which runs as root without capabilities: what modes close to it, it cannot read.
    """
    import ssl  # noqa: PLC0415 - most hosts are asked about no file

    if not os.path.isfile(path):  # not opened: a pipe would never answer
        return "something else than a file" if os.path.exists(path) else "nothing"
    try:
        folders = pathlib.Path(path).resolve().parents
        if not (_allows(path, os.R_OK) and all(_allows(folder, os.X_OK) for folder in folders)):
            return "a file that its mode, or that of a folder above it, closes to a watch (root without capabilities)"
        certificates = ssl.create_default_context(cafile=path).cert_store_stats()["x509"]
    except ssl.SSLError:
        certificates = 0
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    return None if certificates else "a file without certificates in PEM format, or with a damaged one"


def _allows(path: str | os.PathLike[str], access: int) -> bool:
    """Whether the mode of *path* alone gives us *access* (os.R_OK, os.X_OK)."""
    status = os.stat(path)
    shift = 6 if status.st_uid == os.geteuid() else 3 if status.st_gid == os.getegid() else 0
    return bool(status.st_mode >> shift & access)


def _free(path: str) -> int:
    """Bytes that are free for users other than root, which is what most services run as."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""
