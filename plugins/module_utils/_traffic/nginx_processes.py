# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx as its processes show it: which workers take requests, and whose requests have not ended. PRIVATE.

nginx counts no requests for each upstream. What is in flight shows in the connections of its workers, in /proc.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import typing as t

from .._foundation.errors import CommandFailed, NotFound, playbook
from .driver import NotRunning

#: States of a connection over which an answer may come: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT.
_OPEN = frozenset({"01", "02", "04", "05", "08"})
_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_WORKER = "nginx: worker process"
_ENDING = "nginx: worker process is shutting down"
_MASTER = "nginx: master process"

Place = tuple[str, int]


class Workers(t.NamedTuple):
    """Process ids: the *master*, the *current* workers, which take requests, and the *old* ones, which end."""

    master: int
    current: list[int]
    old: list[int]


class Connection(t.NamedTuple):
    """One TCP socket: its inode, both ends, and its state as /proc has it."""

    inode: int
    local: Place
    remote: Place
    state: str


class Seen(t.NamedTuple):
    """*listening*: ports on which nginx takes users. *current* and *old*: the open connections of each such worker."""

    listening: set[int]
    current: list[list[Connection]]
    old: list[list[Connection]]


def in_flight(seen: Seen, places: t.Collection[Place]) -> int:
    """Returns how many requests to *places*, which nobody is sent to any more, have not ended. Pure.

    A connection to one of *places* is a request: a worker that ends closes those that wait to be used again, and the
    others have none, since they send nobody there but by the preview, which keeps no connection. In a worker that ends,
    a user's connection without one to any instance counts, too: its request may still be on its way in, and would go
    where that worker always sent it; or its answer is on its way out.
    """
    count = sum(one.remote in places for worker in (*seen.current, *seen.old) for one in worker)
    for worker in seen.old:
        users = sum(one.local[1] in seen.listening for one in worker)
        count += max(0, users - (len(worker) - users))
    return count


def workers(proc: str, pid_file: str) -> Workers:
    """Returns the processes of nginx. Raises NotRunning without a master."""
    master = _master(proc, pid_file)
    current, old = [], []
    for name in os.listdir(proc):
        if not name.isdigit() or _parent(proc, name) != master:
            continue
        title = _title(proc, name)
        if title.startswith(_ENDING):
            old.append(int(name))
        elif title.startswith(_WORKER):
            current.append(int(name))
    return Workers(master, current, old)


def signal_master(proc: str, pid_file: str, number: signal.Signals) -> None:
    """Sends a signal to the master. Raises NotRunning, or CommandFailed when it may not."""
    master = _master(proc, pid_file)
    try:
        os.kill(master, number)
    except OSError as error:
        raise CommandFailed("nginx cannot be told to reload.", found=str(error), where=f"process {master}") from error


def seen(proc: str, pid_file: str) -> Seen:
    """Returns the connections of every worker. Raises NotRunning, and NotFound when they cannot be seen."""
    found = workers(proc, pid_file)
    # Which sockets a worker has, before what they are: one that is opened in between belongs to a user who was seen.
    owned = {pid: _inodes(proc, pid) for pid in (found.master, *found.current, *found.old)}
    known = _connections(proc, found.master)
    listening = {
        known[inode].local[1] for inode in owned[found.master] if inode in known and known[inode].state == _LISTEN
    }

    def open_ones(pid: int) -> list[Connection]:
        return [known[inode] for inode in owned[pid] if inode in known and known[inode].state in _OPEN]

    return Seen(listening, [open_ones(pid) for pid in found.current], [open_ones(pid) for pid in found.old])


def resolved(places: t.Iterable[Place]) -> set[Place]:
    """Returns *places* with IP addresses for names. Raises NotFound for a name that nobody knows."""
    found = set()
    for host, port in places:
        try:
            for *_kind, end in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.add((str(end[0]), port))
        except OSError as error:
            raise NotFound(
                "An instance has no address; nobody can say whether its slot has drained.", found=str(error), where=host
            ) from error
    return found


def connections(text: str) -> list[Connection]:
    """Returns the sockets in *text*, which is /proc/net/tcp or tcp6. Pure."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) > 9:
            found.append(Connection(int(parts[9]), _end(parts[1]), _end(parts[2]), parts[3]))
    return found


def _end(text: str) -> Place:
    """0100007F:0050 is 127.0.0.1 and 80: words of 32 bits in the order of this machine."""
    address, port = text.split(":")
    packed = b"".join(struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8))
    if len(packed) == 16 and packed.startswith(b"\0" * 10 + b"\xff\xff"):
        packed = packed[12:]
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)


def _connections(proc: str, master: int) -> dict[int, Connection]:
    found = {}
    for name in ("tcp", "tcp6"):
        try:
            with open(os.path.join(proc, str(master), "net", name), encoding="ascii") as handle:
                found.update({one.inode: one for one in connections(handle.read())})
        except FileNotFoundError:
            continue  # a host without IPv6
    return found


def _inodes(proc: str, pid: int) -> set[int]:
    """Returns the sockets of a process; none of one that has ended. Raises NotFound when they cannot be seen."""
    folder = os.path.join(proc, str(pid), "fd")
    found = set()
    try:
        for name in os.listdir(folder):
            try:
                matched = _SOCKET.fullmatch(os.readlink(os.path.join(folder, name)))
            except FileNotFoundError:
                continue  # closed a moment ago
            if matched:
                found.add(int(matched.group(1)))
    except (FileNotFoundError, ProcessLookupError):
        return set()
    except PermissionError as error:
        raise NotFound(
            "nginx's connections cannot be seen; nobody can say whether a slot has drained.",
            expected="root, with the capability to look at other processes",
            found=str(error),
            where=folder,
        ) from error
    return found


def _master(proc: str, pid_file: str) -> int:
    try:
        with open(pid_file, encoding="ascii") as handle:
            pid = int(handle.read().strip() or 0)
    except (FileNotFoundError, ValueError):
        pid = 0
    if not pid or not _title(proc, str(pid)).startswith(_MASTER):
        raise NotRunning(
            "nginx does not run.",
            expected="the process of its master",
            found=f"process {pid}, which is another" if pid else "none",
            where=pid_file,
            next_step=f"systemctl status nginx; {playbook('provision')} starts it",
        )
    return pid


def _title(proc: str, pid: str) -> str:
    try:
        with open(os.path.join(proc, pid, "cmdline"), "rb") as handle:
            return handle.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _parent(proc: str, pid: str) -> int:
    """The fourth word of stat; the second one is in brackets and may have any character."""
    try:
        with open(os.path.join(proc, pid, "stat"), encoding="utf-8", errors="replace") as handle:
            return int(handle.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
