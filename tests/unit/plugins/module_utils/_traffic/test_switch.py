# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch and drain against a socket that speaks HAProxy's runtime API.

The peer here is scripted, so that its answers can be wrong on purpose; Molecule meets the real HAProxy.
"""

from __future__ import annotations

import socketserver
import threading
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed, NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer, switch
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer
from ansible_collections.vitalops.rollout.plugins.modules import traffic_switch

HEADER = "# pxname,svname,qcur,scur,status,hrsp_4xx,hrsp_5xx,req_tot,econ,check_status,last_chk,addr\n"


class Peer:
    """Answers like HAProxy; `map` and `rows` are what it knows, `deaf` loses what it is told, `unknown` has no map."""

    def __init__(self) -> None:
        self.map: dict[str, str] = {}
        self.rows: list[str] = []
        self.deaf = False
        self.unknown = False

    def answer(self, command: str) -> str:
        verb, kind, *rest = command.split()
        if self.unknown:
            return "Unknown map identifier. Please use #<id> or <file>.\n"
        if (verb, kind) == ("show", "map"):
            return "".join(f"0x1 {key} {value}\n" for key, value in self.map.items()) + "\n"
        if (verb, kind) == ("show", "stat"):
            return HEADER + "".join(row + "\n" for row in self.rows)
        if not self.deaf:
            self.map[rest[1]] = rest[2]
        return "\n"


@pytest.fixture
def peer(tmp_path: Path) -> t.Iterator[tuple[Peer, haproxy.RuntimeApi]]:
    scripted = Peer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(scripted.answer(self.rfile.readline().decode().strip()).encode())

    path = str(tmp_path / "admin.sock")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield scripted, haproxy.RuntimeApi(path, deadline=2)
        server.shutdown()


@pytest.fixture
def map_path(tmp_path: Path) -> str:
    path = str(tmp_path / "traffic.map")
    pointer.write_file("shop", path, Pointer(None, None, 0))
    return path


def backend(slot: str, in_flight: int) -> str:
    return f"shop_{slot},BACKEND,0,{in_flight},UP,1,2,300,4,,,"


def server(slot: str, name: str, status: str) -> str:
    return f"shop_{slot},{name},0,0,{status},,,,,L7STS,503,192.0.2.1:18000"


def test_a_switch_reaches_file_and_haproxy_once(peer: tuple[Peer, haproxy.RuntimeApi], map_path: str) -> None:
    scripted, api = peer
    green = Pointer("green", None, 0)
    assert switch.switch(api, "shop", map_path, green) is True
    assert scripted.map == {"shop": "green:none:0"}
    assert pointer.read_file("shop", map_path) == green
    assert switch.switch(api, "shop", map_path, green) is False


def test_a_haproxy_that_forgot_is_told_again(peer: tuple[Peer, haproxy.RuntimeApi], map_path: str) -> None:
    scripted, api = peer
    pointer.write_file("shop", map_path, Pointer("blue", None, 0))
    scripted.map["shop"] = "green:none:0"
    assert switch.switch(api, "shop", map_path, Pointer("blue", None, 0)) is True
    assert scripted.map["shop"] == "blue:none:0"


def test_a_switch_that_cannot_be_read_back_fails(peer: tuple[Peer, haproxy.RuntimeApi], map_path: str) -> None:
    scripted, api = peer
    scripted.map["shop"] = "blue:none:0"
    scripted.deaf = True
    with pytest.raises(CommandFailed, match="not what was just written"):
        switch.switch(api, "shop", map_path, Pointer("green", None, 0))


def test_without_a_map_file_nothing_is_told_to_haproxy(peer: tuple[Peer, haproxy.RuntimeApi], tmp_path: Path) -> None:
    scripted, api = peer
    with pytest.raises(NotFound, match="provision"):
        switch.switch(api, "shop", str(tmp_path / "missing.map"), Pointer("green", None, 0))
    assert scripted.map == {}


def test_a_silent_haproxy_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="does not answer"):
        haproxy.RuntimeApi(str(tmp_path / "nobody.sock")).statistics()


def test_traffic_waits_for_enough_instances(peer: tuple[Peer, haproxy.RuntimeApi]) -> None:
    scripted, api = peer
    scripted.rows = [
        server("green", "app1-web-1", "UP"),
        server("green", "app2-web-1", "DOWN 1/2"),
        backend("green", 0),
    ]
    assert len(switch.wait_for_servers(api, "shop", "green", 1, 1)) == 2
    with pytest.raises(CommandFailed, match="1 up: app1-web-1") as caught:
        switch.wait_for_servers(api, "shop", "green", 2, 0.3)
    assert "app2-web-1 192.0.2.1:18000 DOWN 1/2 (L7STS 503)" in str(caught.value)


def test_a_drain_ends_when_the_last_request_has_ended(peer: tuple[Peer, haproxy.RuntimeApi]) -> None:
    scripted, api = peer
    scripted.rows = [backend("blue", 3), backend("green", 9)]
    threading.Timer(0.4, lambda: scripted.rows.__setitem__(0, backend("blue", 0))).start()
    ended = switch.drain(api, "shop", "blue", 5)
    assert ended.done
    assert 0.3 < ended.seconds < 4


def test_a_drain_says_what_is_left_at_its_deadline(peer: tuple[Peer, haproxy.RuntimeApi]) -> None:
    scripted, api = peer
    scripted.rows = [backend("blue", 3)]
    ended = switch.drain(api, "shop", "blue", 0.3)
    assert (ended.done, ended.in_flight) == (False, 3)


def test_a_slot_without_backend_has_not_drained(peer: tuple[Peer, haproxy.RuntimeApi]) -> None:
    scripted, api = peer
    scripted.rows = [backend("green", 0)]
    with pytest.raises(NotFound, match="no backend for slot blue of shop") as caught:
        switch.drain(api, "shop", "blue", 1)
    assert "provision" in str(caught.value)


def would_change(
    api: haproxy.RuntimeApi, map_path: str, monkeypatch: pytest.MonkeyPatch, check: bool = True
) -> dict[str, t.Any]:
    """What traffic_switch says of making green live, in check mode."""
    monkeypatch.setattr(pointer, "path_of", lambda application: map_path)
    params = {
        "application": "shop",
        "live": "green",
        "candidate": "none",
        "weight": 0,
        "socket": api.path,
        "verify": None,
    }
    params.update(instances=1, deadline=0.2)
    return traffic_switch.move(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=check)))


@pytest.mark.parametrize(
    ("in_file", "in_haproxy", "changed", "before"),
    [
        ("green", "green", False, {"traffic pointer": "green:none:0"}),
        ("blue", "blue", True, {"traffic pointer": "blue:none:0"}),
        ("green", "blue", True, {"traffic pointer": "green:none:0", "traffic pointer of HAProxy": "blue:none:0"}),
        ("blue", "green", True, {"traffic pointer": "blue:none:0", "traffic pointer of HAProxy": "green:none:0"}),
    ],
)
def test_check_mode_looks_at_file_and_haproxy_and_changes_neither(
    peer: tuple[Peer, haproxy.RuntimeApi],
    map_path: str,
    monkeypatch: pytest.MonkeyPatch,
    in_file: str,
    in_haproxy: str,
    changed: bool,
    before: dict[str, str],
) -> None:
    scripted, api = peer
    pointer.write_file("shop", map_path, Pointer(in_file, None, 0))
    scripted.map["shop"] = f"{in_haproxy}:none:0"
    told = would_change(api, map_path, monkeypatch)
    assert (told["changed"], told["diff"]["before"]) == (changed, before)
    assert told["diff"]["after"] == {"traffic pointer": "green:none:0"}
    assert scripted.map["shop"] == f"{in_haproxy}:none:0"
    assert pointer.read_file("shop", map_path) == Pointer(in_file, None, 0)


def test_check_mode_refuses_what_a_real_run_would_refuse(
    peer: tuple[Peer, haproxy.RuntimeApi], map_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted, api = peer
    with pytest.raises(NotFound, match="There is no traffic map for shop"):
        would_change(api, str(tmp_path / "missing.map"), monkeypatch)
    scripted.unknown = True
    with pytest.raises(NotFound, match="does not know the traffic map"):
        would_change(api, map_path, monkeypatch)


def test_check_mode_goes_by_the_file_where_haproxy_is_not_there_yet(
    tmp_path: Path, map_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = haproxy.RuntimeApi(str(tmp_path / "nobody.sock"))
    assert would_change(nobody, str(tmp_path / "missing.map"), monkeypatch)["changed"] is True
    pointer.write_file("shop", map_path, Pointer("green", None, 0))
    assert would_change(nobody, map_path, monkeypatch)["changed"] is False
    with pytest.raises(haproxy.NotRunning):
        would_change(nobody, map_path, monkeypatch, check=False)


def test_counters_belong_to_the_right_application() -> None:
    rows = [
        {
            "pxname": "shop_blue",
            "svname": "BACKEND",
            "scur": "1",
            "qcur": "2",
            "req_tot": "30",
            "hrsp_4xx": "4",
            "hrsp_5xx": "5",
        },
        {"pxname": "shop_blue", "svname": "app1-web-1", "scur": "7", "qcur": "0"},
        {"pxname": "workshop_blue", "svname": "BACKEND", "scur": "9", "qcur": "9"},
        {"pxname": "shop_none", "svname": "BACKEND", "scur": "9", "qcur": "9"},
    ]
    assert haproxy.counters(rows, "shop") == {"blue": haproxy.Counters(1, 2, 30, 4, 5, 0)}
