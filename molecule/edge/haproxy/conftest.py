# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge as its tests see it: two pairs of load balancers, requests from outside, load while something happens."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
import testinfra

PROJECT = Path(os.environ.get("MOLECULE_PROJECT_DIRECTORY", Path(__file__).resolve().parents[3]))
HERE = Path(__file__).resolve().parent
NAME = os.environ.get("LAB_NAME", "molecule-edge")
INVENTORY = HERE.parent / "inventory"
#: The pairs by their Debian; the first of each is where single tests look.
PAIRS = {"debian 13": ("lb1", "lb2"), "debian 12": ("lb4", "lb5")}


class Answer(t.NamedTuple):
    """One answer: its status, its headers in lower case, its body."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> dict[str, t.Any]:
        """The body as JSON."""
        found: dict[str, t.Any] = json.loads(self.body)
        return found


class LoadBalancer:
    """One load balancer: asked from outside, and looked into by SSH."""

    def __init__(self, name: str, address: str, public: str) -> None:
        self.name = name
        self.address = address
        self.public = public
        self._host: testinfra.host.Host | None = None

    @property
    def host(self) -> testinfra.host.Host:
        """A connection to the host."""
        if self._host is None:
            config = str(PROJECT / ".lab" / NAME / "ssh_config")
            self._host = testinfra.get_host(f"ssh://{self.name}", ssh_config=config, controlpersist=60)
        return self._host

    def run(self, command: str, *arguments: str) -> str:
        """Returns what a command that must end well writes on the host."""
        return str(self.host.check_output(command, *arguments))

    def connect(self, address: str | None = None, tls: bool = True, timeout: float = 15) -> http.client.HTTPConnection:
        """Returns a connection from outside, which knows nothing of the authority of a lab."""
        where = address or self.address
        if not tls:
            return http.client.HTTPConnection(where, timeout=timeout)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(where, timeout=timeout, context=context)

    def ask(
        self, path: str, *, method: str = "GET", tls: bool = True, body: t.Any = None, headers: t.Any = None
    ) -> Answer:
        """Asks from outside."""
        connection = self.connect(tls=tls)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            return read(connection)

    def power(self, verb: str, *arguments: str) -> None:
        """Takes the power of the host away, or gives it back: a verb of the lab."""
        command = [sys.executable, "tests/lab/lab.py", verb, self.name, *arguments, "--name", NAME]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, timeout=120)

    def point(self, slot: str) -> None:
        """Sends all traffic to *slot*, as a switch does: the file, and HAProxy."""
        path, pointer = "/var/lib/rollout/shop/traffic.map", f"{slot}:none:0"
        self.run(f"echo 'shop {pointer}' > {path}")
        self.runtime(f"set map {path} shop {pointer}")

    def counted(self) -> int:
        """Returns how many answers of instances HAProxy has counted for gates."""
        rows = self.runtime("show table shop_times")
        return sum(int(count) for count in re.findall(r"gpc0=(\d+)", rows))

    def runtime(self, command: str) -> str:
        """Returns what HAProxy itself answers to a command of its runtime API."""
        return self.run("python3 -c %s %s", _RUNTIME, command)

    def log(self, path: str) -> dict[str, t.Any]:
        """Returns the line of the access log about *path*, the newest one."""
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            lines = self.run("journalctl -t haproxy -n 200 -o cat --no-pager").splitlines()
            for line in reversed(lines):
                if line.startswith("{") and json.loads(line)["path"] == path:
                    found: dict[str, t.Any] = json.loads(line)
                    return found
            time.sleep(0.2)
        raise AssertionError(f"{self.name} has no line about {path}")

    def upgrade(self) -> ssl.SSLSocket:
        """Returns a connection that was upgraded as a WebSocket is."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        connected = context.wrap_socket(socket.create_connection((self.address, 443), timeout=15))
        key = base64.b64encode(os.urandom(16)).decode()
        connected.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {self.address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in connected.recv(4096)
        return connected


_RUNTIME = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/haproxy/admin.sock")
    connection.sendall(sys.argv[1].encode() + b"\\n")
    connection.shutdown(socket.SHUT_WR)
    sys.stdout.buffer.write(b"".join(iter(lambda: connection.recv(65536), b"")))
"""


def read(connection: http.client.HTTPConnection) -> Answer:
    """Returns the answer to what was asked on *connection*."""
    with connection.getresponse() as answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read().decode())


def echo(connected: ssl.SSLSocket, text: str) -> str:
    """Returns what comes back on an upgraded connection."""
    connected.sendall(text.encode())
    return connected.recv(4096).decode()


class Load:
    """A few clients that keep asking on kept connections; every failure is kept with its moment."""

    def __init__(
        self, balancer: LoadBalancer, address: str, clients: int = 4, pause: float = 0.02, timeout: float = 2
    ) -> None:
        self._balancer, self._address, self._pause, self._timeout = balancer, address, pause, timeout
        self.good: list[float] = []
        #: When each client was served last.
        self.latest = [0.0] * clients
        self.failures: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _work(self, number: int) -> None:
        connection = None
        while not self._over.wait(self._pause):
            try:
                connection = connection or self._balancer.connect(self._address, timeout=self._timeout)
                connection.request("GET", "/load")
                answer = read(connection)
                if answer.status != 200:
                    raise http.client.HTTPException(f"status {answer.status}")
                self.latest[number] = time.monotonic()
                self.good.append(self.latest[number])
                if answer.headers.get("connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((time.monotonic(), f"{type(error).__name__}: {error}"))
                if connection is not None:
                    connection.close()
                connection = None


class Edge:
    """Both pairs, and the playbook that provisions them."""

    def __init__(self) -> None:
        command = ["ansible-inventory", "-i", str(INVENTORY), "--list"]
        told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
        variables = json.loads(told.stdout)["_meta"]["hostvars"]
        self._addresses = {name: one["rollout_address"] for name, one in variables.items()}
        self.balancers = {name: self._balancer(name) for pair in PAIRS.values() for name in pair}

    def _balancer(self, name: str) -> LoadBalancer:
        network = self._addresses[name].rpartition(".")[0]
        public = f"{network}.{201 if name in PAIRS['debian 13'] else 202}"
        return LoadBalancer(name, self._addresses[name], public)

    def from_client(self, *arguments: str, piped: str = "") -> str:
        """Asks from client1, whose address may do what others may not, with *piped* on standard input.

        Returns what curl writes; it is not content with an answer that comes before all of the request is sent.
        """
        return self._curl("client1", arguments, piped)

    def from_application(self, *arguments: str) -> str:
        """Asks from the host of the application."""
        return self._curl("app1", arguments, "")

    def _curl(self, host: str, arguments: t.Sequence[str], piped: str) -> str:
        config = str(PROJECT / ".lab" / NAME / "ssh_config")
        asking = testinfra.get_host(f"ssh://{host}", ssh_config=config, controlpersist=60)
        command = "printf %s | curl -sk" + " %s" * len(arguments)
        return str(asking.run(command, piped, *arguments).stdout)

    def provision(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the playbook of this folder."""
        return self._run("ansible-playbook", str(HERE / "provision.yml"), *arguments)

    def maintain(self, balancer: LoadBalancer, state: str) -> None:
        """Begins or ends maintenance, with the command of the README of the role."""
        told = ("-m", "vitalops.rollout.maintenance", "-a", f"application=shop state={state}")
        assert self._run("ansible", balancer.name, "-b", *told).returncode == 0

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, "-i", str(INVENTORY), *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        }
        ended = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        print("$", " ".join(command), "\n", ended.stdout[-4000:], ended.stderr[-4000:])
        return ended


def both(act: t.Callable[[str], t.Any]) -> None:
    """Does something slow on both pairs side by side."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(act, name) for name in PAIRS]:
            done.result()


@pytest.fixture(scope="session")
def edge() -> Edge:
    found = Edge()
    for one in found.balancers.values():
        one.point("blue")
    return found


@pytest.fixture(params=list(PAIRS))
def balancer(edge: Edge, request: pytest.FixtureRequest) -> LoadBalancer:
    """The first load balancer of each pair."""
    return edge.balancers[PAIRS[request.param][0]]
