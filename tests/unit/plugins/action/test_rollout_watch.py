# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run looks on: it speaks calmly, waits for every host that looks, and ends at once when one refuses."""

from __future__ import annotations

import json
import threading
import time
import types
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.vitalops.rollout.plugins.action import rollout_watch as action
from ansible_collections.vitalops.rollout.plugins.modules import rollout_watch as documented
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _watch

ARGUMENTS = {
    "application": "shop",
    "environment_name": "staging",
    "run": {"operation": "deploy"},
    "phase": "bake",
    "gates": [{"name": "errors", "type": "traffic"}],
    "seconds": 10,
    "most": 20,
    "public_url": "http://127.0.0.1/",
    "lease_seconds": 60,
}
COMMAND = {"name": "smoke", "type": "command", "command": ["pytest"]}


def progress(verdict: str, elapsed: float = 1.0) -> dict[str, t.Any]:
    gate = {"name": "errors", "enforce": True, "verdict": verdict, "words": ["5 answers"], "answers": ["web-1: 503"]}
    return {"action": "hold", "elapsed": elapsed, "seconds": 10.0, "gates": [gate]}


def seen(verdict: str, ended: str | None = None, action: str = "hold") -> dict[str, t.Any]:
    says = "phase bake: errors: failures 1, at most 0" if ended == "revert" else ""
    told = {**progress(verdict), "action": action}
    return {"changed": False, "watch": {"ended": ended, "says": says, "progress": told}}


CONTENT = seen("pass", action="go")


class Task:
    """A task on *host*: the host answers `watched` with *looks*, one after the other, and the last one for ever."""

    def __init__(self, folder: Path, host: str = "lb1", *looks: dict[str, t.Any], **arguments: t.Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.warnings: list[str] = []
        self.refused = ""
        self.stopped = threading.Event()
        self.command: t.Callable[[], dict[str, t.Any]] = lambda: {"verdict": "pass", "words": [], "answers": []}
        self._looks = list(looks)
        self._host = host
        plugin = self._plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = types.SimpleNamespace(
            args={**ARGUMENTS, "hosts": [host], **arguments}, check_mode=arguments.pop("check", False), async_val=0
        )
        plugin._task.args.pop("check", None)
        plugin._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir=None))
        plugin._play_context = plugin._loader = plugin._templar = None
        plugin._supports_check_mode = plugin._supports_async = True
        plugin._display = types.SimpleNamespace(display=lambda text, color=None: self.said.append(text))
        plugin._low_level_execute_command = self._execute
        plugin._execute_module = lambda *_names, **_options: self.command()

    def _execute(self, command: str, *, sudoable: bool, in_data: bytes = b"") -> dict[str, t.Any]:
        if command.startswith("rm -f "):
            self.stopped.set()
            return {"rc": 0, "stdout": "", "stderr": ""}
        request = json.loads(in_data)
        self.asked.append(request["step"])
        self.refused = request["parameters"].get("refused", "")
        assert request["parameters"]["lease_seconds"] == 60
        answer: dict[str, t.Any] = {"changed": False}
        if request["step"] == "watch":
            answer = {"changed": False, "watch": "abc", **({"warnings": self.warnings} if self.warnings else {})}
        if request["step"] == "unwatch":
            answer = {"changed": bool(self.refused)}
        if request["step"] == "watched":
            answer = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return {"rc": 0, "stdout": json.dumps(answer), "stderr": ""}

    def watches_with(self, tasks: t.Sequence[Task]) -> None:
        self._plugin._task.args["hosts"] = [task._host for task in tasks]

    def run(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self._plugin.run(task_vars={"inventory_hostname": self._host}))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(action, "_POLL", 0.01)
    monkeypatch.setattr(action.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def test_a_release_passes_when_its_watch_says_so(tmp_path: Path) -> None:
    task = Task(tmp_path, "lb1", seen("no_data"), seen("no_data"), seen("pass"), CONTENT)
    assert not task.run().get("failed")
    assert task.asked == ["watch", "watched", "watched", "watched", "watched", "unwatch"]
    assert task.said == [
        "  lb1  bake, 0:01 of 0:10  errors: no_data (5 answers)",
        "  lb1  bake, 0:01 of 0:10  errors: pass (5 answers)",
    ]


@pytest.mark.parametrize("alone", [True, False])
def test_what_a_person_must_know_of_a_watch_is_told_at_its_end(tmp_path: Path, alone: bool) -> None:
    task = Task(tmp_path, "lb1", CONTENT, alone=alone)
    task.warnings = ["the tally is damaged"]
    assert task.run()["warnings"] == ["the tally is damaged"]


def test_a_refusal_tells_numbers_and_answers(tmp_path: Path) -> None:
    told = Task(tmp_path, "lb1", seen("fail", "revert")).run()
    assert told["failed"]
    assert told["changed"]
    assert told["msg"] == (
        "The gates of lb1 refuse it (bake): phase bake: errors: failures 1, at most 0.\n"
        "  errors: fail (5 answers)\n    web-1: 503"
    )


def together(*tasks: Task) -> list[dict[str, t.Any]]:
    """Runs the tasks side by side, as forks of one Ansible do."""
    for task in tasks:
        task.watches_with(tasks)
    told: list[dict[str, t.Any]] = [{} for _task in tasks]

    def run(place: int, task: Task) -> None:
        told[place] = task.run()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(tasks)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(10)
    return told


def test_a_host_that_is_content_looks_on_until_the_others_are(tmp_path: Path) -> None:
    done = Task(tmp_path, "lb1", *[seen("pass")] * 10, CONTENT)
    late = Task(tmp_path, "lb2", *[seen("pass")] * 60, CONTENT)
    assert [told.get("failed") for told in together(done, late)] == [None, None]
    assert len(done.asked) > 40


def test_a_host_that_was_content_may_still_refuse(tmp_path: Path) -> None:
    turns = Task(tmp_path, "lb1", CONTENT, *[CONTENT] * 20, seen("fail", "revert"))
    told = together(turns, Task(tmp_path, "lb2", seen("pass")))
    assert "failures 1" in told[0]["msg"]
    assert told[1]["msg"] == "Refused by lb1; its message says why."


def test_a_load_balancer_without_gates_watches_too_so_that_a_person_can_end_it_there(tmp_path: Path) -> None:
    keeps = Task(tmp_path, "lb2", CONTENT, gates=[])
    looks = Task(tmp_path, "app1", gates=[], application_host=True)
    found = together(keeps, looks, Task(tmp_path, "lb1", *[seen("pass")] * 20, CONTENT))
    assert [told.get("failed") for told in found] == [None, None, None]
    assert (keeps.asked[0], set(keeps.asked[1:-1]), keeps.asked[-1]) == ("watch", {"watched"}, "unwatch")
    assert looks.asked == []


def test_after_a_roll_back_a_load_balancer_without_gates_has_nothing_to_keep(tmp_path: Path) -> None:
    looks = Task(tmp_path, "lb2", gates=[], phase="after_roll_back")
    assert not looks.run().get("failed")
    assert looks.asked == []


def test_one_host_that_refuses_ends_the_watch_of_the_others(tmp_path: Path) -> None:
    waits = Task(tmp_path, "lb1", seen("pass"))
    told = together(waits, Task(tmp_path, "lb2", seen("pass"), seen("fail", "revert")))
    assert told[0]["msg"] == "Refused by lb2; its message says why."
    assert waits.asked[-1] == "unwatch"


def test_a_host_that_never_began_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "_OVERDUE", 0.1)
    told = Task(tmp_path, "lb1", CONTENT, seconds=0, most=0, hosts=["lb1", "lb2", "app1"]).run()
    assert "Not every host was content in time" in told["msg"]
    assert "run again with --forks 3" in told["msg"]
    assert "ansible-playbook vitalops.rollout.status -i INVENTORY" in told["msg"]


def test_a_host_that_cannot_watch_ends_it_for_all(tmp_path: Path) -> None:
    failed = {"failed": True, "changed": False, "msg": "The watch over the release has died"}
    told = together(Task(tmp_path, "lb1", seen("pass")), Task(tmp_path, "lb2", failed))
    assert told[1]["msg"] == "The watch over the release has died"
    assert told[0]["failed"]


def test_a_host_that_is_lost_before_it_has_begun_ends_it_for_all(tmp_path: Path) -> None:
    lost = Task(tmp_path, "app1", application_host=True)

    def unreachable(_command: str, **_options: t.Any) -> t.NoReturn:
        raise AnsibleConnectionFailure("no route to app1")

    lost._plugin._low_level_execute_command = unreachable
    waits = Task(tmp_path, "lb1", seen("pass"), hosts=["lb1", "app1"])
    with pytest.raises(AnsibleConnectionFailure):
        lost.run()
    assert waits.run()["msg"] == "Refused by app1; its message says why."


def test_two_rollouts_of_one_process_do_not_hear_each_other(tmp_path: Path) -> None:
    assert Task(tmp_path, "lb1", seen("fail", "revert"), run={"operation": "deploy", "epoch": 1}).run()["failed"]
    again = Task(tmp_path, "lb2", CONTENT, run={"operation": "deploy", "epoch": 2}).run()
    assert not again.get("failed")


def test_what_a_person_approves_on_one_host_is_good_for_all(tmp_path: Path) -> None:
    approved = seen("inconclusive", ended="go")
    approved["watch"]["approved"] = True
    first = Task(tmp_path, "lb1", *[seen("inconclusive")] * 20, approved)
    waits = Task(tmp_path, "app1", gates=[], application_host=True)
    again = Task(tmp_path, "lb2", *[seen("inconclusive")] * 40, approved)
    assert [told.get("failed") for told in together(first, waits, again)] == [None, None, None]


def users(seen_users: bool, elapsed: float = 11.0) -> dict[str, t.Any]:
    """What a load balancer tells whose bake is over, and which had users, or none."""
    told = seen("pass" if seen_users else "no_data", action="go" if seen_users else "hold")
    told["watch"]["progress"]["gates"][0]["type"] = "traffic"
    told["watch"]["progress"].update(elapsed=elapsed, lacks_users=not seen_users, reasons=["errors: no user came"])
    return told


def test_a_load_balancer_that_only_stands_by_waits_for_the_word_of_one_with_users(tmp_path: Path) -> None:
    stands_by = Task(tmp_path, "lb2", users(False))
    used = Task(tmp_path, "lb1", *[seen("inconclusive")] * 20, users(True))
    assert [told.get("failed") for told in together(stands_by, used)] == [None, None]


def test_where_no_user_came_at_all_the_release_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "_LATE", 0.1)
    first = Task(tmp_path, "lb1", *[users(False)] * 20, users(False, elapsed=20.2))
    told = together(
        first,
        Task(tmp_path, "lb2", users(False, elapsed=20.0)),
        Task(tmp_path, "app1", gates=[], application_host=True),
    )
    assert "The gates of lb1 refuse it (bake): errors: no user came." in told[0]["msg"]
    assert [one["failed"] for one in told] == [True, True, True]


def test_a_watch_that_nobody_attends_is_only_begun(tmp_path: Path) -> None:
    task = Task(tmp_path, "lb1", seen("pass"), alone=True, release={"id": "r"}, verify={"url": "u"})
    assert task.run()["watch"] == "abc"
    assert task.asked == ["watch"]


def test_check_mode_only_asks_whether_it_could(tmp_path: Path) -> None:
    task = Task(tmp_path, "lb1", seen("pass"), check=True)
    task.run()
    assert task.asked == ["watch"]


def test_a_command_that_fails_refuses_the_release_for_all(tmp_path: Path) -> None:
    tests = Task(tmp_path, "tester1", gates=[COMMAND], application_host=True)
    tests.command = lambda: {"verdict": "fail", "words": ["exit code 1, expected 0"], "answers": ["E  boom"]}
    told = together(Task(tmp_path, "lb1", seen("pass")), tests)
    assert told[1]["msg"] == (
        "The gates of tester1 refuse it (bake): smoke did not pass.\n"
        "  smoke: fail (exit code 1, expected 0)\n    E  boom"
    )
    assert told[0]["msg"] == "Refused by tester1; its message says why."


@pytest.mark.parametrize(("phase", "moved"), [("during_shift", True), ("bake", True), ("before_switch", False)])
def test_a_load_balancer_takes_back_at_once_what_a_command_refuses(tmp_path: Path, phase: str, moved: bool) -> None:
    tests = Task(tmp_path, "tester1", gates=[COMMAND], application_host=True, phase=phase)
    tests.command = lambda: {"verdict": "fail", "words": ["exit code 1, expected 0"], "answers": []}
    first = Task(tmp_path, "lb1", seen("pass"), phase=phase)
    told = together(first, tests)
    assert first.refused == ("Refused by tester1; its message says why." if moved else "")
    assert bool(told[0].get("changed")) is moved
    assert not tests.refused


def test_while_a_command_runs_the_load_balancers_look_on(tmp_path: Path) -> None:
    tests, looks = Task(tmp_path, "tester1", gates=[COMMAND], application_host=True), Task(tmp_path, "lb1", CONTENT)

    def slow() -> dict[str, t.Any]:
        time.sleep(0.5)
        return {"verdict": "pass", "words": ["exit code 0"], "answers": []}

    tests.command = slow
    assert [told.get("failed") for told in together(tests, looks)] == [None, None]
    assert len(looks.asked) > 10
    assert any("smoke: running" in line for line in tests.said)


def test_a_command_is_stopped_when_another_host_refuses(tmp_path: Path) -> None:
    tests = Task(tmp_path, "tester1", gates=[COMMAND, {**COMMAND, "name": "load"}], application_host=True)
    begun: list[bool] = []

    def waits() -> dict[str, t.Any]:
        begun.append(tests.stopped.wait(30))
        return {"verdict": "error", "words": ["pytest was stopped"], "answers": []}

    tests.command = waits
    told = together(tests, Task(tmp_path, "lb1", seen("fail", "revert")))
    assert told[0]["msg"] == "Refused by lb1; its message says why."
    assert begun == [True]  # and the one after it has never begun


def test_a_command_that_cannot_be_stopped_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "_STOPPING", 0.1)
    tests = Task(tmp_path, "tester1", gates=[COMMAND], application_host=True)
    tests.command = lambda: time.sleep(30) or {}
    began = time.monotonic()
    together(tests, Task(tmp_path, "lb1", seen("fail", "revert")))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("enforce", [True, False])
def test_a_command_whose_host_cannot_be_asked_is_an_error_of_its_gate(tmp_path: Path, enforce: bool) -> None:
    tests = Task(tmp_path, "tester1", gates=[{**COMMAND, "enforce": enforce}], application_host=True)

    def lost() -> dict[str, t.Any]:
        raise OSError("no route to host")

    tests.command = lost
    told = tests.run()
    assert told.get("failed", False) is enforce
    assert not enforce or "smoke: error (no route to host)" in told["msg"]


def test_users_elsewhere_count_while_a_program_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "_LATE", 0.0)
    long = [{**COMMAND, "timeout": "6 min"}]
    stands_by = Task(tmp_path, "lb2", users(False, elapsed=1000.0), programs=long)
    used = Task(tmp_path, "lb1", users(True), programs=long)
    tests = Task(tmp_path, "tester1", gates=[COMMAND], application_host=True, programs=long)

    def slow() -> dict[str, t.Any]:
        time.sleep(0.5)
        return {"verdict": "pass", "words": ["exit code 0"], "answers": []}

    tests.command = slow
    assert [told.get("failed") for told in together(used, stands_by, tests)] == [None, None, None]


def test_the_longest_time_of_all_programs() -> None:
    assert _watch.longest([{}, {"timeout": "90 s"}]) == 690.0


def test_a_command_that_is_not_enforced_only_tells(tmp_path: Path) -> None:
    tests = Task(tmp_path, "tester1", gates=[{**COMMAND, "enforce": False}], application_host=True)
    tests.command = lambda: {"verdict": "fail", "words": ["exit code 1, expected 0"], "answers": []}
    assert not tests.run().get("failed")
    assert "smoke (not enforced): fail" in tests.said[-1]


def test_what_is_documented_is_what_is_taken() -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]
    kept = ("type", "required", "choices", "default", "elements")
    assert {name: {key: one[key] for key in kept if key in one} for name, one in options.items()} == {
        name: {key: one[key] for key in kept if key in one} for name, one in action.ARGUMENTS.items()
    }


def test_a_line_is_short_and_says_when_it_takes_longer() -> None:
    told = progress("inconclusive", 3725.0)
    told["gates"][0]["words"] = ["word"] * 100
    line = _watch.line("lb1", "bake", told)
    assert line.startswith("  lb1  bake, 1:02:05 of 0:10, longer than planned  errors: inconclusive (word, word")
    assert _watch.line("lb1", "before the switch", {**told, "seconds": 0.0}).startswith(
        "  lb1  before the switch, 1:02:05  "
    )
    assert len(line) < 200
