# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL of this host: where it is, what its files tell, and what it answers. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import typing as t

from .._foundation import command
from .._foundation.errors import BadInput, CommandFailed, RolloutError, playbook

#: Objects that users make get numbers from here on (FirstNormalObjectId).
FIRST_OWN_OBJECT = 16384
#: Seconds for one statement that only looks.
LOOK = 15
#: Seconds that another member has to take a connection.
CONNECT = 3
#: Seconds until a server that starts takes connections; one that replays much goes on after them.
START = 120
#: Seconds for a stop in good order: a standby that is cut off holds it up for wal_sender_timeout (60 s).
STOP = 90


class Silent(RolloutError):
    """A server did not let us ask. *kind*: closed (nothing listens), unreachable (no answer at all), or unclear."""

    def __init__(self, what: str, *, kind: str, **parts: t.Any) -> None:
        super().__init__(what, **parts)
        self.kind = kind


class Cluster(t.NamedTuple):
    """One cluster as pg_lsclusters tells it."""

    version: str
    name: str
    port: int
    running: bool
    data: str
    log: str

    @property
    def folder(self) -> str:
        """Where its configuration is."""
        return f"/etc/postgresql/{self.version}/{self.name}"

    @property
    def unit(self) -> str:
        """The unit that runs it."""
        return f"postgresql@{self.version}-{self.name}.service"

    def program(self, name: str) -> str:
        """Returns the path of a program of this version."""
        return f"/usr/lib/postgresql/{self.version}/bin/{name}"


def parse(lines: str) -> list[Cluster]:
    """Returns the clusters that pg_lsclusters printed (version, name, port, status, owner, data folder, log)."""
    found = []
    for line in lines.splitlines():
        parts = line.split()
        if len(parts) >= 7:
            found.append(Cluster(parts[0], parts[1], int(parts[2]), parts[3].startswith("online"), parts[5], parts[6]))
    return found


def find() -> Cluster | None:
    """Returns the one cluster of this host, or None when PostgreSQL is not installed or has none."""
    if not os.path.exists("/usr/bin/pg_lsclusters"):
        return None
    clusters = parse(command.run(["pg_lsclusters", "--no-header"], deadline=LOOK).output)
    if len(clusters) > 1:
        raise BadInput(
            "This host has more than one cluster of PostgreSQL.",
            expected="one",
            found=", ".join(f"{one.version}/{one.name}" for one in clusters),
            where="pg_lsclusters",
            next_step="drop the one that nobody needs: pg_dropcluster VERSION NAME",
        )
    return clusters[0] if clusters else None


def known() -> Cluster:
    """Returns the one cluster of this host. Raises BadInput when there is none."""
    cluster = find()
    if cluster is None:
        raise BadInput(
            "There is no cluster of PostgreSQL on this host.",
            where="pg_lsclusters",
            next_step=playbook("provision"),
        )
    return cluster


def control(cluster: Cluster) -> dict[str, str]:
    """Returns what pg_controldata tells of the data folder, by its English names; empty where there is nothing."""
    if not os.path.exists(os.path.join(cluster.data, "global", "pg_control")):
        return {}
    told = command.run(["env", "LC_ALL=C", cluster.program("pg_controldata"), cluster.data], deadline=LOOK).output
    return {name.strip(): value.strip() for name, _colon, value in (line.partition(":") for line in told.splitlines())}


def position(text: str) -> int:
    """Returns a position in the WAL such as 0/3000148 as a number."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def beside(cluster: Cluster, what: str) -> str:
    """Returns the path of what a server that becomes a standby keeps beside its data (see join)."""
    return f"{os.path.realpath(cluster.data)}.{what}"


def is_standby(cluster: Cluster) -> bool:
    """Whether the data folder starts as a standby."""
    return os.path.exists(os.path.join(cluster.data, "standby.signal"))


def holds_something(cluster: Cluster) -> bool:
    """Whether the data folder has something that somebody made: a database, a table, a slot, a tablespace.

    Files tell it without a server.
    """
    base = os.path.join(cluster.data, "base")
    if not os.path.isdir(base):
        return False
    databases = [name for name in os.listdir(base) if name.isdigit()]
    if any(int(name) >= FIRST_OWN_OBJECT for name in databases):
        return True
    # A database in a tablespace of its own is not below base.
    for folder in ("pg_replslot", "pg_tblspc"):
        path = os.path.join(cluster.data, folder)
        if os.path.isdir(path) and os.listdir(path):
            return True
    return any(
        int(file) >= FIRST_OWN_OBJECT
        for name in databases
        for file in os.listdir(os.path.join(base, name))
        if file.isdigit()
    )


def as_postgres(arguments: t.Sequence[str]) -> list[str]:
    """Returns *arguments* as a command of the user postgres, in English, that dies with its caller.

    Without HOME: libpq would look for certificates where root lives, may not, and go on without TLS.
    """
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"]
    return [*user, "--", "env", "-u", "HOME", "LC_ALL=C", f"PGCONNECT_TIMEOUT={CONNECT}", *arguments]


def _psql(target: str, statement: str, deadline: float, where: str, next_step: str) -> t.Any:
    arguments = ["psql", "--no-psqlrc", "--no-password", "-v", "ON_ERROR_STOP=1", "-qAt", "-d", target, "-f", "-"]
    try:
        ended = command.run(as_postgres(arguments), deadline=deadline, standard_input=statement, accepted=(0, 1, 2, 3))
    except CommandFailed as failed:
        # It took the connection and says nothing: somebody lives there, and can be stopped.
        raise Silent(
            "PostgreSQL did not answer.", kind="unclear", found=failed.what, where=where, next_step=next_step
        ) from failed
    return _answer(ended, where, next_step)


def ask(cluster: Cluster, statement: str, deadline: float = LOOK) -> t.Any:
    """Returns the JSON that *statement* selects on the server of this host (None for no row). Raises Silent."""
    target, where = f"dbname=postgres port={cluster.port}", f"this host, port {cluster.port}"
    return _psql(target, statement, deadline, where, f"see why: tail {cluster.log}; then run this again")


def ask_member(address: str, port: int, user: str, passfile: str, statement: str) -> t.Any:
    """Returns the JSON that *statement* selects on the server of another member. Raises Silent."""
    target = conninfo(address, port, user, passfile)
    return _psql(target, statement, LOOK, f"{address}, port {port}", f"see who answers: {playbook('replication')}")


def conninfo(address: str, port: int, user: str, passfile: str) -> str:
    """Returns the connection string to another member; the password stays in *passfile*."""
    return f"host={address} port={port} user={user} dbname=postgres passfile={passfile} connect_timeout={CONNECT}"


def _answer(ended: command.Completed, where: str, next_step: str) -> t.Any:
    if ended.code == 0:
        return json.loads(ended.output) if ended.output.strip() else None
    said = (ended.error.strip() or "no reason").replace("psql:<stdin>:", "line ")
    raise Silent("PostgreSQL did not answer.", kind=kind_of(said), found=said, where=where, next_step=next_step)


def kind_of(said: str) -> str:
    """Returns what the words of libpq mean for the question whether a server lives there."""
    if "Connection refused" in said or "No such file or directory" in said:
        return "closed"
    if any(part in said for part in ("timeout expired", "No route to host", "timed out", "Network is unreachable")):
        return "unreachable"
    return "unclear"


def last_words(cluster: Cluster, lines: int = 5) -> str:
    """Returns the end of the server's log."""
    try:
        with open(cluster.log, "rb") as handle:
            handle.seek(max(0, os.path.getsize(cluster.log) - 4096))
            return "\n    ".join(handle.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return "no log"


def start(cluster: Cluster) -> None:
    """Starts the server. Raises RolloutError with its last words when it does not run then.

    Debian's unit ignores a failed start, so its exit code tells nothing.
    """
    command.run(["systemctl", "start", cluster.unit], deadline=START, accepted=range(256))
    if known().running:
        return
    journal = ["journalctl", "-u", cluster.unit, "-n", "5", "-o", "cat", "--no-pager"]
    said = command.run(journal, deadline=LOOK, accepted=(0, 1)).output.strip().replace("\n", "\n    ")
    raise RolloutError(
        "PostgreSQL was started and does not run.",
        expected="a running server",
        found=f"{said or 'nothing in the journal'}\n    {last_words(cluster)}",
        where=f"{cluster.unit}, {cluster.log}",
        next_step=f"correct what it complains about, then run this again; see: journalctl -u {cluster.unit}",
    )


def reload(cluster: Cluster) -> None:
    """Has the server read its settings, also one that its unit did not start. One that ends just now reads none."""
    arguments = ["pg_ctlcluster", "--skip-systemctl-redirect", cluster.version, cluster.name, "reload"]
    command.run(arguments, deadline=LOOK, accepted=(0, 2))


def stop(cluster: Cluster, seconds: float = STOP) -> None:
    """Stops the server: what it has is sent to standbys first. One that does not end in *seconds* is stopped hard.

    Not by its unit: a unit that is masked has forgotten how to, and would cut the standbys off.
    Raises RolloutError when it runs all the same.
    """
    program = ["pg_ctlcluster", "--skip-systemctl-redirect", "-m", "fast", cluster.version, cluster.name, "stop"]
    try:
        command.run(program, deadline=seconds, accepted=(0, 2))  # 2: it does not run
    except CommandFailed:
        command.run(["systemctl", "kill", "--signal=QUIT", cluster.unit], deadline=LOOK)
    command.run(["systemctl", "stop", cluster.unit], deadline=seconds)
    if known().running:  # by hand, past its unit, without its file of process ids
        raise RolloutError(
            "PostgreSQL was stopped and still runs.",
            expected="no server",
            found=f"one that answers on port {cluster.port}",
            where=cluster.data,
            next_step=f"see who started it: ss -lntp 'sport = {cluster.port}'; stop it, then run this again",
        )
