# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers on real sockets, scripted so that their answers can be wrong on purpose: HAProxy's runtime API, an engine."""

from __future__ import annotations

import socket
import socketserver
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy

HEADER = "# pxname,svname,qcur,scur,status,hrsp_4xx,hrsp_5xx,req_tot,econ,check_status,last_chk,addr,hrsp_2xx\n"


class Peer:
    """Answers like HAProxy; `map`, `rows` and `times` are what it knows. `deaf` loses what it is told, `unknown` has no
    map."""

    def __init__(self, path: str) -> None:
        self.map: dict[str, str] = {}
        self.rows: list[str] = []
        self.times: dict[str, int] = {}
        self.pid = 7
        self.deaf = False
        self.unknown = False
        self.api = haproxy.RuntimeApi(path, deadline=2)

    def answer(self, command: str) -> str:
        verb, kind, *rest = command.split()
        if self.unknown:
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        if (verb, kind) == ("show", "map"):
            return "".join(f"0x1 {key} {value}\n" for key, value in self.map.items()) + "\n"
        if (verb, kind) == ("show", "info"):
            return f"Name: HAProxy\nPid: {self.pid}\nStart_time_sec: 1764000000\n"
        if (verb, kind) == ("show", "stat"):
            return HEADER + "".join(row + "\n" for row in self.rows)
        if (verb, kind) == ("show", "table"):
            return "# table: shop_times, type: string, size:4096, used:1\n" + "".join(
                f"0x1: key={key} use=0 exp=1 shard=0 gpc0={count}\n" for key, count in self.times.items()
            )
        if not self.deaf:
            self.map[rest[1]] = rest[2]
        return "\n"

    @staticmethod
    def backend(slot: str, in_flight: int, good: int = 297, bad: int = 2) -> str:
        return f"shop_{slot},BACKEND,0,{in_flight},UP,1,{bad},300,4,,,,{good}"

    @staticmethod
    def server(slot: str, name: str, status: str, address: str = "192.0.2.1:18000") -> str:
        return f"shop_{slot},{name},0,0,{status},,,,,L7STS,503,{address},"


@pytest.fixture
def peer(tmp_path: Path) -> t.Iterator[Peer]:
    path = str(tmp_path / "admin.sock")
    scripted = Peer(path)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(scripted.answer(self.rfile.readline().decode().strip()).encode())

    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield scripted
        server.shutdown()


class ScriptedEngine:
    """Stands in for the Docker engine, which Molecule asks for real. `says` opens a socket with one answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[bytes] = []
        self.threads: list[threading.Thread] = []

    def says(self, answer: bytes) -> str:
        path = str(self.folder / f"engine{len(self.threads)}.sock")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        self.threads.append(threading.Thread(target=self._serve, args=(listening, answer), daemon=True))
        self.threads[-1].start()
        return path

    def _serve(self, listening: socket.socket, answer: bytes) -> None:
        with listening, listening.accept()[0] as accepted:
            self.asked.append(accepted.recv(65536))
            accepted.sendall(answer)


@pytest.fixture
def scripted_engine(tmp_path: Path) -> t.Iterator[ScriptedEngine]:
    engine = ScriptedEngine(tmp_path)
    yield engine
    for thread in engine.threads:
        thread.join(5)
