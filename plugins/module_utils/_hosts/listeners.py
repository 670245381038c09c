# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on which TCP port, read from /proc and the container engine. PRIVATE to the collection.

The parse functions are pure; collect() is the only one that looks at the host. /proc is always there; the program ss is
not, on a minimal host.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import typing as t

from .._foundation import engine
from .._foundation.errors import CommandFailed

ENGINE_DEADLINE = 10.0  # seconds; an engine that pulls images on a small host takes its time
LISTEN = "0A"
_CONTAINER = re.compile(r"(?:docker-)?([0-9a-f]{64})(?:\.scope)?")


class Listener(t.NamedTuple):
    """One listening TCP socket. What cannot be seen is None: without root, nothing about other users' processes."""

    port: int
    address: str
    process: str | None = None
    pid: int | None = None
    unit: str | None = None
    container: str | None = None


class Socket(t.NamedTuple):
    """A listening socket as the kernel tells it."""

    address: str
    port: int
    inode: str


class Seen(t.NamedTuple):
    """What one look found. *engine* tells a missing container name: absent, answered, or silent (names are unknown)."""

    listeners: list[Listener]
    engine: str


class Published(t.NamedTuple):
    """A port of the host that the container engine forwards."""

    address: str
    port: int
    container: str


def parse_sockets(table: str, order: str = sys.byteorder) -> list[Socket]:
    """Returns the listening sockets in the text of /proc/net/tcp or tcp6, written by a kernel of byte order *order*.

    Addresses are words of 32 bits in the byte order of the machine, in hexadecimal (Linux, net/ipv4/tcp_ipv4.c).
    """
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != LISTEN:
            continue
        address, port = fields[1].split(":")
        words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
        packed = struct.pack(f"{'<' if order == 'little' else '>'}{len(words)}I", *words)
        family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
        found.append(Socket(socket.inet_ntop(family, packed), int(port, 16), fields[9]))
    return found


def parse_cgroup(text: str) -> tuple[str | None, str | None]:
    """Returns (systemd unit, container id) out of the text of /proc/<pid>/cgroup; the innermost of the two is set.

    The host may itself be a container: paths such as /docker/<outer>/system.slice/nginx.service are read from the end.
    """
    paths = {}
    for line in text.splitlines():
        number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        paths["unified" if number == "0" else controllers] = path
    path = paths.get("unified", "/")
    if path == "/":
        path = paths.get("name=systemd", "/")
    for part in reversed(path.split("/")):
        container = _CONTAINER.fullmatch(part)
        if container:
            return None, container.group(1)
        if part.endswith((".service", ".scope")):
            return part, None
    return None, None


def parse_containers(listing: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[dict[str, str], list[Published]]:
    """Returns (name by id, published TCP ports) out of the engine's answer to GET /containers/json."""
    names, ports = {}, []
    for container in listing:
        name = (container.get("Names") or [container["Id"][:12]])[0].lstrip("/")
        names[container["Id"]] = name
        for port in container.get("Ports") or []:
            if port.get("PublicPort") and port.get("Type") == "tcp":
                ports.append(Published(port.get("IP") or "0.0.0.0", port["PublicPort"], name))  # noqa: S104
    return names, ports


def join(
    sockets: t.Iterable[Socket],
    owners: t.Mapping[str, tuple[int, str, str]],
    names: t.Mapping[str, str],
    published: t.Sequence[Published],
) -> list[Listener]:
    """Puts together what was seen, sorted by port.

    owners: (process id, process name, text of its cgroup file) by inode of the socket. names: container name by id.
    A port that the engine forwards without a process of its own (userland-proxy off) is a listener too.
    """
    found = []
    by_port = {port.port: port.container for port in published}
    for one in sockets:
        pid, process, cgroup = owners.get(one.inode, (None, None, ""))
        unit, identity = parse_cgroup(cgroup)
        container = names.get(identity, identity[:12]) if identity else None
        if process == "docker-proxy":
            container = by_port.get(one.port)
        found.append(Listener(one.port, one.address, process, pid, unit, container))
    seen = {listener.port for listener in found}
    found += [
        Listener(port.port, port.address, container=port.container) for port in published if port.port not in seen
    ]
    return sorted(found, key=lambda listener: (listener.port, listener.address))


def collect(ports: t.Collection[int], engine_socket: str = engine.SOCKET) -> Seen:
    """Returns the listeners of this host on *ports*, or on every port when there are none given."""
    sockets = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        sockets += parse_sockets(_text(path))
    if ports:
        sockets = [one for one in sockets if one.port in ports]
    told, containers = "absent", None
    if os.path.exists(engine_socket):
        containers = ask_engine(engine_socket)
        told = "silent" if containers is None else "answered"
    names, published = parse_containers(containers or [])
    published = [port for port in published if not ports or port.port in ports]
    return Seen(join(sockets, find_owners({one.inode for one in sockets}), names, published), told)


def find_owners(inodes: t.Collection[str]) -> dict[str, tuple[int, str, str]]:
    """Returns (process id, name, cgroup text) of the process that holds each socket; the oldest one when several do."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, tuple[int, str, str]] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if len(owners) == len(links):
            break
        for inode in _held(pid, links):
            if inode not in owners:
                owners[inode] = (pid, _text(f"/proc/{pid}/comm").strip(), _text(f"/proc/{pid}/cgroup"))
    return owners


def _held(pid: int, links: t.Mapping[str, str]) -> list[str]:
    folder = f"/proc/{pid}/fd"
    held = []
    try:
        for name in os.listdir(folder):
            try:
                inode = links.get(os.readlink(f"{folder}/{name}"))
            except OSError:  # closed since it was listed
                continue
            if inode:
                held.append(inode)
    except OSError:  # ended since it was listed, or another user's
        return held
    return held


def ask_engine(path: str) -> list[dict[str, t.Any]] | None:
    """Returns the running containers that the engine behind the socket *path* tells; None when it does not answer."""
    try:
        content = engine.ask("GET", "/containers/json", deadline=ENGINE_DEADLINE, engine_socket=path).content
    except CommandFailed:
        return None
    return content if isinstance(content, list) else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""
