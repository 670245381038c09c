# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A load-balancer host with two slots: real files, a HAProxy on a real socket, instances and users over real HTTP."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import place, revert, steps
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.guard import Arming, Guard
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.probe import Check
from ansible_collections.vitalops.rollout.plugins.module_utils._state import intent as intents
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy, pointer

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}
UTC = "2026-11-21T17:20:03Z"


class FakeTimer:
    """Remembers what systemd would: seconds by token. *broken* takes no timer, *stuck* stops none.

    *runs*: what the unit of a watch does when it starts.
    """

    def __init__(self) -> None:
        self.running: dict[str, float] = {}
        self.broken = self.stuck = False
        self.watches = 0
        self.runs: t.Callable[[], object] = lambda: None

    def start(self, token: str, seconds: float) -> None:
        if self.broken:
            raise CommandFailed("The guard's timer does not run; traffic was not moved.")
        self.running[token] = seconds

    def stop(self, token: str) -> None:
        if self.stuck:
            raise CommandFailed("systemctl did not end in time and was stopped.")
        self.running.pop(token, None)

    def active(self, token: str) -> bool:
        return token in self.running

    def start_watch(self) -> None:
        self.watches += 1
        self.runs()

    def stop_watch(self) -> None:
        self.watches = 0


class Answers:
    """A small HTTP server; *status* and *body* are what it answers, or what a function says at each request."""

    def __init__(self) -> None:
        self.status = 200
        self.body: t.Callable[[], str] = lambda: "{}"
        answers = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answers.status)
                self.end_headers()
                self.wfile.write(answers.body().encode())

            def log_message(self, *_arguments: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Host:
    """Release R1 is live in blue and R2 is staged in green, unless a test says otherwise."""

    def __init__(self, root: Path, peer: t.Any) -> None:
        self.root, self.peer = root, peer
        self.timer = FakeTimer()
        self.now, self.boot = 100.0, "kernel:1000"
        self.clock = Clock(utc=lambda: UTC, boottime=lambda: self.now, boot_id=lambda: self.boot)
        self.blue, self.green, self.public = Answers(), Answers(), Answers()
        self.public.body = lambda: json.dumps({"slot": peer.map.get("shop", "none").split(":", 1)[0]})
        self.folder = str(root / "shop")
        self.probe: t.Callable[..., bool] | None = None
        self.map_path = pointer.path_of("shop", str(root))
        (root / "shop").mkdir(parents=True)
        peer.rows = [
            peer.server("blue", "app1-web-1", "UP", self.blue.address),
            peer.server("green", "app1-web-1", "UP", self.green.address),
            peer.backend("blue", 0),
            peer.backend("green", 0),
        ]
        self.route("blue")
        self.save(R1, "blue")

    def stop(self) -> None:
        for one in (self.blue, self.green, self.public):
            one.stop()

    def guard(self, application: str = "shop") -> Guard:
        """A new process on the host."""
        probe = {"probe": self.probe} if self.probe else {}
        timer = t.cast(t.Any, self.timer)
        return Guard(application, root=str(self.root), api=self.peer.api, timer=timer, clock=self.clock, **probe)

    def route(self, slot: str | None, haproxy_slot: str | None = "same") -> None:
        pointer.write_file("shop", self.map_path, pointer.Pointer(slot, None, 0))
        told = slot if haproxy_slot == "same" else haproxy_slot
        self.peer.map["shop"] = pointer.Pointer(told, None, 0).text()

    def save(self, release: dict[str, str], slot: str) -> None:
        before = self.state() or states.State("shop", "staging")
        after, _entry = states.confirmed(before, operation="deploy", slot=slot, release=release, by="kim", at=UTC)
        states.save(after, str(self.root))

    def state(self) -> states.State | None:
        return states.load("shop", str(self.root))

    def intent(self) -> intents.Intent | None:
        return intents.read(self.folder)

    def traffic(self) -> tuple[str | None, str]:
        """The live slot in the map file and in HAProxy."""
        in_file = pointer.read_file("shop", self.map_path)
        return in_file.live if in_file else None, self.peer.map["shop"].split(":", 1)[0]

    def haproxy_is_down(self) -> None:
        self.peer.api = haproxy.RuntimeApi(str(self.root / "nobody.sock"), deadline=1)

    def journal(self, run: str | None = None) -> list[tuple[str, str, str | None]]:
        entries = journal.read(self.folder)
        return [(one.step, one.phase, one.outcome) for one in entries if run in (None, one.run)]

    def last(self) -> journal.Entry:
        return journal.read(self.folder)[-1]

    def question(self, body: str = "slot == 'green'", **change: t.Any) -> dict[str, t.Any]:
        url = f"http://{self.public.address}/ready"
        return {"url": url, "body": body, "consecutive": 2, "timeout": 1, "deadline": 1.0, **change}

    def run(self, name: str = "run-kim", **change: t.Any) -> Run:
        return (Run(name, 1, "deploy", "kim", "AWX job 42", R2["id"], "green", "blue"))._replace(**change)

    def arming(self, **change: t.Any) -> Arming:
        known = {"blue": [self.blue.address], "green": [self.green.address]}
        base = Arming("green", "blue", 30.0, Check("/ready", 200, "shop"), known)
        return base._replace(**change)

    def arm(self, run: Run | None = None, **change: t.Any) -> intents.Intent:
        return self.guard().arm(run or self.run(), self.arming(**change))

    def armed_and_switched(self, run: Run | None = None) -> intents.Intent:
        intent = self.arm(run)
        self.guard().switch(run or self.run(), "green")
        return intent

    def confirm(self, token: str | None, run: Run | None = None, **change: t.Any) -> states.State:
        told = {"environment": "staging", "question": None, **change}
        return self.guard().confirm(run or self.run(), R2, token=token, **told)

    def fire(self, *, boot: bool = False) -> str:
        return revert.fire(self.guard(), boot=boot)

    def boots(self) -> None:
        """Power went and came back; the boot unit has not begun yet."""
        self.boot = "kernel:2000"

    def fires_to_the_end(self, *, boot: bool = False) -> str:
        """As systemd does: again after each failure. Returns what is said in the end."""
        while True:
            try:
                return self.fire(boot=boot)
            except CommandFailed:
                continue

    def ask(self, step: str, run: Run | None = None, *, dry: bool = False, **parameters: t.Any) -> dict[str, t.Any]:
        """What the program answers to one step. A run goes on with what its begin told, and confirms what users get."""
        if step == "confirm" and "verify" not in parameters:
            parameters["verify"] = self.question(consecutive=1)
        request = {"protocol": 3, "step": step, "application": "shop", "environment": "staging", "check": dry}
        request |= {"run": (run or self.run()).to_dict(), "parameters": parameters}
        return steps.perform(request, self.guard)

    def begins(self, run: Run | None = None, **parameters: t.Any) -> tuple[Run, dict[str, t.Any]]:
        """The run after its begin, and the view that it got."""
        run = run or self.run()
        told = self.ask("begin", run, **parameters)
        return run._replace(epoch=told["run"]["epoch"]), told["view"]

    def arms(self, run: Run, **parameters: t.Any) -> dict[str, t.Any]:
        check = {"path": "/ready", "status": 200, "host": "shop"}
        told = {"deadline": 30, "check": check, "public_url": "http://127.0.0.1/", "wait": 0.2, **parameters}
        return self.ask("arm", run, **told)


@pytest.fixture
def host(tmp_path: Path, peer: t.Any, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Host]:
    monkeypatch.setattr(place, "STARTING_SECONDS", 0.2)
    monkeypatch.setattr(place, "BETWEEN_LOOKS", 0.0)
    made = Host(tmp_path / "rollout", peer)
    yield made
    made.stop()
