# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of nginx, against an nginx made of files and threads: what a real one does only by chance, or never.

Its processes are folders, its status address answers what its workers have loaded; Molecule meets the real one.
"""

from __future__ import annotations

import http.server
import os
import signal
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    CommandFailed,
    NotFound,
    StateUnreadable,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import place
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import (
    driver,
    drivers,
    haproxy,
    nginx,
    pointer,
    switch,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import nginx_processes as processes
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer

BLUE, GREEN, SHARED = Pointer("blue", None, 0), Pointer("green", None, 0), Pointer("blue", "green", 25)
MASTER = 100


class FakeNginx:
    """An nginx whose workers have loaded an include. *refuses* its next test, *stuck* ignores a reload."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "shop"
        self.proc, self.pid_file = root / "proc", root / "nginx.pid"
        self.folder.mkdir()
        self.map_path = pointer.path_of("shop", str(root))
        pointer.write_file("shop", self.map_path, BLUE)
        durable.write_text(str(self.folder / nginx.INCLUDE), nginx.include("shop", BLUE))
        self.refuses = self.stuck = False
        self.tested: list[list[str]] = []
        self.reloads = 0
        self.pid_file.write_text(f"{MASTER}\n")
        self.process(MASTER, "nginx: master process /usr/sbin/nginx", 1)
        self.workers = [101, 102]
        for pid in self.workers:
            self.process(pid, "nginx: worker process", MASTER)
        self.loaded = BLUE.text()
        self.status = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.status.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/shop"
                self.send_response(200 if known else 404)
                self.end_headers()
                self.wfile.write(f"{fake.loaded}\n".encode() if known else b"")

            def log_message(self, *_arguments: t.Any) -> None:
                pass

        return Handler

    def process(self, pid: int, title: str, parent: int) -> None:
        (self.proc / str(pid) / "fd").mkdir(parents=True, exist_ok=True)
        (self.proc / str(pid) / "cmdline").write_bytes(title.encode() + b"\0")
        stat = self.proc / str(pid) / "stat"
        if not stat.exists():
            stat.write_text(f"{pid} (nginx) S {parent} 1 1 0")

    def run(self, arguments: list[str], **_options: t.Any) -> Completed:
        self.tested.append(arguments)
        if self.refuses:
            raise CommandFailed("systemd-run failed.", found='nginx: [emerg] unknown directive "x"')
        return Completed(0, "", "")

    def reload(self, _proc: str, _pid_file: str, number: signal.Signals) -> None:
        assert number == signal.SIGHUP
        self.reloads += 1
        if self.stuck:
            return
        for pid in self.workers:
            self.process(pid, "nginx: worker process is shutting down", MASTER)
        self.workers = [pid + 10 for pid in self.workers]
        for pid in self.workers:
            self.process(pid, "nginx: worker process", MASTER)
        self.loaded = self.included()

    def included(self) -> str:
        text = (self.folder / nginx.INCLUDE).read_text()
        return text.split("_pointer {\n    default ", 1)[1].split(";", 1)[0]

    def told(self, **change: t.Any) -> nginx.Settings:
        place = f"127.0.0.1:{self.status.server_address[1]}"
        return nginx.Settings((nginx.Instance("blue", "a", "192.0.2.1", 18000),), "/ready", 200, place)._replace(
            **change
        )

    def driver(self, told: nginx.Settings | StateUnreadable | None = None, **change: t.Any) -> nginx.Nginx:
        return nginx.Nginx(
            str(self.folder),
            told or self.told(**change),
            deadline=0.5,
            run=t.cast(t.Any, self.run),
            proc=str(self.proc),
            pid_file=str(self.pid_file),
        )


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeNginx]:
    made = FakeNginx(tmp_path)
    monkeypatch.setattr(nginx.processes, "signal_master", made.reload)
    monkeypatch.setattr(nginx, "_POLL", 0.01)
    yield made
    made.status.shutdown()
    made.status.server_close()


def switched(fake: FakeNginx, wanted: Pointer) -> bool:
    return switch.switch(fake.driver(), "shop", fake.map_path, wanted)


def test_the_include_says_which_numbers_go_where() -> None:
    text = nginx.include("my-shop", SHARED)
    assert "map $my_shop_number $my_shop_live {\n    default blue;\n    0 green;\n" in text
    assert "    24 green;\n}" in text
    assert "25 green" not in text
    assert "default blue:green:25;" in text
    assert "$my_shop_shifts {\n    default 1;" in text
    assert "default none;\n}" in nginx.include("shop", Pointer(None, None, 0))


def test_a_switch_reaches_map_include_and_workers_once(fake: FakeNginx) -> None:
    assert switched(fake, GREEN) is True
    assert pointer.read_file("shop", fake.map_path) == GREEN
    assert (fake.included(), fake.loaded, fake.reloads) == (GREEN.text(), GREEN.text(), 1)
    assert fake.tested[0][-3:] == ["/usr/sbin/nginx", "-t", "-q"]
    assert switched(fake, GREEN) is False
    assert fake.reloads == 1


def test_a_configuration_that_nginx_refuses_moves_nothing_and_is_told_in_its_words(fake: FakeNginx) -> None:
    fake.refuses = True
    with pytest.raises(CommandFailed, match="refuses its configuration") as caught:
        switched(fake, GREEN)
    assert 'unknown directive "x"' in str(caught.value)
    assert (fake.included(), fake.loaded, fake.reloads) == (BLUE.text(), BLUE.text(), 0)
    # The run takes itself back: nothing has to be reloaded for that, so the refusal does not stand in its way.
    assert switched(fake, BLUE) is True
    assert (fake.included(), fake.reloads) == (BLUE.text(), 0)


def test_a_reload_that_does_not_come_is_taken_back(fake: FakeNginx) -> None:
    fake.stuck = True
    with pytest.raises(CommandFailed, match="did not reload") as caught:
        switched(fake, GREEN)
    assert "101, 102" in str(caught.value)
    assert (fake.included(), fake.loaded) == (BLUE.text(), BLUE.text())
    assert fake.reloads == 2  # one that is only late ends with what was there before


def test_old_workers_that_still_take_requests_are_waited_for(fake: FakeNginx, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*told: t.Any) -> None:
        old = list(fake.workers)
        fake.reload(*told)
        for pid in old:  # has not heard of it yet
            fake.process(pid, "nginx: worker process", MASTER)
        ends = [lambda pid=pid: fake.process(pid, "nginx: worker process is shutting down", MASTER) for pid in old]
        for end in ends:
            threading.Timer(0.2, end).start()

    monkeypatch.setattr(nginx.processes, "signal_master", late)
    api = fake.driver()
    api.deadline = 5
    assert switch.switch(api, "shop", fake.map_path, GREEN) is True
    assert set(processes.workers(str(fake.proc), str(fake.pid_file)).current) == {111, 112}


@pytest.mark.parametrize("kept", [False, True], ids=["after the map file", "after the include"])
def test_who_dies_in_a_switch_leaves_what_both_directions_put_right(fake: FakeNginx, kept: bool) -> None:
    def dies() -> None:
        pointer.write_file("shop", fake.map_path, GREEN)
        if kept:
            fake.driver().keep("shop", GREEN)

    dies()
    assert switch.current(fake.driver(), "shop", fake.map_path) == (GREEN, BLUE)
    assert switched(fake, GREEN) is True
    assert (fake.included(), fake.loaded) == (GREEN.text(), GREEN.text())
    switched(fake, BLUE)
    dies()
    # Back, as the guard goes: the map first. The workers never moved, but the include would, at the next reload.
    pointer.write_file("shop", fake.map_path, BLUE)
    reloads = fake.reloads
    assert switched(fake, BLUE) is False
    assert (fake.included(), fake.reloads) == (BLUE.text(), reloads)


def test_an_nginx_that_does_not_run_reads_the_include_at_its_start(fake: FakeNginx) -> None:
    api = fake.driver(status="127.0.0.1:1")
    with pytest.raises(driver.NotRunning):
        api.set_pointer("shop", fake.map_path, GREEN)
    assert fake.included() == GREEN.text()


def test_a_guard_moves_map_and_include_while_nginx_is_down(fake: FakeNginx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "STARTING_SECONDS", 0.05)
    guard = place.Place("shop", root=str(fake.root), api=fake.driver(status="127.0.0.1:1"))
    assert guard.point("green") is True
    assert (fake.included(), pointer.read_file("shop", fake.map_path)) == (GREEN.text(), GREEN)


def test_an_application_that_nginx_does_not_know_is_named(fake: FakeNginx) -> None:
    with pytest.raises(NotFound, match="provision"):
        fake.driver().pointer("other", fake.map_path)


def test_instances_are_asked_as_nobody_counts_for_them(fake: FakeNginx) -> None:
    good = nginx.Instance("blue", "good", "127.0.0.1", int(fake.status.server_address[1]))
    dead = nginx.Instance("green", "dead", "127.0.0.1", 1)
    found = fake.driver(instances=(good, dead), check_path="/shop").servers("shop")
    assert [(one.slot, one.name, one.up, one.check.split(":")[0]) for one in found] == [
        ("blue", "good", True, "200"),
        ("green", "dead", False, "ConnectionRefusedError"),
    ]


def test_nothing_is_counted_so_no_gate_passes_on_counters(fake: FakeNginx) -> None:
    with pytest.raises(CommandFailed, match="http and prometheus"):
        fake.driver().tallies("shop")
    assert fake.driver().counters("shop") == {}


USER, STATUS = ("192.0.2.50", 40000), ("127.0.0.1", 40001)
OLD, NEW = ("192.0.2.1", 18000), ("192.0.2.1", 18100)


def to(place: processes.Place) -> processes.Connection:
    return processes.Connection(1, ("192.0.2.9", 50000), place, "01")


def user(state: str = "01") -> processes.Connection:
    return processes.Connection(2, ("192.0.2.9", 80), USER, state)


@pytest.mark.parametrize(
    ("current", "old", "expected"),
    [
        ([[user(), to(NEW)]], [], 0),
        ([[user(), to(NEW)]], [[user(), to(OLD)]], 1),
        ([[]], [[user(), to(OLD)], [user(), to(OLD), user(), to(OLD)]], 3),
        # A preview of the slot that lost its traffic, in a worker that takes requests.
        ([[user(), to(OLD)]], [], 1),
        # A request whose head has not come yet, or whose answer is on its way, in a worker that always sent it to OLD.
        ([[]], [[user()]], 1),
        # A WebSocket to the other slot, left by an earlier reload, holds nothing up.
        ([[]], [[user(), to(NEW)]], 0),
        # Nobody waits in a current worker: its next request goes where the pointer says.
        ([[user(), user()]], [], 0),
    ],
)
def test_in_flight_is_what_the_connections_of_workers_show(
    current: list[list[processes.Connection]], old: list[list[processes.Connection]], expected: int
) -> None:
    assert processes.in_flight(processes.Seen({80, 443}, current, old), {OLD}) == expected


# From a Debian 13: a listening socket, a user's connection, one to an instance, and one that has ended.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 501 1 0 100 0 0 10 0
   1: 0B03E70A:0050 0E03E70A:9C40 01 00000000:00000000 00:00000000 00000000    33        0 502 1 0 20 4 30 10 -1
   2: 0B03E70A:C350 0D03E70A:4650 01 00000000:00000000 00:00000000 00000000    33        0 503 1 0 20 4 30 10 -1
   3: 0B03E70A:C351 0D03E70A:4650 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr
   0: 0000000000000000FFFF00000B03E70A:0050 0000000000000000FFFF00000E03E70A:9C41 01 0:0 00:0 00000000 33 0 504 1
   1: 000000000000000000000000:0050 00000000 0A
"""


def test_connections_of_workers_are_read_from_proc(fake: FakeNginx) -> None:
    fake.reload("", "", signal.SIGHUP)
    net = fake.proc / str(MASTER) / "net"
    net.mkdir()
    (net / "tcp").write_text(TCP)
    for pid, inodes in ((MASTER, [501]), (101, [502, 503]), (111, [501])):
        for number, inode in enumerate(inodes):
            os.symlink(f"socket:[{inode}]", fake.proc / str(pid) / "fd" / str(number))
    seen = processes.seen(str(fake.proc), str(fake.pid_file))
    assert seen.listening == {80}
    assert sorted(len(one) for one in seen.old) == [0, 2]
    assert processes.in_flight(seen, {("10.231.3.13", 18000)}) == 1
    instance = nginx.Instance("blue", "a", "10.231.3.13", 18000)
    assert fake.driver(instances=(instance,)).in_flight("shop", "blue") == 1
    ended = switch.drain(fake.driver(instances=(instance,)), "shop", "blue", 0.2)
    assert (ended.done, ended.in_flight) == (False, 1)


def test_an_ipv4_user_of_an_ipv6_socket_has_an_ipv4_address() -> None:
    first = TCP6.splitlines()[:2]
    assert processes.connections("\n".join(first))[0].remote == ("10.231.3.14", 40001)


def test_connections_that_cannot_be_seen_have_not_ended(fake: FakeNginx, monkeypatch: pytest.MonkeyPatch) -> None:
    known = os.listdir

    def refused(path: str) -> list[str]:
        if str(path).endswith("/fd"):
            raise PermissionError(13, "Permission denied", path)
        return known(path)

    monkeypatch.setattr(processes.os, "listdir", refused)
    with pytest.raises(NotFound, match="cannot be seen"):
        fake.driver().in_flight("shop", "blue")


def test_without_a_master_nginx_does_not_run(fake: FakeNginx) -> None:
    fake.process(MASTER, "python3 something", 1)
    with pytest.raises(driver.NotRunning, match="which is another"):
        processes.workers(str(fake.proc), str(fake.pid_file))


def test_a_host_that_says_nothing_runs_haproxy(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    assert isinstance(drivers.of("shop", str(tmp_path)), haproxy.RuntimeApi)


def test_a_host_says_durably_that_it_runs_nginx(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    instances = {"blue": [{"name": "a", "address": "192.0.2.1", "port": 18000}], "green": []}
    told: dict[str, t.Any] = {"schema": 1, "driver": "nginx", "instances": instances, "status": "127.0.0.1:8406"}
    told["check"] = {"path": "/ready", "status": 200}
    path = str(tmp_path / "shop" / drivers.FILE)
    durable.write_json(path, told)
    found = drivers.of("shop", str(tmp_path))
    assert isinstance(found, nginx.Nginx)
    assert (found.name, found.path, found.settings.instances[0].port) == ("nginx", "127.0.0.1:8406", 18000)
    for damage in ({**told, "driver": "other"}, {**told, "instances": {}}):
        durable.write_json(path, damage)
        with pytest.raises(StateUnreadable, match="provision"):
            drivers.of("shop", str(tmp_path))


DAMAGED = StateUnreadable("A state file is damaged.")


def test_nginx_whose_settings_nobody_can_read_is_sent_elsewhere_all_the_same(fake: FakeNginx) -> None:
    guard = place.Place("shop", root=str(fake.root), api=fake.driver(DAMAGED))
    assert guard.moved_to("blue")
    assert guard.point("green") is True
    assert (fake.loaded, fake.reloads) == (GREEN.text(), 1)
    assert pointer.read_file("shop", fake.map_path) == GREEN


@pytest.mark.parametrize("fault", ["refuses", "stuck"])
def test_a_guard_without_settings_hears_when_nginx_does_not_follow(fake: FakeNginx, fault: str) -> None:
    setattr(fake, fault, True)
    guard = place.Place("shop", root=str(fake.root), api=fake.driver(DAMAGED))
    with pytest.raises(CommandFailed, match=r"nginx (refuses|did not reload)"):
        guard.point("green")
    assert (fake.loaded, fake.included()) == (BLUE.text(), GREEN.text())


def test_without_settings_nginx_reads_where_users_belong_when_it_starts(
    fake: FakeNginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "STARTING_SECONDS", 0.1)
    fake.pid_file.unlink()
    guard = place.Place("shop", root=str(fake.root), api=fake.driver(DAMAGED))
    assert guard.point("green") is True
    assert fake.included() == GREEN.text()


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": 1, "driver": "nginx", "instances": 7}'])
def test_a_damaged_file_of_nginx_is_told_by_whatever_asks_nginx(tmp_path: Path, damage: str) -> None:
    (tmp_path / "shop").mkdir()
    durable.write_text(str(tmp_path / "shop" / nginx.INCLUDE), nginx.include("shop", BLUE))
    durable.write_text(str(tmp_path / "shop" / drivers.FILE), damage)
    found = drivers.of("shop", str(tmp_path))
    assert found.name == "nginx"
    for asked in (
        lambda: found.path,
        lambda: found.pointer("shop", "traffic.map"),
        lambda: found.servers("shop"),
        lambda: found.in_flight("shop", "blue"),
    ):
        with pytest.raises(StateUnreadable) as refused:
            asked()
        assert "provision" in str(refused.value.next_step)
