# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch and drain against a socket that speaks HAProxy's runtime API.

The peer (see conftest.py) is scripted, so that its answers can be wrong on purpose; Molecule meets the real HAProxy.
So is the master: a worker that ends between two questions, or that hangs, cannot be had from a real one at will.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
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
            "hrsp_2xx": "20",
            "hrsp_4xx": "4",
            "hrsp_5xx": "5",
        },
        {"pxname": "shop_blue", "svname": "app1-web-1", "scur": "7", "qcur": "0"},
        {"pxname": "workshop_blue", "svname": "BACKEND", "scur": "9", "qcur": "9"},
        {"pxname": "shop_none", "svname": "BACKEND", "scur": "9", "qcur": "9"},
    ]
    assert haproxy.counters(rows, "shop") == {"blue": haproxy.Counters(1, 2, 30, 4, 5, 0, 29)}


def test_times_of_answers_are_told_for_each_slot() -> None:
    table = """# table: shop_times, type: string, size:4096, used:3
0x7f6fa5b60a48: key=green:1 use=0 exp=86393912 shard=0 gpc0=2
0x7f6fa5b60c88: key=green:910 use=1 exp=86395165 shard=0 gpc0=17
0x7f6fa5b60bc8: key=blue:130 use=0 exp=86394049 shard=0 gpc0=1
0x7f6fa5b60cd8: key=green:probe2 use=0 exp=86394050 shard=0 gpc0=5
0x7f6fa5b60cf8: key=green:probe5 use=0 exp=86394050 shard=0 gpc0=3

"""
    assert haproxy.answers(table) == {
        "green": haproxy.Answers({1: 2, 910: 17}, {2: 5, 5: 3}),
        "blue": haproxy.Answers({130: 1}, {}),
    }
    assert haproxy.answers("# table: shop_times, type: string, size:4096, used:0\n\n") == {}


def test_without_a_table_of_times_provision_is_named() -> None:
    with pytest.raises(CommandFailed, match="provision"):
        haproxy.answers("No such table\n")


# Captured from HAProxy 2.6.12 (Debian 12) and 3.0.11 (Debian 13); the versions differ in nothing else.
HEADING = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
NO_RELOAD = (
    HEADING + "4783            master          0 [failed: 0]   0d00h06m48s     2.6.12-1+deb12u4\n# workers\n"
    "4785            worker          0               0d00h06m48s     2.6.12-1+deb12u4\n# programs\n\n"
)
ONE_OLD = (
    HEADING + "5542            master          1 [failed: 0]   0d00h06m41s     3.0.11-1+deb13u5\n# workers\n"
    "7951            worker          0               0d00h00m01s     3.0.11-1+deb13u5\n# old workers\n"
    "5544            worker          1               0d00h06m41s     3.0.11-1+deb13u5\n# programs\n\n"
)
# The columns of the rows of `peer`.
HEADER = "# pxname,svname,qcur,scur,status,hrsp_4xx,hrsp_5xx,req_tot,econ,check_status,last_chk,addr\n"
FAILED_RELOAD = (
    HEADING + "4783            master          3 [failed: 1]   0d00h07m00s     2.6.12-1+deb12u4\n# workers\n"
    "7322            worker          1               0d00h00m07s     2.6.12-1+deb12u4\n# programs\n\n"
)


@pytest.mark.parametrize(("text", "expected"), [(NO_RELOAD, []), (ONE_OLD, [5544]), (FAILED_RELOAD, [])])
def test_old_workers_stand_under_their_heading(text: str, expected: list[int]) -> None:
    assert haproxy.old_workers(text) == expected


def test_an_answer_of_another_kind_does_not_mean_that_there_is_no_old_worker() -> None:
    with pytest.raises(CommandFailed, match="which workers run"):
        haproxy.old_workers("Permission denied\n")


class Master:
    """HAProxy's master: `rows` of each old worker; one without rows has gone; `hung` ones say nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.listed: list[int] = [5544]
        self.rows: dict[int, list[str]] = {}
        self.asked: list[str] = []
        self.hung = False

    def answer(self, command: str) -> str:
        self.asked.append(command)
        if command == "show proc":
            old = "".join(f"{pid}  worker  1  0d00h06m41s  3.0.11-1+deb13u5\n" for pid in self.listed)
            return f"{HEADING}# workers\n7951  worker  0  0d00h00m01s  3.0.11\n# old workers\n{old}# programs\n\n"
        pid = int(command[2:].split(maxsplit=1)[0])
        if pid not in self.rows and not self.hung:
            self.listed.remove(pid)
            return f"Can't find the target PID matching the prefix '@!{pid}'\n"
        return "" if self.hung else HEADER + "".join(row + "\n" for row in self.rows[pid]) + "\n"


@pytest.fixture
def master(peer: t.Any, tmp_path: Path) -> t.Iterator[Master]:
    """A master for the HAProxy of `peer`, whose current worker has nothing in flight."""
    scripted = Master(str(tmp_path / "master.sock"))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            # As the real one does: it answers, and closes only when its client has nothing more to ask.
            for line in self.rfile:
                self.wfile.write(scripted.answer(line.decode().strip()).encode())

    peer.rows = [peer.backend("blue", 0)]
    peer.api = haproxy.RuntimeApi(peer.api.path, deadline=0.5, master=scripted.path)
    with socketserver.ThreadingUnixStreamServer(scripted.path, Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield scripted
        server.shutdown()


def test_a_drain_waits_for_a_worker_that_a_reload_left(peer: t.Any, master: Master) -> None:
    master.rows[5544] = [peer.backend("blue", 1), peer.backend("green", 7)]
    threading.Timer(0.4, master.listed.clear).start()
    ended = switch.drain(peer.api, "shop", "blue", 5)
    assert ended.done
    assert 0.3 < ended.seconds < 4


def test_requests_in_all_workers_count(peer: t.Any, master: Master) -> None:
    peer.rows = [peer.backend("blue", 1)]
    master.listed = [5544, 5545, 5546]
    # The last one is so old that it does not know the application.
    master.rows = {5544: [peer.backend("blue", 2)], 5545: [peer.backend("blue", 3)], 5546: ["other,BACKEND,0,9,UP"]}
    assert peer.api.in_flight("shop", "blue") == 6


def test_a_worker_that_ended_between_two_questions_has_nothing_in_flight(peer: t.Any, master: Master) -> None:
    assert peer.api.in_flight("shop", "blue") == 0
    assert master.asked == ["show proc", "@!5544 show stat", "show proc"]


def test_without_old_workers_one_question_is_asked(peer: t.Any, master: Master) -> None:
    master.listed = []
    assert peer.api.in_flight("shop", "blue") == 0
    assert master.asked == ["show proc"]


def test_a_worker_that_runs_and_does_not_answer_has_not_drained(peer: t.Any, master: Master) -> None:
    master.hung = True
    with pytest.raises(CommandFailed, match="does not answer") as caught:
        switch.drain(peer.api, "shop", "blue", 5)
    assert "5544" in str(caught.value)


def test_without_a_master_nobody_can_say_that_it_has_drained(peer: t.Any, tmp_path: Path) -> None:
    peer.rows = [peer.backend("blue", 0)]
    api = haproxy.RuntimeApi(peer.api.path, master=str(tmp_path / "missing.sock"))
    with pytest.raises(NotFound, match="a reload left") as caught:
        switch.drain(api, "shop", "blue", 5)
    assert "provision" in str(caught.value)


def test_a_master_that_reloads_is_asked_again(peer: t.Any, tmp_path: Path) -> None:
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(path)
    with pytest.raises(haproxy.NotRunning, match="master socket"):
        haproxy.RuntimeApi(peer.api.path, deadline=0.2, master=path).old_workers()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late:
        late.bind(str(tmp_path / "late.sock"))

        def answer() -> None:
            time.sleep(0.2)
            late.listen()
            with contextlib.closing(late.accept()[0]) as connection:
                connection.recv(100)
                connection.sendall(ONE_OLD.encode())

        threading.Thread(target=answer, daemon=True).start()
        assert haproxy.RuntimeApi(peer.api.path, master=str(tmp_path / "late.sock")).old_workers() == [5544]


def test_a_switch_reaches_old_workers(peer: t.Any, master: Master, map_path: str) -> None:
    master.rows[5544] = []
    assert switch.switch(peer.api, "shop", map_path, Pointer("green", None, 0)) is True
    assert f"@!5544 set map {map_path} shop green:none:0" in master.asked


def test_an_old_worker_that_does_not_listen_does_not_stop_a_switch(peer: t.Any, master: Master, map_path: str) -> None:
    master.hung = True
    assert switch.switch(peer.api, "shop", map_path, Pointer("green", None, 0)) is True
    assert peer.map["shop"] == "green:none:0"
