# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells as JSON what is true on a test host, without asking any code of the product. Runs on that host; stands alone.

Usage: looker.py APPLICATION. Stays, and answers each line "FIRST [full]" on standard input with one line of JSON.
(FIRST: how many journal lines are known already; full: slow parts, too.)
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import socket
import subprocess
import sys
import time
import typing as t

ROOT = "/var/lib/rollout"
SOCKET = "/run/haproxy/admin.sock"
ANSWERS = 2


def content(path: str) -> t.Any:
    """Returns the JSON in *path*, None without the file, and a sentence instead of JSON that cannot be read."""
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def lines(path: str, first: int) -> list[str]:
    """Returns the lines of *path* from number *first* on, counted from 0."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().splitlines()[first:]
    except OSError:
        return []


def pointer(text: str, application: str, column: int) -> str | None:
    """Returns the pointer of *application* in *text*; *column* is where the key stands."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == column + 2 and fields[column] == application:
            return fields[column + 1]
    return None


def haproxy(command: str) -> str | None:
    """Returns the answer of HAProxy, or None when it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(3)
            connection.connect(SOCKET)
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            return answer.decode("utf-8", "replace")
    except OSError:
        return None


def servers(text: str | None, application: str) -> list[list[str]]:
    """Returns [slot, name, status] of every instance in the answer to ``show stat``."""
    rows = [line.split(",") for line in (text or "").lstrip("# ").splitlines() if line]
    if not rows:
        return []
    status = rows[0].index("status")
    return [
        [row[0][len(application) + 1 :], row[1], row[status]]
        for row in rows[1:]
        if row[0].startswith(f"{application}_") and row[1] not in ("FRONTEND", "BACKEND")
    ]


def ask() -> list[t.Any]:
    """Returns [status, release] as a user gets it through this load balancer; status 0: no answer."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=3)
        connection.request("GET", "/version")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return [answer.status, json.loads(body).get("release") if answer.status == 200 else None]
    except (OSError, ValueError, http.client.HTTPException):
        return [0, None]


def boot() -> str:
    """Returns what names this boot: the start of PID 1 in clock ticks."""
    with open("/proc/1/stat", encoding="utf-8", errors="replace") as handle:
        return handle.read().rpartition(")")[2].split()[19]


def load_balancer(application: str, folder: str, full: bool) -> dict[str, t.Any]:
    """Returns what only a load balancer has."""
    in_file = "".join(f"{line}\n" for line in lines(f"{folder}/traffic.map", 0))
    in_haproxy = haproxy(f"show map {folder}/traffic.map")
    return {
        "file": pointer(in_file, application, 0),
        "haproxy": None if in_haproxy is None else pointer(in_haproxy, application, 1),
        "servers": servers(haproxy("show stat"), application),
        "intent": content(f"{folder}/intent.json"),
        "lease": content(f"{folder}/lease.json"),
        "state": content(f"{folder}/state.json"),
        "answers": [ask() for _number in range(ANSWERS)],
        "status": words("rollout-guard", "status", application) if full else "",
    }


def locked(path: str) -> bool:
    """Returns whether a process holds the lock *path*: it is alive and changes the slots of this host."""
    try:
        with open(path, encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def words(*command: str) -> str:
    """Returns what a program says; nothing when it is not there."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return ended.stdout + ended.stderr
    return ""


def containers() -> dict[str, str]:
    """Returns since when each container runs, by its name."""
    names = words("docker", "ps", "--format", "{{.Names}}").split()
    shown = words("docker", "inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *names) if names else ""
    rows = [line.lstrip("/").split() for line in shown.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2}  # more words: it has ended meanwhile


def everything(application: str, first: int, full: bool) -> dict[str, t.Any]:
    """Returns everything about this host."""
    folder = f"{ROOT}/{application}"
    told = {
        "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
        "boot": boot(),
        "journal": lines(f"{folder}/journal.ndjson", first),
        "at_work": locked(f"{folder}/.change.lock"),
    }
    if lines(f"{folder}/traffic.map", 0):
        told |= load_balancer(application, folder, full)
    elif full:
        told["containers"] = containers()
    return told


def main(application: str, questions: t.IO[str], answers: t.IO[str]) -> None:
    """Answers every question until there are no more."""
    while question := questions.readline():
        first, *rest = question.split()
        answers.write(json.dumps(everything(application, int(first), rest == ["full"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin, sys.stdout)
