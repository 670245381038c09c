# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs of this folder share: they run on a load-balancer host of the lab, as `python3 -m on_host.NAME`.

HAProxy is asked without any code of the product; steps are asked of the installed program with the same requests that
the action plugin of the module rollout_step sends.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import typing as t

PROGRAM = "/usr/local/sbin/rollout-guard"
PROTOCOL = 3
ROOT = "/var/lib/rollout"
SOCKET = "/run/haproxy/admin.sock"
SLOTS = ("blue", "green")
GUARD_SECONDS = 60.0
LEASE_SECONDS = 120.0

Json = dict[str, t.Any]


class Refused(Exception):
    """A step was refused, or the host is not as the benchmark needs it; the message says why."""


class Application(t.NamedTuple):
    """What is rolled out here: as in the inventory of the lab. *path* and *body* are what a switch is verified with."""

    name: str
    environment: str
    check_path: str
    path: str
    body: str

    @property
    def folder(self) -> str:
        """The folder with everything that the product keeps about it."""
        return f"{ROOT}/{self.name}"

    @property
    def map_path(self) -> str:
        """The map file, which is also the name of the map in HAProxy."""
        return f"{self.folder}/traffic.map"


def haproxy(command: str) -> str:
    """Returns the answer of HAProxy. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(SOCKET)
        connection.sendall(command.encode() + b"\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode("utf-8", "replace")


def live_in(text: str, application: str) -> str | None:
    """Returns the live slot in the answer to ``show map``, or None. Pure."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] == application:
            return fields[2].split(":")[0]
    return None


def live(application: Application) -> str | None:
    """Returns the slot that HAProxy sends requests to now."""
    return live_in(haproxy(f"show map {application.map_path}"), application.name)


def other(slot: str) -> str:
    """Returns the slot that *slot* is not. Pure."""
    return SLOTS[1 - SLOTS.index(slot)]


def instances(application: Application, slot: str) -> int:
    """Returns how many instances HAProxy has in *slot*."""
    rows = (line.split(",") for line in haproxy("show stat").splitlines())
    backend = f"{application.name}_{slot}"
    return sum(row[0] == backend and row[1] != "BACKEND" for row in rows if len(row) > 1)


def request(application: Application, step: str, run: Json, parameters: Json) -> Json:
    """Returns what the program is told on its standard input. Pure."""
    return {
        "protocol": PROTOCOL,
        "step": step,
        "application": application.name,
        "environment": application.environment,
        "check": False,
        "run": run,
        "parameters": parameters,
    }


def answered(output: bytes) -> Json:
    """Returns the answer in *output*, its last line. Raises Refused."""
    try:
        answer: Json = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise Refused(f"no answer: {output!r}") from error
    if answer.get("failed"):
        raise Refused(str(answer["msg"]))
    return answer


def ask(application: Application, step: str, run: Json, parameters: Json) -> Json:
    """Has the program do one step. Raises Refused."""
    told = json.dumps(request(application, step, run, parameters)).encode()
    return answered(subprocess.run([PROGRAM, "step"], input=told, stdout=subprocess.PIPE, check=False).stdout)


def releases(application: Application) -> dict[str, Json]:
    """Returns the release of each slot, as recorded. Raises Refused unless both slots have one."""
    with open(f"{application.folder}/state.json", encoding="utf-8") as handle:
        slots = json.load(handle)["slots"]
    found = {slot: slots[slot]["release"] for slot in SLOTS if slots.get(slot)}
    if len(found) < len(SLOTS):
        raise Refused(f"only {', '.join(found) or 'no slot'} has a release: deploy two of them first")
    return found


def first_run() -> Json:
    """Returns a new run, as it begins."""
    return {"id": secrets.token_hex(8), "epoch": 0, "operation": "deploy", "actor": "bench", "source": "make bench"}


def begin(application: Application, release: str | None = None) -> Json:
    """Begins a run that moves traffic to the slot that has none. Returns it. Raises Refused."""
    begun = ask(application, "begin", {**first_run(), "release": release}, {"lease_seconds": LEASE_SECONDS})
    before = live(application) or SLOTS[0]
    return {**begun["run"], "release": release, "slot": other(before), "previous": before}


def begin_and_arm(application: Application, deadline: float) -> tuple[Json, str]:
    """Begins a run towards the other slot's release and arms the guard for *deadline* seconds.

    Returns the run and the token of its guard. Raises Refused.
    """
    target = other(live(application) or SLOTS[0])
    run = begin(application, releases(application)[target]["id"])
    parameters = {
        "deadline": deadline,
        "instances": instances(application, target),
        "check": {"path": application.check_path, "status": 200, "host": application.name},
        "public_url": f"http://127.0.0.1:80{application.path}",
        "lease_seconds": LEASE_SECONDS,
    }
    return run, ask(application, "arm", run, parameters)["token"]


def switching(application: Application, run: Json) -> Json:
    """Returns the parameters of the step switch of *run*, as the playbooks give them. Pure."""
    return {"verify": verification(application, run), "guarded": True, "lease_seconds": GUARD_SECONDS}


def verification(application: Application, run: Json, consecutive: int = 3) -> Json:
    """Returns how users are asked for: *consecutive* answers in a row that name the release of *run*. Pure."""
    return {
        "url": f"http://127.0.0.1:80{application.path}",
        "status": 200,
        "body": application.body.replace("{release_id}", str(run["release"])),
        "consecutive": consecutive,
        "timeout": 5,
    }


def main(measure: t.Callable[[Application, Json], Json]) -> None:
    """Reads what to measure from standard input, writes the result to standard output; both are JSON."""
    wanted = json.load(sys.stdin)
    try:
        result = measure(Application(**wanted.pop("application")), wanted)
    except Refused as error:
        sys.exit(f"{error}")
    json.dump(result, sys.stdout)
