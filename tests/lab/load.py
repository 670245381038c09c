# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load from client1, driven from here: starts and stops load_generator.py as a unit of that host, fetches reports."""

from __future__ import annotations

import datetime
import json
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    NotFound,
    RolloutError,
)

from . import hosts
from .engine import docker
from .paths import HERE
from .state import Lab

CLIENT = "client1"
FOLDER = "/var/lib/lab-load"
UNIT = "lab-load.service"
STOP_SECONDS = 20
# Longer than any sensible timeout of one request.
IN_FLIGHT_SECONDS = 30.0
# What users of the reference application do; weights are shares of 100.
MIX: list[dict[str, t.Any]] = [
    {"kind": "list", "weight": 25, "method": "GET", "path": "/api/v1/patients?limit=10"},
    {"kind": "read", "weight": 53, "method": "GET", "path": "/api/v1/patients/{1..50}"},
    {
        "kind": "write",
        "weight": 20,
        "method": "POST",
        "path": "/api/v1/patients",
        "body": {"given_name": "Load", "family_name": "{n}"},
    },
    {"kind": "slow", "weight": 2, "method": "GET", "path": "/api/v1/slow?seconds=1.5"},
]


def targets(urls: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Returns *urls* as the generator wants them: name (what reports call it: host[:port]), host, port, path. Pure.

    Raises BadInput. Two addresses of the same host and port are refused: a report could not tell them apart.
    """
    found: dict[str, dict[str, t.Any]] = {}
    for url in urls:
        parts = urlsplit(url)
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise BadInput(
                "The address of the load is not understood.", expected="http://host[:port]/[path]", found=url
            )
        name = parts.hostname if port == 80 else f"{parts.hostname}:{port}"
        if name in found:
            raise BadInput("Two addresses of the load are the same target.", found=name, expected="each target once")
        found[name] = {"name": name, "host": parts.hostname, "port": port, "path": parts.path.rstrip("/")}
    return list(found.values())


def start(
    lab: Lab,
    *,
    urls: t.Sequence[str],
    rate: float,
    max_seconds: float,
    timeout: float,
    mix: list[dict[str, t.Any]] | None,
) -> None:
    """Starts sending. *urls* are where the mix begins; they share *rate* (requests/s of all together) evenly."""
    chosen = targets(urls)
    if not 0 < rate <= 20000:
        raise BadInput("The rate is out of range.", expected="more than 0, up to 20000 requests/s", found=str(rate))
    container = lab.container(CLIENT)
    if _active(container):
        raise RolloutError("A load is running already.", where=CLIENT, next_step=f"lab.py load stop --name {lab.name}")
    specification = {
        "targets": chosen,
        "rate": rate,
        "max_seconds": max_seconds,
        "timeout": timeout,
        "mix": mix or MIX,
    }
    programs = [
        hosts.File(f"{FOLDER}/{name}", (HERE / name).read_text(encoding="utf-8"))
        for name in ("load_generator.py", "load_report.py")
    ]
    hosts.put_files(container, [*programs, hosts.File(f"{FOLDER}/specification.json", json.dumps(specification))])
    docker("exec", container, "rm", "--force", f"{FOLDER}/results.csv", f"{FOLDER}/results.progress")
    docker(
        *("exec", container, "systemd-run", "--quiet", f"--unit={UNIT}", "--collect"),
        *("--property", f"TimeoutStopSec={STOP_SECONDS + timeout:g}", "--property", "LimitNOFILE=65536"),
        *("python3", f"{FOLDER}/load_generator.py", f"{FOLDER}/specification.json", f"{FOLDER}/results.csv"),
    )


def stop(lab: Lab) -> None:
    """Stops sending and waits until every request in flight has ended and been written down."""
    if not _active(lab.container(CLIENT)):
        raise NotFound("No load is running.", where=CLIENT, next_step=f"lab.py load report --name {lab.name}")
    docker("exec", lab.container(CLIENT), "systemctl", "stop", UNIT, deadline=120, accepted=range(256))


def report(lab: Lab, *, since: str | None, until: str | None) -> dict[str, t.Any]:
    """Returns the report of load_report.py. The times are seconds since 1970 or ISO 8601; None is open.

    With *until*, requests that were due before it and are still in flight are waited for, so that none is lost between
    two windows.
    """
    container = lab.container(CLIENT)
    limits = ["-" if limit is None else f"{moment(limit):.6f}" for limit in (since, until)]
    end = min(moment(until), time.time()) if until else 0.0
    deadline = time.monotonic() + IN_FLIGHT_SECONDS
    while True:
        found = _report(lab, container, limits)
        whole = found["as_of"] >= end and not found["in_flight"]
        if until is None or whole or not found["running"] or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def _report(lab: Lab, container: str, limits: list[str]) -> dict[str, t.Any]:
    running = _active(container)
    found = docker(
        *("exec", container, "python3", f"{FOLDER}/load_report.py", f"{FOLDER}/results.csv", *limits),
        accepted=range(256),
    )
    if found.code != 0:
        raise NotFound(
            "There is no report.",
            found=found.error.strip().splitlines()[-1] if found.error.strip() else None,
            where=f"{CLIENT}:{FOLDER}/results.csv",
            next_step=f"lab.py load start --name {lab.name} --url http://lb1/",
        )
    result: dict[str, t.Any] = {"running": running, **json.loads(found.output)}
    return result


def moment(text: str) -> float:
    """Reads seconds since 1970 or ISO 8601 (without a zone: the local one). Raises BadInput."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise BadInput("The time is not understood.", expected="seconds since 1970, or ISO 8601", found=text) from error


def _active(container: str) -> bool:
    return docker("exec", container, "systemctl", "is-active", "--quiet", UNIT, accepted=range(256)).code == 0
