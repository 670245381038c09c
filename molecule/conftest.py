# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of this scenario as the tests see it: its hosts, its load, and playbooks run as an operator runs them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import testinfra
import yaml

Host = testinfra.host.Host

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
NAME = os.environ["LAB_NAME"]
LAB_VARIABLES = PROJECT / "inventories" / "lab"
STATE = "/var/lib/rollout/reference"
ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    # What tests read is what Ansible itself prints.
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
}


class Played(t.NamedTuple):
    """How a playbook ended: its exit code and everything it wrote."""

    code: int
    output: str


class Lab:
    """Hosts by group, connections by name, and the verbs of the collection."""

    def __init__(self) -> None:
        self.inventory = SCENARIO / "inventory"
        self.hosts = yaml.safe_load((self.inventory / "hosts.yml").read_text())["all"]
        own = self.inventory / "host_vars" / "host1.yml"
        self.systemd = own.exists() and yaml.safe_load(own.read_text()).get("rollout_runtime") == "systemd"

    def group(self, name: str) -> list[str]:
        """Returns the names of the hosts in a group."""
        return sorted(self.hosts["children"][name]["hosts"])

    def address(self, name: str) -> str:
        """Returns the address of a host."""
        return t.cast(str, self.hosts["hosts"][name]["ansible_host"])

    def connect(self, name: str) -> Host:
        """Returns a connection to a host."""
        config = str(PROJECT / ".lab" / NAME / "ssh_config")
        return testinfra.get_host(f"ssh://{name}", ssh_config=config, controlpersist=60)

    def sources(self, groups: Path = LAB_VARIABLES / "groups.yml", *more: Path) -> list[str]:
        """Returns the options that name the inventories."""
        return [option for path in (groups, self.inventory, *more) for option in ("-i", str(path))]

    def play(
        self,
        verb: str,
        *arguments: str,
        inventories: t.Sequence[Path] = (),
        groups: Path = LAB_VARIABLES / "groups.yml",
    ) -> Played:
        """Runs a playbook with the inventory of this scenario, and what it wrote is shown when the test fails."""
        command = ["ansible-playbook", f"playbooks/{verb}.yml", *self.sources(groups, *inventories), *arguments]
        ended = subprocess.run(
            command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600
        )
        print("$", " ".join(command), "\n", ended.stdout[-6000:], ended.stderr[-6000:])
        return Played(ended.returncode, ended.stdout + ended.stderr)

    def facts(self, name: str) -> str:
        """Returns what Ansible gathers about a host, as it writes it."""
        command = ["ansible", name, *self.sources(), "-b", "-m", "ansible.builtin.setup"]
        return subprocess.run(
            command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    def verb(self, *arguments: str) -> str:
        """Runs a verb of the lab itself. Returns its standard output."""
        command = [sys.executable, "tests/lab/lab.py", *arguments, "--name", NAME]
        return subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout

    def ask(self, path: str) -> dict[str, t.Any]:
        """Asks as a user does: from client1, through the load balancer. Returns the JSON body of a good answer."""
        code = "import sys,urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read().decode())"
        url = f"http://{self.address(self.group('load_balancer')[0])}{path}"
        answer: dict[str, t.Any] = json.loads(self.connect("client1").check_output("python3 -c %s %s", code, url))
        return answer

    def urls(self) -> list[str]:
        """Returns where users come in, one address for each load balancer."""
        return [f"http://{self.address(name)}/" for name in self.group("load_balancer")]

    def begun(
        self, verb: str, *arguments: str, after: str, output: int | t.IO[str] = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Starts a playbook. Returns it still running, once the first load balancer has journaled the end of a step."""
        command = ["ansible-playbook", f"playbooks/{verb}.yml", *self.sources(), *arguments]
        journal = f"tail -qn 200 {STATE}/journal.ndjson"
        host = self.connect(self.group("load_balancer")[0])
        before = host.check_output(journal).splitlines()
        driver = subprocess.Popen(
            command, cwd=PROJECT, env=ENVIRONMENT, stdout=output, stderr=output, text=True, start_new_session=True
        )
        ends = time.monotonic() + 120
        try:
            while driver.poll() is None:
                told = [json.loads(line) for line in host.check_output(journal).splitlines() if line not in before]
                if any(one["step"] == after and one["phase"] == "end" for one in told):
                    break
                assert time.monotonic() < ends, f"{verb} did not come to the end of its step {after} within 120 s"
                time.sleep(0.2)
            assert driver.poll() is None, f"{verb} ended before it could be stopped after its step {after}"
        except BaseException:
            kill(driver)
            raise
        return driver

    def killed(self, verb: str, *arguments: str, after: str) -> None:
        """Runs a playbook and kills it, as AWX does, once the first load balancer has journaled the end of a step."""
        kill(self.begun(verb, *arguments, after=after))

    @contextlib.contextmanager
    def asleep(self, verb: str, *arguments: str, after: str) -> t.Iterator[t.Callable[[], Played]]:
        """Runs a playbook that stands still after a step, as on a laptop that is closed; what this yields wakes it up.

        What it has asked of hosts by then ends there: its workers are in sessions of their own. Nothing new begins.
        """
        with tempfile.TemporaryFile("w+") as output:
            driver = self.begun(verb, *arguments, after=after, output=output)

            def wake() -> Played:
                os.killpg(driver.pid, signal.SIGCONT)
                code = driver.wait(timeout=120)
                output.seek(0)
                told = output.read()
                print("$", f"{verb} that slept", "\n", told[-6000:])
                return Played(code, told)

            try:
                os.killpg(driver.pid, signal.SIGSTOP)
                yield wake
            finally:
                kill(driver)

    def wait_for(self, name: str, command: str, *parts: str, seconds: float) -> None:
        """Asks a host again and again until the answer has all *parts*, however it is spaced; fails after *seconds*."""
        ends = time.monotonic() + seconds
        while True:
            # A journal without such lines is an error for journalctl, not an answer.
            told = " ".join(self.connect(name).run(command).stdout.split())
            missing = [part for part in parts if part not in told]
            if not missing:
                return
            assert time.monotonic() < ends, f"{name} did not say {missing} within {seconds:g} s, but: {told[-1000:]}"
            time.sleep(1)

    def state(self) -> dict[str, t.Any]:
        """Returns the recorded state of the first load balancer."""
        host = self.connect(self.group("load_balancer")[0])
        state: dict[str, t.Any] = json.loads(host.check_output(f"cat {STATE}/state.json"))
        return state

    def pointed(self) -> str:
        """Returns the slot that gets the traffic of the first load balancer."""
        host = self.connect(self.group("load_balancer")[0])
        return str(host.check_output(f"cut -d' ' -f2 {STATE}/traffic.map | cut -d: -f1"))

    def running(self, process: str) -> list[str]:
        """Returns the running instances of a process in the whole fleet, as host/instance."""
        command = (
            f"systemctl list-units --state=running --plain --no-legend 'reference-*-{process}@*' | cut -d' ' -f1"
            if self.systemd
            else f"docker ps --filter label=rollout.process={process} --format '{{{{.Names}}}}'"
        )
        return sorted(
            f"{name}/{line}"
            for name in self.group("application")
            for line in self.connect(name).check_output(command).splitlines()
        )

    def stop(self, slot: str, process: str) -> None:
        """Stops the instances of a process in a slot on every application host, as somebody by hand would."""
        command = (
            f"systemctl stop 'reference-{slot}-{process}@*'"
            if self.systemd
            else f"docker ps -q --filter label=rollout.process={process} --filter label=rollout.slot={slot}"
            " | xargs -r docker stop"
        )
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.connect(name).check_output(command), self.group("application")))

    def fingerprint(self) -> list[str]:
        """Returns what a refused run must not change: instances, slots, environment files, traffic pointer."""
        found = self.running("web") + self.running("worker") + self.running("scheduler")
        for name in {*self.group("application"), *self.group("load_balancer")}:
            files = "find /etc/rollout /etc/haproxy/rollout.d /var/lib/rollout -type f"
            # These say who was here, not what is rolled out.
            tracks = (
                "state.json",
                "journal.ndjson",
                "lease.json",
                "fence.json",
                "retire.json",
                "watch*.json",
                ".*lock",
            )
            others = " ".join(f"! -name '{track}'" for track in tracks)
            found.append(self.connect(name).run(f"{files} {others} -exec sha256sum {{}} + | sort").stdout)
        return found


def kill(driver: subprocess.Popen[str]) -> None:
    """Kills a playbook, if it still runs."""
    if driver.poll() is None:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(timeout=30)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


def pytest_runtest_logstart(nodeid: str) -> None:
    """Says which test runs now, for tests/tools/step.py."""
    _told(".now").write_text(nodeid.rpartition("/")[2])


def pytest_runtest_logreport(report: t.Any) -> None:
    """Keeps where minutes go, for tests/tools/scenarios.py: what a test needs before and after itself is its own."""
    with _told(".seconds").open("a") as file:
        file.write(f"{report.duration:.3f} {report.nodeid}\n")


def pytest_sessionfinish() -> None:
    _told(".now").unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Keeps what failed where tests/tools/scenarios.py finds it: Molecule buries it under all that comes after."""
    failed = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])]
    if not failed:
        return
    with _told(".failed").open("a") as file:
        for report in failed:
            lines = [*report.longreprtext.splitlines()[-30:], *report.capstdout.splitlines()[-20:]]
            # The name stands below it, too: who sees only the end of a log wants to know which test that was.
            file.write("\n".join([report.nodeid, *(line[:300] for line in lines), f"FAILED {report.nodeid}", ""]))


def _told(ending: str) -> Path:
    """Returns the file for those who watch the scenario, beside its log."""
    path = (PROJECT / "tests" / "output" / "molecule" / SCENARIO.name).with_suffix(ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
