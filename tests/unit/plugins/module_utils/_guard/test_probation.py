# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application host is told of a release on probation, and what load balancers say, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import probation
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer

from .conftest import R1, R2, Answers, Host

TOLD: dict[str, t.Any] = {
    "slot": "green",
    "release_id": R2["id"],
    "previous_slot": "blue",
    "previous_release_id": R1["id"],
    "kept_release_id": None,
    "kinds": ["worker", "scheduler"],
    "load_balancers": {"lb1": "192.0.2.10:80"},
    "withholds": True,
    "drain_seconds": 20.0,
    "seconds": 300.0,
}


def test_what_is_planned_is_read_as_it_was_told(host: Host) -> None:
    assert probation.read(host.folder) is None
    probation.plan(host.folder, host.run(), TOLD, host.clock)
    found = probation.read(host.folder)
    assert found is not None
    assert {**found._asdict(), "kinds": [*found.kinds]}.items() >= TOLD.items()
    assert (found.run, found.due_boottime, found.boot_id) == (host.run(), host.now + 300, host.boot)
    assert found.back_boottime < 0
    probation.forget(host.folder)
    probation.forget(host.folder)  # a second time, as after a kill
    assert probation.read(host.folder) is None


WRONG: list[tuple[str, t.Any]] = [
    ("slot", "red"),
    ("slot", None),
    ("kinds", "worker"),
    ("kinds", ["cron"]),
    ("load_balancers", {}),
    ("load_balancers", {"lb1": ""}),
    ("load_balancers", ["lb1"]),
    ("withholds", "yes"),
    ("drain_seconds", -1),
    ("seconds", "soon"),
    ("release_id", ""),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_followed_is_refused_before_work_moves(host: Host, name: str, value: t.Any) -> None:
    with pytest.raises((BadInput, ValueError)):
        probation.plan(host.folder, host.run(), {**TOLD, name: value}, host.clock)
    assert probation.read(host.folder) is None


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": 1}', '{"schema": 2}', "\x00"])
def test_what_nobody_can_read_is_told_with_what_to_do(host: Host, damage: str) -> None:
    path = host.root / "shop" / probation.FILE
    path.write_text(damage)
    with pytest.raises(StateUnreadable) as refused:
        probation.read(host.folder)
    assert refused.value.where == str(path)


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("back_boottime", "never"), ("run", {})])
def test_a_part_that_is_wrong_is_named(host: Host, name: str, value: t.Any) -> None:
    probation.plan(host.folder, host.run(), TOLD, host.clock)
    path = host.root / "shop" / probation.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(StateUnreadable, match="What follows a release on probation cannot be understood"):
        probation.read(host.folder)


@pytest.fixture
def lb() -> t.Iterator[Answers]:
    server = Answers()
    server.body = lambda: "blue:none:0\n"
    yield server
    server.stop()


def test_load_balancers_are_asked_and_those_that_tell_nothing_say_why(lb: Answers) -> None:
    other = Answers()
    other.status = 404
    web = Answers()
    web.body = lambda: "<html>" * 1_000_000
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = f"127.0.0.1:{gone.getsockname()[1]}"
    places = {"lb1": lb.address, "lb2": other.address, "lb3": web.address, "lb4": nobody, "lb5": "no such host:x"}
    told = probation.ask(places)
    assert told["lb1"] == Pointer("blue", None, 0)
    assert told["lb2"] == "status 404"
    assert told["lb3"] == "an answer that is no traffic pointer"
    assert "refused" in str(told["lb4"])
    assert "nonnumeric port" in str(told["lb5"])
    other.stop()
    web.stop()


def test_one_that_is_silent_or_sends_byte_by_byte_is_not_waited_for(lb: Answers) -> None:
    slow = Answers()

    def drips() -> str:
        time.sleep(3)
        return "blue:none:0"

    slow.body = drips
    with socket.create_server(("127.0.0.1", 0)) as silent:
        drip = threading.Thread(target=_drip, args=(silent,), daemon=True)
        drip.start()
        began = time.monotonic()
        places = {"lb1": lb.address, "lb2": slow.address, "lb3": f"127.0.0.1:{silent.getsockname()[1]}"}
        told = probation.ask(places, timeout=0.5)
        assert time.monotonic() - began < 2
    assert told["lb1"] == Pointer("blue", None, 0)
    assert "timed out" in str(told["lb2"]) or "no answer" in str(told["lb2"])
    assert told["lb3"] == "no answer within 1 s"
    slow.stop()


def _drip(listening: socket.socket) -> None:
    connection, _place = listening.accept()
    with connection:
        try:
            for byte in b"HTTP/1.0 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            return


BLUE, GREEN = Pointer("blue", None, 0), Pointer("green", None, 0)


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"lb1": BLUE}, "blue"),
        ({"lb1": BLUE, "lb2": BLUE}, "blue"),
        ({"lb1": GREEN, "lb2": GREEN}, "green"),
        ({"lb1": BLUE, "lb2": GREEN}, None),
        ({"lb1": BLUE, "lb2": "status 503"}, None),
        ({"lb1": "status 503"}, None),
        ({"lb1": Pointer("blue", "green", 5)}, None),
        ({"lb1": Pointer("blue", "green", 0)}, None),
        ({"lb1": Pointer(None, None, 0)}, None),
        ({}, None),
    ],
)
def test_users_are_only_where_every_load_balancer_says_so(told: probation.Told, where: str | None) -> None:
    assert [slot for slot in ("blue", "green") if probation.users_are_in(slot, told)] == ([where] if where else [])
