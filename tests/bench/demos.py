# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the demo takes, from nothing or with its images at hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing as t

from ..lab.paths import ROOT
from . import labs
from .labs import say

RESULT = ROOT / "tests" / "output" / "demo.json"
SHOWN = ("requests", "failures", "rate", "p50_ms", "p95_ms", "p99_ms")


def measure(kind: str) -> dict[str, t.Any]:
    """Runs the demo in a lab of its own kind: cold builds every image first, warm finds them. Returns its figures."""
    say(f"\n  demo, {kind}")
    labs.verb("lab", "down", *(("--images",) if kind == "cold" else ()))
    started = time.monotonic()
    ended = subprocess.run([sys.executable, "tests/lab/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if ended.returncode != 0:
        say(ended.stdout[-4000:] + ended.stderr[-4000:])
    load = json.loads(RESULT.read_text(encoding="utf-8"))[-1]["load"] or {}
    figures = {key: load.get(key) for key in SHOWN}
    say(f"    {seconds:.0f} s, {figures['requests']} requests, {figures['failures']} failures")
    return {"kind": kind, "seconds": seconds, "exit_code": ended.returncode, **figures}
