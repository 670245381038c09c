# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates cost: an HTTP gate beside the same requests alone, one look of a traffic gate, and a tick of a watch."""

from __future__ import annotations

import csv
import io
import json
import resource
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._gates import http_look, specification
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.decision import Times
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.http_check import HttpCheck
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.look import Look
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.traffic import Slots, TrafficSampler
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.watch import Watch, Watched
from ansible_collections.vitalops.rollout.plugins.module_utils._guard.samplers import tallies
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import haproxy

SAMPLES, CONCURRENCY = 1000, 20
LOOKS, GATES = 200, 5
#: What a HAProxy of the lab has answered to ``show stat``.
RECORDED, APPLICATION = Path(__file__).with_name("haproxy_statistics.csv"), "reference"
#: Times of answers that a busy slot shows: every step of two digits from 1 ms to 10 s.
STEPS = [digits * 10**power for power in range(3) for digits in range(10, 100)]

#: A process of its own, so that its time is not counted; http.server would make 20 connections at once wait.
SERVER = """
import socket
listening = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listening.getsockname()[1], flush=True)
body = b'{"status": "ready"}'
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n"
while True:
    connection, _address = listening.accept()
    connection.recv(65536)
    connection.sendall(head % len(body) + body)
    connection.close()
"""

Figures = dict[str, t.Any]


def measure(pairs: int) -> Figures:
    """Returns the figures, from a process of its own: its memory is that of the gate."""
    told = subprocess.run(
        [sys.executable, "-m", __name__, str(pairs)], capture_output=True, text=True, check=True, cwd=sys.path[0]
    )
    return t.cast(Figures, json.loads(told.stdout.splitlines()[-1]))


def http(pairs: int) -> Figures:
    """A look of SAMPLES requests, and as many requests one after the other: processor time in ms, by turns."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        port = int(t.cast(t.IO[str], server.stdout).readline())
        url = f"http://127.0.0.1:{port}/ready"
        gate = {"name": "ready", "type": "http", "url": url, "samples": SAMPLES, "concurrency": CONCURRENCY}
        limits = {"json": "status == 'ready'", "at_most": {"error_share": "1 %", "p95": "1 s"}}
        look = http_look.sampler(specification.read({"bake": [{**gate, **limits}]})[0], [("web-1", url)])
        check = HttpCheck(url)
        check(5.0)
        alone, whole, verdicts = [], [], set()
        for _pair in range(pairs):
            alone.append(_spent(lambda: [check(5.0) for _sample in range(SAMPLES)]))
            whole.append(_spent(lambda: verdicts.add(look(60.0).verdict)))
    finally:
        server.kill()
    beyond = [one - two for one, two in zip(whole, alone)]
    return {
        "samples": SAMPLES,
        "concurrency": CONCURRENCY,
        "verdicts": sorted(verdicts),
        "requests_alone_ms": round(statistics.median(alone), 1),
        "look_ms": round(statistics.median(whole), 1),
        "beyond_ms": round(statistics.median(beyond), 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def traffic() -> Figures:
    """Looks of a gate with most of its limits at slots that show every time there is: processor time in ms.

    With what it costs to read HAProxy's answers, which is most of it.
    """
    gate = {
        "name": "users",
        "type": "traffic",
        "at_most": {"error_share": "1 %", "response_4xx_share": "20 %", "p50": "1 s", "p95": "2 s", "p99": "5 s"},
        "worse_than_live_by": {"error_share": "0.5 %", "p95": "20 %"},
    }
    told = specification.read({"bake": [gate]})[0]
    api = _Recorded(LOOKS + 1)  # the sampler takes one look before its first
    sampler = TrafficSampler(told, lambda: tallies(api, APPLICATION), Slots("green", "blue"), looks=LOOKS)
    spent = _spent(lambda: [sampler(1.0) for _look in range(LOOKS)])
    return {"looks": LOOKS, "look_ms": round(spent / LOOKS, 3)}


def tick() -> Figures:
    """What a watch decides of its gates each time it is asked, and tells, after many looks: processor time in ms."""
    gates = specification.read(
        {"bake": [{"name": f"gate {n}", "type": "http", "path": "/", "interval": "1 ms"} for n in range(GATES)]}
    )
    watch = Watch([Watched(gate, lambda _allowed: Look("pass", ["seen 1"])) for gate in gates], Times(3600, 3600))
    watch.start()
    time.sleep(2)
    watch.stop()
    time.sleep(0.1)  # looks that had begun
    spent = _spent(lambda: [json.dumps(watch.progress()._asdict()) for _tick in range(LOOKS)])
    looks = sum(gate["looks"]["pass"] for gate in watch.progress().gates)
    return {"gates": GATES, "looks": looks, "tick_ms": round(spent / LOOKS, 3)}


class _Recorded(haproxy.RuntimeApi):
    """A HAProxy that answers as a real one did (RECORDED), with counters that have grown from look to look.

    Its answers are made before anything is measured; what reads them is what reads them on a load balancer.
    """

    def __init__(self, looks: int) -> None:
        super().__init__("recorded")
        rows = list(csv.DictReader(io.StringIO(RECORDED.read_text(encoding="utf-8"))))
        self._answers = [
            {"show stat": _statistics(rows, 100 * look), f"show table {APPLICATION}_times": _table(100 * look)}
            for look in range(1, looks + 1)
        ]
        self._left = {question: iter([each[question] for each in self._answers]) for question in self._answers[0]}

    def command(self, text: str) -> str:
        return next(self._left[text])


def _statistics(rows: t.Sequence[dict[str, str]], each: int) -> str:
    """Returns what was recorded of ``show stat``, when both slots have given *each* answers of every time."""
    counted = {"hrsp_2xx": each * len(STEPS), "hrsp_4xx": each, "hrsp_5xx": each // 10}
    slots = (f"{APPLICATION}_blue", f"{APPLICATION}_green")
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        is_slot = row["svname"] == "BACKEND" and row["# pxname"] in slots
        writer.writerow({**row, **counted} if is_slot else row)
    return written.getvalue()


def _table(each: int) -> str:
    """Returns ``show table`` as HAProxy writes it, with every time of both slots."""
    lines = [
        f"0x7f6fa5b6{number:04x}: key={slot}:{took} use=0 exp=86393912 shard=0 gpc0={each}"
        for slot in ("blue", "green")
        for number, took in enumerate(STEPS)
    ]
    head = f"# table: {APPLICATION}_times, type: string, size:4096, used:{len(lines)}"
    return "\n".join([head, *lines, ""])


def _spent(work: t.Callable[[], object]) -> float:
    """Returns the processor time of *work*, in ms."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def lines(found: Figures) -> list[str]:
    """Returns the figures as lines. Pure."""
    asked, seen, decided = found["http"], found["traffic"], found["tick"]
    return [
        f"HTTP gate, {asked['samples']} samples at concurrency {asked['concurrency']}: {asked['look_ms']:.0f} ms of "
        f"processor, the requests alone {asked['requests_alone_ms']:.0f} ms, beyond them {asked['beyond_ms']:.0f} ms "
        f"(goal < 150); memory {asked['memory_mb']:.0f} MB (goal < 40).",
        f"Traffic gate, a look at 7 limits and {len(STEPS)} times: {seen['look_ms']:.2f} ms of processor (goal < 20).",
        f"A tick of a watch with {decided['gates']} gates after {decided['looks']} looks: "
        f"{decided['tick_ms']:.2f} ms of processor (goal < 20).",
    ]


if __name__ == "__main__":
    print(json.dumps({"http": http(int(sys.argv[1])), "traffic": traffic(), "tick": tick()}))
