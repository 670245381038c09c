# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away server that reads new settings and users before the real one does. PRIVATE to the collection.

It has no port, only a socket in a folder that root and its own user can enter, holds no keys and speaks with nobody.
It dies with the process that started it, and what a killed one left in its folder goes with the next trial.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import typing as t

from .._foundation import lock
from .._foundation.errors import BadInput, CommandFailed
from . import owner, plan
from .wire import Address, Unreachable, connected

FOLDER = "/run/rollout-redis-trial"  # in memory, and anybody may walk there
_OTHER = 60.0  # s for the trial of another run
_DEADLINE = 10.0  # s until it answers; it took 50 ms where this was measured


class Files(t.NamedTuple):
    """What the server is to read: settings of the distribution, ours, and the users (None without any)."""

    base: str
    settings: str
    users: str | None
    tls: bool = False
    #: Folder of certificates that are to come; their names are those of the settings.
    certificates: str = ""


@contextlib.contextmanager
def server(program: str, user: str, files: Files, folder: str = FOLDER) -> t.Iterator[Address]:
    """Runs *program* as *user* with *files* and gives the address of its socket.

    Raises BadInput with the words of the server when it does not take them.
    """
    whose = owner.of(user)
    with lock.exclusive(f"{folder}.lock", _OTHER, "Another trial of settings of Redis"):
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder, 0o700)
        try:
            paths = {name: os.path.join(folder, name) for name in ("conf", "users", "socket", "log")}
            _write(paths["conf"], alone(files.base) + files.settings + _overrides(folder, paths, files))
            if files.users is not None:
                _write(paths["users"], files.users)
            for path in (folder, paths["conf"], paths["users"]):
                if os.path.exists(path):
                    os.chown(path, *whose)
            with _running([program, paths["conf"]], whose, paths):
                yield Address(path=paths["socket"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _overrides(folder: str, paths: t.Mapping[str, str], files: Files) -> str:
    told: dict[str, plan.Value] = {
        "port": 0,
        "unixsocket": paths["socket"],
        "unixsocketperm": 700,
        "dir": folder,
        "logfile": '""',
        "pidfile": '""',
        "daemonize": "no",
        "supervised": "no",
        # With a port of TLS certificates would be read; replication by TLS does the same without one.
        **({"tls-port": 0, "tls-replication": "yes"} if files.tls else {}),
        **(moved(files.settings, files.certificates) if files.certificates else {}),
        **({"aclfile": paths["users"]} if files.users is not None else {}),
    }
    return "\n" + plan.text_of(told)


def moved(settings: str, folder: str) -> dict[str, plan.Value]:
    """Returns the directives of *settings* that name files of a certificate, with their namesakes in *folder*."""
    found = re.findall(rf"(?m)^({'|'.join(plan.CERTIFICATES)}) (\S+)$", settings)
    return {name: os.path.join(folder, os.path.basename(path)) for name, path in found}


def alone(text: str) -> str:
    """Returns a configuration that follows nobody. Redis 8.0 crashes when a later line takes replicaof back."""
    return re.sub(r"(?mi)^\s*(replicaof|slaveof)\s.*$", "", text)


def _write(path: str, content: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(content)


@contextlib.contextmanager
def _running(command: list[str], whose: tuple[int, int], paths: t.Mapping[str, str]) -> t.Iterator[None]:
    rights = [f"--reuid={whose[0]}", f"--regid={whose[1]}", "--clear-groups"]
    with open(paths["log"], "w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            ["setpriv", *rights, "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
        try:
            _wait(process, paths["socket"], log)
            yield
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], path: str, log: t.TextIO) -> None:
    ends = time.monotonic() + _DEADLINE
    while not _listens(path):
        if process.poll() is not None:
            log.seek(0)
            raise BadInput(
                "Redis does not accept these settings; the running server was not touched.",
                found=reason(log.read()),
                where="redis_settings, redis_users and the other variables of the role",
            )
        if time.monotonic() > ends:
            raise CommandFailed("Redis did not try the new settings in time.", expected=f"{_DEADLINE:g} s")
        time.sleep(0.01)


def _listens(path: str) -> bool:
    try:
        with connected(Address(path=path)):
            return True
    except Unreachable:
        return False


def reason(log: str) -> str:
    """Returns why a server ended. Of a line that it quotes only the directive: the rest may be secret."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for position, line in enumerate(lines):
        if line.startswith(">>> "):
            return f"{line[4:].strip(chr(39)).split(' ', 1)[0]}: {' '.join(lines[position + 1 :])}"
    telling = [line for line in lines if " # " in line and "WARNING Memory" not in line]
    return " ".join(line.split(" # ", 1)[1] for line in telling[-3:]) or "it ended without a word"
