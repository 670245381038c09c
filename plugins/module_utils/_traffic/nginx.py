# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx: an include file that is derived from the traffic map, and workers that are replaced at each change. PRIVATE.

nginx has no runtime API. A change of the pointer is a file, ``nginx -t``, a reload, and a look at which workers serve
what: each worker tells the pointer it has loaded on an address of this host only. Whatever dies in between leaves a map
file that says something else than the workers or the include; the next one who looks makes them follow the map.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import typing as t

from .._foundation import command, durable
from .._foundation.errors import CommandFailed, NotFound, StateUnreadable, playbook
from . import nginx_processes as processes
from . import pointer as pointers
from .driver import NotRunning, Server

#: What nginx includes, beside the traffic map.
INCLUDE = "traffic.conf"
PID_FILE = "/run/nginx.pid"
SLOTS = ("blue", "green")
#: Users are numbered 0 to 99; the candidate has those below its weight.
NUMBERS = 100
_POLL = 0.05  # s
_LOOK = 2.0  # s, for one instance
_LOG = "journalctl -u nginx -n 30; tail /var/log/nginx/error.log"

Runner = t.Callable[..., command.Completed]


class Instance(t.NamedTuple):
    """One instance that nginx may send requests to."""

    slot: str
    name: str
    address: str
    port: int


class Settings(t.NamedTuple):
    """What the role has written for the program: instances, how a healthy one answers, where nginx tells its pointer.

    *status*: an address of this host only, host:port.
    """

    instances: tuple[Instance, ...]
    check_path: str
    check_status: int
    status: str


def settings(told: t.Mapping[str, t.Any], where: str) -> Settings:
    """Returns what *told* says, which was read at *where*. Raises StateUnreadable. Pure."""
    try:
        return Settings(
            tuple(
                Instance(slot, str(one["name"]), str(one["address"]), int(one["port"]))
                for slot in SLOTS
                for one in told["instances"][slot]
            ),
            str(told["check"]["path"]),
            int(told["check"]["status"]),
            str(told["status"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateUnreadable(
            "What was provisioned of nginx cannot be understood.",
            expected="instances of blue and green, check and status",
            found=f"{type(error).__name__}: {error}",
            where=where,
            next_step=f"provision the load balancer: {playbook('provision')}",
        ) from error


def variable(application: str) -> str:
    """Returns *application* as the beginning of names of nginx's variables, which have no dashes. Pure."""
    return application.replace("-", "_")


def include(application: str, pointer: pointers.Pointer) -> str:
    """Returns the include file that makes nginx route *application* by *pointer*. Pure."""
    name = variable(application)
    shares = pointer.weight if pointer.candidate else 0
    numbers = "".join(f"    {number} {pointer.candidate};\n" for number in range(shares))
    return (
        f"# Derived from traffic.map by rollout-guard, and written again at each change of it.\n"
        f"map ${name}_number ${name}_live {{\n    default {pointer.live or pointers.NONE};\n{numbers}}}\n"
        f'map "" ${name}_pointer {{\n    default {pointer.text()};\n}}\n'
        f'map "" ${name}_shifts {{\n    default {1 if shares else 0};\n}}\n'
    )


class Nginx:
    """The nginx of this host, for the application whose files are in *folder*.

    A change has *deadline* seconds until every worker that takes requests is a new one. *proc* and *pid_file* are
    where a test has its own. *told* may be why nobody can read the settings: then nginx can be sent elsewhere, and
    whatever asks it raises that.
    """

    name = "nginx"

    def __init__(
        self,
        folder: str,
        told: Settings | StateUnreadable,
        *,
        deadline: float = 10.0,
        run: Runner = command.run,
        proc: str = "/proc",
        pid_file: str = PID_FILE,
    ) -> None:
        self.folder = folder
        self._told = told
        self.deadline = deadline
        self._run = run
        self._proc = proc
        self._pid_file = pid_file

    @property
    def settings(self) -> Settings:
        """What was provisioned. Raises StateUnreadable."""
        if isinstance(self._told, StateUnreadable):
            raise self._told
        return self._told

    @property
    def path(self) -> str:
        """Where nginx tells its pointer."""
        return self.settings.status

    @property
    def include_path(self) -> str:
        """What nginx includes."""
        return os.path.join(self.folder, INCLUDE)

    def pointer(self, application: str, map_path: str) -> pointers.Pointer | None:
        """Returns the pointer of the worker that answers first.

        Raises NotRunning, NotFound, CommandFailed; StateUnreadable for one that nobody understands or can ask for.
        """
        status, body = self._ask(f"/{application}")
        if status != 200:
            raise NotFound(
                f"nginx does not know the traffic of {application}.",
                expected=f"200 and the pointer from http://{self.path}/{application}",
                found=str(status),
                where=self.path,
                next_step=f"provision the load balancer: {playbook('provision')}",
            )
        return pointers.parse(body, f"http://{self.path}/{application}")

    def keep(self, application: str, pointer: pointers.Pointer) -> bool:
        """Makes the include that of *pointer*, durably. Returns whether it changed."""
        return durable.write_text(self.include_path, include(application, pointer))

    def set_pointer(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Makes every worker that takes requests route by *pointer*.

        Raises CommandFailed when nginx refuses its configuration, or does not reload: then the include is again that of
        the pointer which the workers have, if that is known. Raises NotRunning when nginx will read the include at its
        start.
        """
        before = None
        try:
            with contextlib.suppress(StateUnreadable):  # what they have is not known: they get what is wanted
                before = self.pointer(application, map_path)
        except NotRunning:
            self.keep(application, pointer)
            raise
        self.keep(application, pointer)
        if before == pointer:
            return  # they never moved; back must not depend on a configuration that nginx refuses
        try:
            self._test(pointer)
        except CommandFailed:
            self._restore(application, before)
            raise
        try:
            self._reload(application, map_path, pointer)
        except CommandFailed:
            self._restore(application, before)
            # A reload that is only late must not come to its end with what was refused.
            with contextlib.suppress(CommandFailed):
                processes.signal_master(self._proc, self._pid_file, signal.SIGHUP)
            raise

    def tell_old_workers(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Nobody can: they answer what they have, take no new connection, and end."""

    def servers(self, application: str) -> list[Server]:
        """Returns the instances of both slots as they answer now: nginx itself notices only what fails for users."""
        import concurrent.futures  # noqa: PLC0415 - loaded when needed: users wait for a switch

        if not self.settings.instances:
            return []
        with concurrent.futures.ThreadPoolExecutor(len(self.settings.instances)) as pool:
            looks = pool.map(lambda one: self._look(application, one), self.settings.instances)
            return [
                Server(one.slot, one.name, f"{one.address}:{one.port}", "UP" if good else "DOWN", said)
                for one, (good, said) in zip(self.settings.instances, looks)
            ]

    def in_flight(self, application: str, slot: str) -> int:
        """Returns how many requests to *slot*, which has lost its traffic, have not ended, see processes.in_flight().

        Raises NotFound when nginx's processes or their connections cannot be seen.
        """
        places = [(one.address, one.port) for one in self.settings.instances if one.slot == slot]
        return processes.in_flight(processes.seen(self._proc, self._pid_file), processes.resolved(places))

    def in_flight_hint(self, application: str, slot: str) -> tuple[str, str]:
        """Returns the processes, and how to see their connections."""
        return "connections of nginx's workers, old ones too", "see what they are: ss -tnp | grep nginx"

    def counters(self, application: str) -> dict[str, dict[str, int]]:
        """nginx counts nothing for each slot."""
        return {}

    def tallies(self, application: str) -> dict[str, dict[str, t.Any]]:
        """Raises CommandFailed: nginx counts nothing for each slot, and no data is never a pass."""
        raise CommandFailed(
            "nginx does not count what each slot answers.",
            expected="a load balancer that does",
            next_step="use gates of the types http and prometheus, or HAProxy",
        )

    def process(self) -> str:
        """Returns nothing: no process counts."""
        return ""

    def _test(self, pointer: pointers.Pointer) -> None:
        """Raises CommandFailed with nginx's own words when it would not load its configuration.

        A unit of its own runs it: the guard's has no right to what nginx opens for the test.
        """
        try:
            self._run(
                ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "/usr/sbin/nginx", "-t", "-q"],
                deadline=self.deadline,
            )
        except CommandFailed as error:
            raise CommandFailed(
                f"nginx refuses its configuration; traffic was not moved to {pointer.text()}.",
                found=error.found or error.what,
                where="nginx -t",
                next_step="mend what it names, then run again; nginx -t says whether it is mended",
            ) from error

    def _reload(self, application: str, map_path: str, pointer: pointers.Pointer) -> None:
        """Raises CommandFailed when a worker that takes requests is still one from before."""
        before = set(processes.workers(self._proc, self._pid_file).current)
        processes.signal_master(self._proc, self._pid_file, signal.SIGHUP)
        ends = time.monotonic() + self.deadline
        last: set[int] = set()
        while True:
            now, told = set(processes.workers(self._proc, self._pid_file).current), ""
            if now and not now & before:
                told = self._loaded(application, map_path, pointer)
            # Twice the same workers: none of another reload at the same time is among them.
            if told == pointer.text() and now == last:
                return
            last = now if told == pointer.text() else set()
            if time.monotonic() >= ends:
                raise CommandFailed(
                    "nginx did not reload; traffic is where it was.",
                    expected=f"new workers that serve {pointer.text()} within {self.deadline:g} s",
                    found=f"workers from before: {', '.join(map(str, sorted(now & before))) or 'none'}; "
                    f"one serves {told or 'nothing that is known'}",
                    where=self._pid_file,
                    next_step=_LOG,
                )
            time.sleep(_POLL)

    def _loaded(self, application: str, map_path: str, wanted: pointers.Pointer) -> str:
        """Returns what new workers have loaded, as one of them tells it; what nobody can ask for, counts as *wanted*:
        it is in the include that they have read."""
        try:
            return getattr(self.pointer(application, map_path), "text", str)()
        except (CommandFailed, NotFound):
            return ""
        except StateUnreadable:
            return wanted.text()

    def _restore(self, application: str, before: pointers.Pointer | None) -> None:
        if before is not None:
            self.keep(application, before)

    def _look(self, application: str, instance: Instance) -> tuple[bool, str]:
        """Returns whether an instance answers as a healthy one does, and what it said."""
        try:
            status, _body = _get(
                (instance.address, instance.port), self.settings.check_path, host=application, deadline=_LOOK
            )
        except (OSError, ValueError) as error:
            return False, f"{type(error).__name__}: {error}"
        return status == self.settings.check_status, str(status)

    def _ask(self, path: str) -> tuple[int, str]:
        host, _colon, port = self.path.rpartition(":")
        try:
            return _get((host, int(port)), path, host="localhost", deadline=self.deadline)
        except (OSError, ValueError) as error:
            raise (NotRunning if isinstance(error, ConnectionRefusedError) else CommandFailed)(
                "nginx does not tell its traffic pointer.",
                expected=f"an answer within {self.deadline:g} s",
                found=f"{type(error).__name__}: {error}",
                where=self.path,
                next_step=f"look at it: systemctl status nginx; {_LOG}",
            ) from error


def _get(place: tuple[str, int], path: str, *, host: str, deadline: float) -> tuple[int, str]:
    """Returns status and body of an answer. Raises OSError, ValueError. Shorter to load than http.client."""
    with socket.create_connection(place, timeout=deadline) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    head, _blank, body = b"".join(chunks).partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError(f"no HTTP answer: {head[:80]!r}")
    return int(words[1]), body.decode("utf-8", "replace").strip()
