# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch and drain against a socket that speaks HAProxy's runtime API.

The peer (see conftest.py) is scripted, so that its answers can be wrong on purpose; Molecule meets the real HAProxy.
"""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed, NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer, switch
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer


@pytest.fixture
def map_path(tmp_path: Path) -> str:
    path = str(tmp_path / "traffic.map")
    pointer.write_file("shop", path, Pointer(None, None, 0))
    return path


def test_a_switch_reaches_file_and_haproxy_once(peer: t.Any, map_path: str) -> None:
    scripted, api = peer, peer.api
    green = Pointer("green", None, 0)
    assert switch.switch(api, "shop", map_path, green) is True
    assert scripted.map == {"shop": "green:none:0"}
    assert pointer.read_file("shop", map_path) == green
    assert switch.switch(api, "shop", map_path, green) is False


def test_a_haproxy_that_forgot_is_told_again(peer: t.Any, map_path: str) -> None:
    scripted, api = peer, peer.api
    pointer.write_file("shop", map_path, Pointer("blue", None, 0))
    scripted.map["shop"] = "green:none:0"
    assert switch.switch(api, "shop", map_path, Pointer("blue", None, 0)) is True
    assert scripted.map["shop"] == "blue:none:0"


def test_a_switch_that_cannot_be_read_back_fails(peer: t.Any, map_path: str) -> None:
    scripted, api = peer, peer.api
    scripted.map["shop"] = "blue:none:0"
    scripted.deaf = True
    with pytest.raises(CommandFailed, match="not what was just written"):
        switch.switch(api, "shop", map_path, Pointer("green", None, 0))


def test_without_a_map_file_nothing_is_told_to_haproxy(peer: t.Any, tmp_path: Path) -> None:
    scripted, api = peer, peer.api
    with pytest.raises(NotFound, match="provision"):
        switch.switch(api, "shop", str(tmp_path / "missing.map"), Pointer("green", None, 0))
    assert scripted.map == {}


def test_a_silent_haproxy_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="does not answer"):
        haproxy.RuntimeApi(str(tmp_path / "nobody.sock")).statistics()


def test_traffic_waits_for_enough_instances(peer: t.Any) -> None:
    scripted, api = peer, peer.api
    scripted.rows = [
        scripted.server("green", "app1-web-1", "UP"),
        scripted.server("green", "app2-web-1", "DOWN 1/2"),
        scripted.backend("green", 0),
    ]
    assert len(switch.wait_for_servers(api, "shop", "green", 1, 1)) == 2
    with pytest.raises(CommandFailed, match="1 up: app1-web-1") as caught:
        switch.wait_for_servers(api, "shop", "green", 2, 0.3)
    assert "app2-web-1 192.0.2.1:18000 DOWN 1/2 (L7STS 503)" in str(caught.value)


def test_a_drain_ends_when_the_last_request_has_ended(peer: t.Any) -> None:
    scripted, api = peer, peer.api
    scripted.rows = [scripted.backend("blue", 3), scripted.backend("green", 9)]
    threading.Timer(0.4, lambda: scripted.rows.__setitem__(0, scripted.backend("blue", 0))).start()
    ended = switch.drain(api, "shop", "blue", 5)
    assert ended.done
    assert 0.3 < ended.seconds < 4


def test_a_drain_says_what_is_left_at_its_deadline(peer: t.Any) -> None:
    scripted, api = peer, peer.api
    scripted.rows = [scripted.backend("blue", 3)]
    ended = switch.drain(api, "shop", "blue", 0.3)
    assert (ended.done, ended.in_flight) == (False, 3)


def test_a_slot_without_backend_has_not_drained(peer: t.Any) -> None:
    scripted, api = peer, peer.api
    scripted.rows = [scripted.backend("green", 0)]
    with pytest.raises(NotFound, match="no backend for slot blue of shop") as caught:
        switch.drain(api, "shop", "blue", 1)
    assert "provision" in str(caught.value)


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
