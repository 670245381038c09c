# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime API: the map that routes, and the counters that tell. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import socket
import time
import typing as t

from .._foundation.errors import CommandFailed, NotFound, StateUnreadable, playbook
from . import pointer as pointers
from .driver import Counted, NotRunning, Server

SOCKET = "/run/haproxy/admin.sock"
MASTER_SOCKET = "/run/haproxy-master.sock"


_MASTER_POLL = 0.05
_TIME = re.compile(r" key=(blue|green):([0-9]+) .*\bgpc0=([0-9]+)")
_PROBE = re.compile(r" key=(blue|green):probe([1-5]) .*\bgpc0=([0-9]+)")
_NO_SUCH_WORKER = "Can't find the target PID"


class Counters(t.NamedTuple):
    """Per-slot traffic: *in_flight* and *queued* now; the rest since HAProxy's last start or reload.

    *connection_errors*: attempts to connect to an instance that failed, also those that a second attempt made good.
    """

    in_flight: int
    queued: int
    requests: int
    responses_4xx: int
    responses_5xx: int
    connection_errors: int
    responses: int


#: What tallies() has of the counters of a slot, beside Answers.
COUNTED = ("responses", "responses_4xx", "responses_5xx", "connection_errors")


class Answers(t.NamedTuple):
    """The answers of a slot: those to users by how long they took, those to probes by the class of their status.

    *times*: from the whole request to the head of the answer, in ms, cut to two digits: 237 ms counts at 230.
    *probes*: what a rollout itself asked (X-Rollout-Probe); class 5 is 500 to 599.
    """

    times: dict[int, int]
    probes: dict[int, int]


class RuntimeApi:
    """One HAProxy: its current worker on the admin socket *path*, those that a reload left through *master*.

    Every call opens a connection of its own and has *deadline* seconds. Without *master*, the distribution's master
    socket goes with the distribution's admin socket; another HAProxy has none, and only its current worker is known.
    """

    name = "HAProxy"

    def __init__(self, path: str = SOCKET, deadline: float = 5.0, master: str | None = None) -> None:
        self.path = path
        self.deadline = deadline
        self.master = master or (MASTER_SOCKET if path == SOCKET else None)

    def command(self, text: str) -> str:
        """Sends one command to the current worker and returns the answer.

        Raises CommandFailed when HAProxy does not answer in time; NotRunning, which is one too, when nobody is there.
        """
        return self._ask(self.path, text)

    def _ask(self, path: str, text: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.deadline)
                connection.connect(path)
                connection.sendall(text.encode("utf-8") + b"\n")
                # The master waits for more commands until it is told that there are none.
                connection.shutdown(socket.SHUT_WR)
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            absent = isinstance(error, (FileNotFoundError, ConnectionRefusedError))
            raise (NotRunning if absent else CommandFailed)(
                f"HAProxy does not answer on its {'admin' if path == self.path else 'master'} socket.",
                expected=f"an answer to {text.split(' ', maxsplit=1)[0]} within {self.deadline:g} s",
                found=f"{type(error).__name__}: {error}",
                where=path,
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
                next_step=f"provision the load balancer: {playbook('provision')}",
            )
        for line in answer.splitlines():
            parts = line.split(" ", 2)
            if len(parts) == 3 and parts[1] == application:
                return pointers.parse(parts[2], f"HAProxy's map {map_path}")
        return None

    def set_pointer(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Makes HAProxy route by *pointer* from its next request on. Raises CommandFailed when it refuses.

        Old workers are told, too: each may get one more request from a client that was idle at the reload, and routes
        it by its own map. One that does not listen changes nothing here; a drain would not end without it.
        """
        try:
            known = self.pointer(application, map_path) is not None
        except StateUnreadable:  # the key is there, whatever it says
            known = True
        verb = "set" if known else "add"
        answer = self.command(f"{verb} map {map_path} {application} {pointer.text()}").strip()
        if answer:
            raise CommandFailed(
                "HAProxy refused the new traffic pointer.", found=answer, where=f"{verb} map {map_path} {application}"
            )
        self.tell_old_workers(application, map_path, pointer)

    def keep(self, application: str, pointer: pointers.Pointer) -> bool:
        """HAProxy reads the map file itself when it starts."""
        return False

    def tell_old_workers(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Makes the workers that a reload left route by *pointer*, too, as far as they listen."""
        with contextlib.suppress(CommandFailed):
            for pid in self.old_workers():
                # One that has no such map, or no such key, sends nobody to a slot.
                with contextlib.suppress(CommandFailed):
                    self._ask_master(f"@!{pid} set map {map_path} {application} {pointer.text()}")

    def old_workers(self) -> list[int]:
        """Returns the process ids of the workers that a reload left to finish; none without a master.

        Raises CommandFailed when the master does not answer, NotRunning when nobody listens on its socket.
        """
        return old_workers(self._ask_master("show proc")) if self.master else []

    def _ask_master(self, text: str) -> str:
        """Returns the master's answer. For a moment of a reload it refuses or hangs up: then it is asked again."""
        ends = time.monotonic() + self.deadline
        while True:
            try:
                answer = self._ask(str(self.master), text)
                if answer or time.monotonic() >= ends:
                    return answer
            except CommandFailed as error:
                if not isinstance(error.__cause__, ConnectionError) or time.monotonic() >= ends:
                    raise
            time.sleep(_MASTER_POLL)

    def ask_old_workers(self, text: str) -> list[str]:
        """Sends one command to each old worker and returns the answers. One that ended meanwhile is left out.

        Raises what old_workers() raises, and CommandFailed when one that still runs does not answer.
        """
        answers = []
        for pid in self.old_workers():
            failed = CommandFailed(
                "A worker that HAProxy's last reload left does not answer.", where=f"process {pid}, {self.master}"
            )
            answer = ""
            try:
                answer = self._ask_master(f"@!{pid} {text}")
            except CommandFailed as error:
                failed = error
            # One that ends hangs up, or is forgotten already; whether it has ended, the master knows.
            if answer and not answer.startswith(_NO_SUCH_WORKER):
                answers.append(answer)
            elif pid in self.old_workers():
                raise failed
        return answers

    def statistics(self) -> list[dict[str, str]]:
        """Returns the rows of ``show stat`` as dicts by HAProxy's column names."""
        return _rows(self.command("show stat"))

    def answers(self, application: str) -> dict[str, Answers]:
        """Returns what HAProxy counts of the answers of each slot, see answers()."""
        return answers(self.command(f"show table {application}_times"))

    def servers(self, application: str) -> list[Server]:
        """Returns the instances of both slots, see servers()."""
        return servers(self.statistics(), application)

    def counters(self, application: str) -> dict[str, dict[str, int]]:
        """Returns the counters of each slot, see counters()."""
        return {slot: found._asdict() for slot, found in counters(self.statistics(), application).items()}

    def tallies(self, application: str) -> dict[str, dict[str, t.Any]]:
        """Returns for each slot responses, responses_4xx, responses_5xx, connection_errors, and what Answers has."""
        told = self.answers(application)
        return {
            slot: {**{key: getattr(found, key) for key in COUNTED}, **told.get(slot, Answers({}, {}))._asdict()}
            for slot, found in counters(self.statistics(), application).items()
        }

    def process(self) -> str:
        """Returns what names the current worker, with which all counters began at 0; empty when it does not tell."""
        told = dict(line.partition(": ")[::2] for line in self.command("show info").splitlines())
        return ":".join(filter(None, (told.get(key) for key in ("Pid", "Start_time_sec"))))

    def in_flight(self, application: str, slot: str) -> int:
        """Returns how many requests to *slot* are in flight or queued, in the current worker and in all old ones.

        An old worker without such a backend has none. Raises NotFound when the current worker has no such backend, or
        when nobody listens on the master socket, for instance with an operator's own unit file without ``-S``: requests
        that cannot be seen have not ended. Raises CommandFailed when HAProxy, or an old worker that still runs, does
        not answer.
        """
        # The current worker first: one that a reload replaces between both looks is then seen twice, and never not at
        # all.
        found = counters(self.statistics(), application).get(slot)
        if found is None:
            raise NotFound(
                f"HAProxy has no backend for slot {slot} of {application}; nobody can say whether it has drained.",
                expected=f"the backend {application}_{slot} in HAProxy's statistics",
                where=self.path,
                next_step=f"provision the load balancer: {playbook('provision')}",
            )
        try:
            old = [counters(rows, application).get(slot) for rows in self.old_statistics()]
        except NotRunning as error:
            raise NotFound(
                "HAProxy's master does not listen; nobody can say whether workers that a reload left have drained.",
                expected=f"HAProxy started with -Ws -S {self.master}",
                found=error.found,
                where=str(self.master),
                next_step=f"provision the load balancer: {playbook('provision')}; in a unit file of your own, add -S",
            ) from error
        return sum(one.in_flight + one.queued for one in (found, *old) if one)

    def in_flight_hint(self, application: str, slot: str) -> tuple[str, str]:
        """Returns the backend, and the question to HAProxy."""
        return (
            f"HAProxy's backend {application}_{slot}",
            f"see what they are: echo 'show sess' | socat - {self.path} (package socat)",
        )

    def old_statistics(self) -> list[list[dict[str, str]]]:
        """Returns statistics() of each old worker. Raises what ask_old_workers() raises."""
        return [_rows(answer) for answer in self.ask_old_workers("show stat")]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.lstrip("# "))))


def old_workers(text: str) -> list[int]:
    """Returns the process ids under ``# old workers`` in an answer to ``show proc``. Pure.

    Only the heading counts: after a reload that failed, the current worker has a number of reloads, too.
    Raises CommandFailed when *text* is no such answer.
    """
    if "# workers" not in text.splitlines():
        raise CommandFailed(
            "HAProxy's master does not say which workers run.", expected="an answer to show proc", found=text.strip()
        )
    found, heading = [], ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line
        elif heading == "# old workers" and line:
            pid, kind = line.split()[:2]
            found += [int(pid)] if kind == "worker" else []
    return found


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
            counted = Counted(_responses(row), _number(row, "hrsp_5xx"), _number(row, "econ"), _number(row, "rtime"))
            found.append(Server(slot, name, row.get("addr") or "", row["status"], check, *counted))
    return found


def counters(rows: t.Iterable[t.Mapping[str, str]], application: str) -> dict[str, Counters]:
    """Returns the counters of both slots found in *rows* of ``show stat``. Pure."""
    found = {}
    for row in rows:
        slot = row["pxname"][len(application) + 1 :]
        if row["svname"] == "BACKEND" and row["pxname"] == f"{application}_{slot}" and slot in ("blue", "green"):
            found[slot] = Counters(
                in_flight=_number(row, "scur"),
                queued=_number(row, "qcur"),
                requests=_number(row, "req_tot"),
                responses_4xx=_number(row, "hrsp_4xx"),
                responses_5xx=_number(row, "hrsp_5xx"),
                connection_errors=_number(row, "econ"),
                responses=_responses(row),
            )
    return found


def _responses(row: t.Mapping[str, str]) -> int:
    return sum(_number(row, f"hrsp_{kind}") for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"))


def _number(row: t.Mapping[str, str], column: str) -> int:
    return int(row.get(column) or 0)


def answers(text: str) -> dict[str, Answers]:
    """Returns how many answers of each slot took how long, and how many were for probes, from ``show table``. Pure.

    An answer of HAProxy itself, such as after a timeout, took no time of an instance and is in none. Raises
    CommandFailed without such a table: HAProxy was provisioned by an older version of the collection.
    """
    if not text.startswith("# table:"):
        raise CommandFailed(
            "HAProxy does not count how long answers take.",
            expected="its table of times",
            found=text.strip() or "no answer",
            next_step=f"provision the load balancer: {playbook('provision')}",
        )
    found: dict[str, Answers] = {}
    for line in text.splitlines():
        for pattern, kind in ((_TIME, "times"), (_PROBE, "probes")):
            entry = pattern.search(line)
            if entry:
                slot, key, count = entry.groups()
                getattr(found.setdefault(slot, Answers({}, {})), kind)[int(key)] = int(count)
    return found
