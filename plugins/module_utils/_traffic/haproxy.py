# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime API: the map that routes, and the counters that tell. PRIVATE to the collection."""

from __future__ import annotations

import csv
import io
import socket
import typing as t

from .._foundation.errors import CommandFailed, NotFound
from . import pointer as pointers

SOCKET = "/run/haproxy/admin.sock"


class NotRunning(CommandFailed):
    """Nobody listens on the admin socket: HAProxy is not installed, not provisioned or stopped."""


class Server(t.NamedTuple):
    """One instance as HAProxy sees it: *up* by its own checks; *status* and *check* in HAProxy's words."""

    slot: str
    name: str
    address: str
    status: str
    check: str

    @property
    def up(self) -> bool:
        """Whether HAProxy would send it requests."""
        return self.status.startswith("UP")


class Counters(t.NamedTuple):
    """Per-slot traffic: *in_flight* and *queued* now; the rest since HAProxy's last start."""

    in_flight: int
    queued: int
    requests: int
    responses_4xx: int
    responses_5xx: int
    connection_errors: int


class RuntimeApi:
    """One HAProxy process, spoken to over its admin socket. Every call opens a connection of its own."""

    def __init__(self, path: str = SOCKET, deadline: float = 5.0) -> None:
        self.path = path
        self.deadline = deadline

    def command(self, text: str) -> str:
        """Sends one command and returns the answer. Raises CommandFailed when HAProxy does not answer in time.

        Raises NotRunning, which is one too, when nobody is there to answer.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.deadline)
                connection.connect(self.path)
                connection.sendall(text.encode("utf-8") + b"\n")
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            absent = isinstance(error, (FileNotFoundError, ConnectionRefusedError))
            raise (NotRunning if absent else CommandFailed)(
                "HAProxy does not answer on its admin socket.",
                expected=f"an answer to {text.split(' ', maxsplit=1)[0]} within {self.deadline:g} s",
                found=f"{type(error).__name__}: {error}",
                where=self.path,
                next_step="look at it: systemctl status haproxy; journalctl -u haproxy -n 30",
            ) from error
        return b"".join(chunks).decode("utf-8", "replace")

    def pointer(self, application: str, map_path: str) -> pointers.Pointer | None:
        """Returns the pointer that HAProxy uses now, or None when the map has no such key."""
        answer = self.command(f"show map {map_path}")
        if "Unknown map" in answer:
            raise NotFound(
                f"HAProxy does not know the traffic map of {application}.",
                expected=f"a map loaded from {map_path}",
                found=answer.strip(),
                where=self.path,
                next_step="provision the load balancer: playbook provision.yml",
            )
        for line in answer.splitlines():
            parts = line.split(" ", 2)
            if len(parts) == 3 and parts[1] == application:
                return pointers.parse(parts[2], f"HAProxy's map {map_path}")
        return None

    def set_pointer(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Makes HAProxy route by *pointer* from its next request on. Raises CommandFailed when it refuses."""
        known = self.pointer(application, map_path) is not None
        verb = "set" if known else "add"
        answer = self.command(f"{verb} map {map_path} {application} {pointer.text()}").strip()
        if answer:
            raise CommandFailed(
                "HAProxy refused the new traffic pointer.", found=answer, where=f"{verb} map {map_path} {application}"
            )

    def statistics(self) -> list[dict[str, str]]:
        """Returns the rows of ``show stat`` as dicts by HAProxy's column names."""
        text = self.command("show stat").lstrip("# ")
        return list(csv.DictReader(io.StringIO(text)))


def servers(rows: t.Iterable[t.Mapping[str, str]], application: str) -> list[Server]:
    """Returns the instances of both slots found in *rows* of ``show stat``. Pure."""
    found = []
    for row in rows:
        backend, name = row["pxname"], row["svname"]
        if name in ("BACKEND", "FRONTEND") or not backend.startswith(f"{application}_"):
            continue
        slot = backend[len(application) + 1 :]
        if slot in ("blue", "green"):
            check = " ".join(part for part in (row.get("check_status"), row.get("last_chk")) if part)
            found.append(Server(slot, name, row.get("addr") or "", row["status"], check))
    return found


def counters(rows: t.Iterable[t.Mapping[str, str]], application: str) -> dict[str, Counters]:
    """Returns the counters of both slots found in *rows* of ``show stat``. Pure."""
    found = {}
    for row in rows:
        slot = row["pxname"][len(application) + 1 :]
        if row["svname"] == "BACKEND" and row["pxname"] == f"{application}_{slot}" and slot in ("blue", "green"):
            found[slot] = Counters(
                *(int(row.get(column) or 0) for column in ("scur", "qcur", "req_tot", "hrsp_4xx", "hrsp_5xx", "econ"))
            )
    return found
