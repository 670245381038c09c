# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One PostgreSQL cluster of a host: its files, its identity, its answers. PRIVATE."""

from __future__ import annotations

import json
import os
import struct
import time
import typing as t

from .._foundation import command, durable
from .._foundation.errors import BadInput, RolloutError

ANSWER_SECONDS, START_SECONDS = 30.0, 120.0
_MARK_SCHEMA = 1


class Layout(t.NamedTuple):
    """Where a cluster is on a system without Debian's tools: folders of settings, data and programs, and its unit."""

    folder: str
    data: str
    programs: str
    unit: str


class Cluster(t.NamedTuple):
    """A cluster, and where it listens now; *runs* says whether it does."""

    version: str
    folder: str
    data: str
    programs: str
    unit: str
    port: int = 5432
    socket: str = "/var/run/postgresql"
    runs: bool = False

    @property
    def mark(self) -> str:
        """Where the identity of the data that we set up is kept."""
        return f"{self.folder}/rollout.json"


def parse(text: str) -> dict[tuple[str, str], Cluster]:
    """Returns clusters by version and name as ``pg_lsclusters --no-header`` tells them: their files, not what runs."""
    found = {}
    for line in text.splitlines():
        version, name, port, _status, _owner, data = line.split()[:6]
        folder, programs = f"/etc/postgresql/{version}/{name}", f"/usr/lib/postgresql/{version}/bin"
        unit = f"postgresql@{version}-{name}.service"
        found[version, name] = Cluster(version, folder, data, programs, unit, int(port))
    return found


def listening(cluster: Cluster, text: str | None) -> Cluster:
    """Returns *cluster* as its postmaster.pid (*text*) tells: other files may say what waits for a restart."""
    lines = (text or "").splitlines()
    if len(lines) < 5 or not os.path.exists(f"/proc/{lines[0].strip()}"):
        return cluster._replace(runs=False)
    return cluster._replace(port=int(lines[3]), socket=lines[4].strip() or cluster.socket, runs=True)


def look(cluster: Cluster) -> Cluster:
    """Returns *cluster* as it is now."""
    return listening(cluster, durable.read_text(os.path.join(cluster.data, "postmaster.pid")))


def find(version: str, layout: Layout | None = None) -> Cluster:
    """Returns the cluster at *layout*; without one, the cluster main of *version* as Debian's tools tell it.

    Raises BadInput when this host has none.
    """
    if layout is not None:
        return look(Cluster(version, *layout))
    known = parse(command.run(["pg_lsclusters", "--no-header"], deadline=ANSWER_SECONDS).output)
    if (version, "main") in known:
        return look(known[version, "main"])
    raise BadInput(
        f"This host has no cluster main of PostgreSQL {version}.",
        expected=f"one line {version} main of pg_lsclusters",
        found=", ".join(" ".join(one) for one in known) or "no cluster",
        next_step=f"set postgres_version to the one that runs, or make it: pg_createcluster {version} main",
    )


def identity(data: str) -> str:
    """Returns the system identifier of a data folder: the first 8 bytes of global/pg_control."""
    with open(os.path.join(data, "global", "pg_control"), "rb") as handle:
        return str(struct.unpack("=Q", handle.read(8))[0])


def check_identity(cluster: Cluster) -> str:
    """Returns the system identifier. Raises BadInput when the data is not what these settings were made for."""
    with open(os.path.join(cluster.data, "PG_VERSION"), encoding="ascii") as handle:
        version = handle.read().strip()
    found = identity(cluster.data)
    mark = durable.read_json(cluster.mark, schema=_MARK_SCHEMA) or {}
    known = mark.get("system_identifier", found)
    if version == cluster.version and known == found:
        return found
    raise BadInput(
        "The data directory belongs to another cluster.",
        expected=f"data of PostgreSQL {cluster.version}, system identifier {known}",
        found=f"data of PostgreSQL {version}, system identifier {found}",
        where=cluster.data,
        next_step=f"mount the right data; if this change is wanted: rm {cluster.mark}, then run this again",
    )


def remember_identity(cluster: Cluster, found: str) -> bool:
    """Keeps the system identifier beside the settings. Returns whether it is new."""
    return durable.write_json(cluster.mark, {"schema": _MARK_SCHEMA, "system_identifier": found}, mode=0o644)


def ask(cluster: Cluster, query: str) -> t.Any:
    """Returns the JSON that *query* gives, asked as the superuser over the socket. Raises CommandFailed."""
    asked = ["runuser", "-u", "postgres", "--", f"{cluster.programs}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    where = ["-h", cluster.socket, "-p", str(cluster.port), "-d", "postgres"]
    answer = command.run([*asked, *where], deadline=ANSWER_SECONDS, standard_input=query)
    return json.loads(answer.output.strip() or "null")


def restart(cluster: Cluster) -> None:
    """Restarts the server, or starts it. Raises RolloutError with its own words when it does not run then.

    Debian's unit ignores a failed start, so its exit code tells nothing.
    """
    began = int(time.time())
    command.run(["systemctl", "restart", cluster.unit], deadline=START_SECONDS, accepted=range(256))
    if look(cluster).runs:
        return
    journal = ["journalctl", "-u", cluster.unit, "--since", f"@{began}", "-o", "cat", "--no-pager"]
    told = command.run(journal, deadline=ANSWER_SECONDS, accepted=(0, 1)).output.strip().splitlines()
    raise RolloutError(
        "PostgreSQL did not start.", expected="a running server", found="\n    ".join(told[-12:]), where=cluster.unit
    )
