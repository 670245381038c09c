# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown on real hosts, under load: deploy, upgrade, a broken and a slow release refused, roll back.

Ends with a table of what users saw in each phase. Exit code 0 only when no request failed and every phase ended well.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "output"
LAB = [sys.executable, str(ROOT / "tests" / "lab" / "lab.py")]
STEADY_SECONDS = 5


@dataclasses.dataclass
class Phase:
    """One row of the table; times are seconds since 1970, *load* is the report of the load generator or None."""

    title: str
    started: float
    ended: float = 0.0
    outcome: str = ""
    load: dict[str, t.Any] | None = None

    @property
    def seconds(self) -> float:
        """Returns how long the phase took."""
        return self.ended - self.started


class DemoFailed(Exception):
    """A phase did not end as it must; the message says which and how."""


class Demo:
    """Runs phases one after the other and remembers them."""

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate
        self.phases: list[Phase] = []

    def phase(self, title: str, action: t.Callable[[], str]) -> None:
        """Runs *action*, which returns the outcome in a few words."""
        print(f"\n--- {title} " + "-" * max(3, 96 - len(title)), flush=True)
        current = Phase(title, time.time())
        self.phases.append(current)
        try:
            current.outcome = action()
        except DemoFailed as error:
            current.outcome = f"FAILED: {error}"
            raise
        finally:
            current.ended = time.time()
        print(f"--- {title}: {current.outcome} in {current.seconds:.1f} s", flush=True)

    def lab(self, *arguments: str) -> str:
        """Runs a verb of the lab; its progress is shown. Returns its standard output."""
        verb = [arguments[0], arguments[1]] if arguments[0] == "load" else [arguments[0]]
        command = [*LAB, *verb, "--name", self.name, *arguments[len(verb) :]]
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode != 0:
            raise DemoFailed(f"lab {' '.join(arguments)} ended with exit code {ended.returncode}")
        return ended.stdout

    def play(self, verb: str, *arguments: str, expected: int = 0) -> None:
        """Runs a playbook the way an operator does."""
        command = ["ansible-playbook", f"playbooks/{verb}.yml", "-i", "inventories/lab", *arguments]
        print("$ " + " ".join(command), flush=True)
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code != expected:
            raise DemoFailed(f"{verb} ended with exit code {code}, expected {expected}")

    def version_of_users(self) -> str:
        """Asks from client1, as a user does. Returns the version that answers."""
        code = "import urllib.request as u; print(u.urlopen('http://lb1/version', timeout=5).read().decode())"
        answer: str = json.loads(self.lab("ssh", "client1", f'python3 -c "{code}"'))["version"]
        return answer

    def expect_version(self, version: str) -> None:
        """Raises DemoFailed when users get another version."""
        found = self.version_of_users()
        if found != version:
            raise DemoFailed(f"users get version {found}, expected {version}")

    # The phases, in order.

    def hosts_up(self) -> str:
        """Starts the fleet and puts four releases into its registry."""
        self.lab("up", "--topology", "fleet")
        self.lab("push", "1.0.0", "--kind", "image")
        self.lab("push", "1.1.0", "--kind", "image")
        self.lab("push", "1.2.0", "--kind", "image", "--fault", "not_ready=true")
        self.lab("push", "1.3.0", "--kind", "image", "--fault", "latency_ms=300")
        return "6 hosts, 4 releases in the registry"

    def provision(self) -> str:
        """PostgreSQL, Redis, container engines, HAProxy."""
        self.play("provision")
        return "PostgreSQL, Redis, Docker, HAProxy ready"

    def first_deploy(self) -> str:
        """Nothing is live before. When the lab was up already, brings 1.0.0 back as the live release."""
        self.play("deploy", "-e", "rollout_version=1.0.0")
        self.expect_version("1.0.0")
        return "1.0.0 is live"

    def load_on(self) -> str:
        """From here on every request of every user counts."""
        self.lab("load", "start", "--url", "http://lb1/", "--rate", str(self.rate))
        time.sleep(STEADY_SECONDS)
        return f"{self.rate:g} requests/s: reads, writes, slow requests"

    def upgrade(self) -> str:
        """Blue-green under load."""
        self.play("deploy", "-e", "rollout_version=1.1.0")
        self.expect_version("1.1.0")
        return "1.1.0 is live"

    def broken(self) -> str:
        """The gate refuses a release that is never ready."""
        self.play("deploy", "-e", "rollout_version=1.2.0", "-e", "rollout_ready_deadline=15", expected=2)
        self.expect_version("1.1.0")
        return "refused by its gate, 1.1.0 stays live"

    def slow(self) -> str:
        """Every instance is ready, and only users can show that the release is slow: a gate takes it back."""
        self.play("deploy", "-e", "rollout_version=1.3.0", "-e", "@examples/gates/bake.yml", expected=2)
        # The load balancer itself has given the users back: what is refused before them leaves no such line.
        if '"actor": "guard"' not in self.lab("ssh", "lb1", "tail -n 20 /var/lib/rollout/reference/journal.ndjson"):
            raise DemoFailed("it was refused before any user had it")
        self.expect_version("1.1.0")
        return "taken back by its gate, 1.1.0 is live again"

    def roll_back(self) -> str:
        """No version to look up."""
        self.play("roll_back")
        self.expect_version("1.0.0")
        return "1.0.0 is live again"

    def load_off(self) -> str:
        """A last look at the steady state, then silence."""
        time.sleep(STEADY_SECONDS)
        self.lab("load", "stop")
        return "all answers counted"

    def status(self) -> str:
        """What an operator looks at."""
        self.play("status")
        return "see above"

    def run(self) -> None:
        """Runs every phase. Raises DemoFailed."""
        self.phase("Hosts and releases", self.hosts_up)
        self.phase("Provision", self.provision)
        self.phase("Deploy 1.0.0", self.first_deploy)
        self.phase("Load on", self.load_on)
        try:
            self.phase("Deploy 1.1.0", self.upgrade)
            self.phase("Deploy 1.2.0 (broken)", self.broken)
            self.phase("Deploy 1.3.0 (slow)", self.slow)
            self.phase("Roll back", self.roll_back)
        finally:
            self.phase("Load off", self.load_off)
        self.phase("Status", self.status)

    def measure(self) -> None:
        """Asks the load generator what users saw between the beginning and the end of each phase under load."""
        names = [phase.title for phase in self.phases]
        if "Load on" not in names:
            return
        under_load = self.phases[names.index("Load on") : names.index("Load off") + 1]
        for phase in under_load:
            report = self.lab("load", "report", "--since", str(phase.started), "--until", str(phase.ended))
            phase.load = json.loads(report)
        whole = Phase("All under load", under_load[0].started, under_load[-1].ended)
        whole.load = json.loads(self.lab("load", "report"))
        self.phases.append(whole)

    def table(self) -> list[str]:
        """Returns the table, one line a phase."""
        lines = [
            f"{'phase':<24}{'seconds':>9}{'requests':>10}{'failures':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}  end"
        ]
        for phase in self.phases:
            cells = [""] * 5
            if phase.load:
                cells = [str(phase.load[key]) for key in ("requests", "failures")] + [
                    "" if phase.load[key] is None else f"{phase.load[key]:.1f}"
                    for key in ("p50_ms", "p95_ms", "p99_ms")
                ]
            numbers = f"{cells[0]:>10}{cells[1]:>10}{cells[2]:>9}{cells[3]:>9}{cells[4]:>9}"
            lines.append(f"{phase.title:<24}{phase.seconds:>9.1f}{numbers}  {phase.outcome}")
        return lines


LOOK_AROUND = """
The lab stays up. Look around:
  ansible-playbook playbooks/status.yml -i inventories/lab     (after: source .venv/bin/activate)
  ssh -F .lab/{name}/ssh_config lb1                               (app1, app2, data1, client1, registry1)
  ansible-playbook playbooks/deploy.yml -i inventories/lab -e rollout_version=1.1.0
Take it down:
  make lab-down"""


def main() -> int:
    """Runs the demo. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="lab", help="name of the lab (default: lab)")
    parser.add_argument("--rate", type=float, default=320.0, help="requests per second (default: 320)")
    chosen = parser.parse_args()
    demo = Demo(chosen.name, chosen.rate)
    failed = ""
    try:
        demo.run()
    except DemoFailed as error:
        failed = str(error)
    demo.measure()
    print("\n" + "\n".join(demo.table()), flush=True)
    whole = demo.phases[-1].load or {}
    for failure in whole.get("first_failures", []):
        print(f"  failed request: {failure}")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "demo.json").write_text(json.dumps([dataclasses.asdict(phase) for phase in demo.phases], indent=2) + "\n")
    print(LOOK_AROUND.format(name=demo.name))
    if not failed and whole.get("failures"):
        failed = f"{whole['failures']} requests failed, expected 0"
    if failed:
        print(f"\nThe demo failed: {failed}", flush=True)
        return 1
    print(f"\nThe demo succeeded: {whole.get('requests', 0)} requests, 0 failures.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
