# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real PostgreSQL servers side by side; what Debian puts around one, its tools and its unit, are small scripts.

Where the machine has no PostgreSQL, or the tests do not run as root, the scenario data_services/standby shows the same.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, host, join

SOCKETS = Path("/var/run/postgresql")
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_rewind"), key=lambda one: int(one.parts[4]))
VERSION = PROGRAMS[-1].parts[4] if PROGRAMS else ""
# Servers that nobody needs afterwards wait for no disk.
_SHARED = Path("/dev/shm")
MEMORY = _SHARED if _SHARED.is_dir() and shutil.disk_usage(_SHARED).free > 1 << 30 else None
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]

TOOLS = {
    "pg_lsclusters": """
test -s "$HERE/main/postmaster.pid" && kill -0 $(head -1 "$HERE/main/postmaster.pid") && status=online || status=down
echo "$HERE_VERSION main $HERE_PORT $status postgres $HERE/main $HERE/log"
""",
    "pg_ctl": """
exec setpriv --reuid=postgres --regid=postgres --init-groups -- \
    /usr/lib/postgresql/$HERE_VERSION/bin/pg_ctl -s -w -D "$HERE/conf" -l "$HERE/log" "$@" <&- >&- 2>&-
""",
    "pg_ctlcluster": """
while [ "${1#-}" != "$1" ]; do [ "$1" = -m ] && shift; shift; done
test -s "$HERE/main/postmaster.pid" || exit 2
case $3 in stop) pg_ctl -m fast stop ;; reload) pg_ctl reload ;; esac
""",
    "systemctl": """
echo "$@" >> "$HERE/asked"
unit=$HERE/units/postgresql@$HERE_VERSION-main.service
case $1 in
    start) test -e "$unit" && exit 1; pg_ctl start || exit 0 ;;
    stop) test -s "$HERE/main/postmaster.pid" && pg_ctl -m fast stop || exit 0 ;;
    kill) pg_ctl -m immediate stop ;;
    mask) ln -sf /dev/null "$unit" ;;
    unmask) rm -f "$unit" ;;
esac
""",
    "journalctl": "echo its unit has told nothing\n",
}


class Server:
    """A server as it is on a host of its own."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.name, self.folder, self.port = name, folder, port
        self.data = folder / "main"

    def environment(self) -> dict[str, str]:
        return {"HERE": str(self.folder), "HERE_PORT": str(self.port), "HERE_VERSION": VERSION}

    def tool(self, *arguments: str) -> None:
        subprocess.run(arguments, check=True, env={**os.environ, **self.environment()})

    def ask(self, statement: str) -> str:
        return _ask(self.port, statement)

    def upstream(self, member: str, **more: t.Any) -> join.Upstream:
        """Returns this server as *member* follows it."""
        told = {"slot": f"rollout_{member}", "passfile": str(self.folder / "pass"), "port": self.port, **more}
        return join.Upstream(self.name, "127.0.0.1", user="replicator", **told)

    def follows(self, other: Server) -> None:
        """Has its settings name whom it follows; nobody reads them yet."""
        told = f"primary_conninfo = 'host=127.0.0.1 port={other.port} user=replicator application_name={self.name}'\n"
        (self.folder / "conf/conf.d/rollout_replication.conf").write_text(
            f"{told}primary_slot_name = 'rollout_{self.name}'\n"
        )


def _ask(port: int, statement: str) -> str:
    asked = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(SOCKETS), "-p", str(port), "-d", "postgres"]
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    ended = subprocess.run(
        [*AS_POSTGRES, *asked], input=statement, check=True, capture_output=True, text=True, env=environment
    )
    return ended.stdout.strip()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Site:
    """Hosts with a server each, and the one that this test is on."""

    def __init__(self, folder: Path, templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.templates, self.monkeypatch = folder, templates, monkeypatch
        self.servers: list[Server] = []

    def server(self, name: str, template: str) -> Server:
        """Returns a server that runs with a copy of what *template* holds."""
        made = Server(self.folder / name, name, _free_port())
        for folder in (made.folder, made.folder / "conf", made.folder / "conf/conf.d", made.folder / "units"):
            folder.mkdir()
        shutil.copytree(self.templates / template, made.data)
        settings = {
            "data_directory": made.data,
            "hba_file": made.folder / "conf/pg_hba.conf",
            "port": made.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": SOCKETS,
            "wal_log_hints": "on",
            "shared_buffers": "8MB",
            "fsync": "off",
            "wal_receiver_timeout": "2s",
            "wal_retrieve_retry_interval": "200ms",
            "include_dir": "conf.d",
        }
        (made.folder / "conf/postgresql.conf").write_text("".join(f"{key} = '{settings[key]}'\n" for key in settings))
        (made.folder / "conf/pg_hba.conf").write_text(
            "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
        )
        (made.folder / "pass").write_text("*:*:*:replicator:secret\n")
        subprocess.run(["chown", "-R", "postgres:postgres", made.folder], check=True)
        (made.folder / "pass").chmod(0o600)
        made.data.chmod(0o700)
        self.servers.append(made)
        made.tool("pg_ctl", "start")
        return made

    def on(self, server: Server) -> host.Cluster:
        """Has what follows happen on the host of *server*."""
        for key, value in server.environment().items():
            self.monkeypatch.setenv(key, value)
        self.monkeypatch.setattr(host.Cluster, "folder", property(lambda _cluster: str(server.folder / "conf")))
        for key, name in (("FOLDER", ""), ("FENCE", "fence.json"), ("JOURNAL", "journal.ndjson"), ("LOCK", "lock")):
            self.monkeypatch.setattr(fence, key, str(server.folder / "rollout" / name).rstrip("/"))
        self.monkeypatch.setattr(fence, "UNITS", str(server.folder / "units"))
        return host.known()

    def end(self) -> None:
        for server in self.servers:
            if (server.data / "postmaster.pid").exists():
                server.tool("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def templates() -> t.Iterator[Path]:
    """Data folders: `new`, which nobody has used, and `shop`, with a role that replicates and a table."""
    # A mock would prove nothing about PostgreSQL, and a unit test installs no server on the machine of a developer.
    if os.geteuid() != 0 or not PROGRAMS or not SOCKETS.is_dir() or not shutil.which("setpriv"):
        pytest.skip("needs root and Debian's PostgreSQL; data_services of Molecule shows it on hosts of its own")
    folder = Path(tempfile.mkdtemp(prefix="standby-", dir=MEMORY))
    folder.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")
    try:
        for name in ("new", "shop"):
            initdb = [
                str(PROGRAMS[-1].parent / "initdb"),
                "-A",
                "trust",
                "--no-sync",
                "--wal-segsize=1",
                "-D",
                str(folder / name),
            ]
            subprocess.run([*AS_POSTGRES, *initdb], check=True, capture_output=True)
        port = _free_port()
        # Not as a single user: what such a server makes gets the numbers of its own catalogs.
        control = [*AS_POSTGRES, str(PROGRAMS[-1].parent / "pg_ctl"), "-s", "-w", "-D", str(folder / "shop")]
        settings = f"-p {port} -k {SOCKETS} -c listen_addresses= -c fsync=off"
        subprocess.run([*control, "-l", "/dev/null", "-o", settings, "start"], check=True)
        _ask(port, SHOP)
        subprocess.run([*control, "stop"], check=True)
        yield folder
    finally:
        shutil.rmtree(folder)


SHOP = """CREATE ROLE replicator LOGIN REPLICATION;
GRANT pg_read_all_stats TO replicator;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean) TO replicator;
GRANT EXECUTE ON FUNCTION pg_stat_file(text, boolean) TO replicator;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text) TO replicator;
GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean) TO replicator;
CREATE TABLE told (text text);
"""


@pytest.fixture
def site(templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="standby-", dir=MEMORY))
    folder.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    made = Site(folder, templates, monkeypatch)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)
