# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen of a run: its words, and two real runs, one through a pipe and one on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _live_line
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _progress as words

SECRET = "marked-secret-5417"
COLUMNS = 60

PLAYBOOK = f"""
- name: Plan
  hosts: all
  gather_facts: false
  tasks:
    - name: Nothing changes here
      ansible.builtin.set_fact: {{known: true}}
    - name: The plan
      ansible.builtin.debug:
        msg: |-
          shop: 1.2.0 goes to slot green.
            1. stage
      run_once: true

- name: Nobody
  hosts: nobody_is_in_here
  gather_facts: false
  tasks: []

- name: Stage
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Slot green runs release 1.2.0
      ansible.builtin.set_fact: {{known: true}}
      changed_when: true
    - name: Folders exist
      ansible.builtin.set_fact: {{known: true}}
      loop: [one, two, three]
      loop_control: {{label: "folder {{{{ item }}}}"}}
      changed_when: item != 'two'
    - name: Passwords are set
      ansible.builtin.set_fact: {{password: "{SECRET} {{{{ item }}}}"}}
      loop: [{SECRET}-1, {SECRET}-2]
      changed_when: true
      no_log: true
    - name: A hidden failure
      ansible.builtin.fail: {{msg: {SECRET}}}
      no_log: true
      ignore_errors: true  # the reason: the callback shall tell of a failure that a play ignores, asserted below
    - name: Some items fail
      ansible.builtin.fail: {{msg: "{{{{ item }}}} is bad"}}
      when: item != 'good'
      loop: [good, worse]
      ignore_errors: true  # the reason: the same for a failed item of a loop, asserted below
    - name: The gates look at the release, which is a name that is much wider than this terminal
      say_from_worker:
      run_once: true
    - name: The release is ready
      block:
        - name: The gate is in a file of its own
          ansible.builtin.include_tasks: gate.yml
      rescue:
        - name: Refused is release 1.2.0
          ansible.builtin.fail:
            msg: |-
              Release 1.2.0 was refused.

              {{{{ (ansible_failed_result | default({{}})).msg | default('Another host failed.') }}}}
                next: mend it

- name: Switch
  hosts: all
  gather_facts: false
  tasks: []
"""

GATE = """
- name: Every target passes
  ansible.builtin.fail:
    msg: |-
      2 of 2 targets failed.
        found: 503
  when: inventory_hostname == 'app1'
"""

# A worker speaks, in the middle of a task, through Display.
SAY_FROM_WORKER = """
import time
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        self._display.display("  a line of the worker")
        time.sleep(1.5)
        return {"changed": False, "warnings": ["a warning of the task"]}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> t.Callable[..., tuple[int, str]]:
    """Runs the playbook; returns the exit code and all that was seen."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    (folder / "gate.yml").write_text(GATE, encoding="utf-8")
    (folder / "ansible.cfg").write_text("[defaults]\nstdout_callback = vitalops.rollout.progress\n", encoding="utf-8")
    (folder / "action_plugins").mkdir()
    (folder / "action_plugins" / "say_from_worker.py").write_text(SAY_FROM_WORKER, encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(Path(words.__file__).parents[5]),
    }
    program = Path(sys.executable).with_name("ansible-playbook")

    def ansible(*arguments: str, terminal: bool = False, interrupt_at: bytes = b"", **more: str) -> tuple[int, str]:
        command = [program, "-i", "app1,app2,app10,", "-c", "local", "play.yml", *arguments]
        ours, theirs = pty.openpty() if terminal else os.pipe()
        if terminal:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        with subprocess.Popen(
            command, cwd=folder, env={**environment, **more}, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            hung = threading.Timer(120, process.kill)  # then what was seen tells where
            hung.start()
            seen = b""
            while part := read(ours):
                seen += part
                if interrupt_at and interrupt_at in seen:
                    # Not while a worker writes to the queue of results: Ansible waits for its lock for ever then.
                    time.sleep(0.5)
                    process.send_signal(signal.SIGINT)
                    interrupt_at = b""
            hung.cancel()
        os.close(ours)
        return process.returncode, seen.decode("utf-8")

    return ansible


def read(descriptor: int) -> bytes:
    """What comes next; nothing at the end, which a terminal tells by an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def screen(output: str, columns: int) -> list[str]:
    """The rows that a terminal shows in the end. An updated line that has wrapped cannot be erased: it fails here."""
    rows, column = [""], 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if part == "\n":
            rows.append("")
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            assert len(rows[-1]) < columns, rows[-1]
            rows[-1] = rows[-1][:column]
        elif part.startswith("\x1b"):
            assert part.endswith("m"), part  # colours, and nothing that moves the cursor
        else:
            rows[-1] = rows[-1][:column] + part + rows[-1][column + len(part) :]
            column += len(part)
    return rows


def without_seconds(lines: t.Iterable[str]) -> list[str]:
    return [re.sub(r"\d+ s(?=$|:)", "N s", line) for line in lines]


UNDER_STAGE = """\
  changed  app1, app2, app10  Slot green runs release 1.2.0
  changed  app1, app2, app10  Folders exist: folder one, folder three
  changed  app1, app2, app10  Passwords are set
  failed, ignored  app1, app2, app10  A hidden failure
    What it said is hidden by no_log.
  failed, ignored  app1, app2, app10  Some items fail: worse
    worse is bad
  a line of the worker
[WARNING]: a warning of the task
  failed, the play handles it  app1  Every target passes
    2 of 2 targets failed.
      found: 503
  failed  app1  Refused is release 1.2.0
    Release 1.2.0 was refused.

    2 of 2 targets failed.
      found: 503
      next: mend it
  failed  app2, app10  Refused is release 1.2.0
    Release 1.2.0 was refused.

    Another host failed.
      next: mend it
[3/4] Stage: failed, N s
  app1  failed  Stage: Refused is release 1.2.0
  app2  failed  Stage: Refused is release 1.2.0
  app10  failed  Stage: Refused is release 1.2.0
FAILED after N s: Stage, app1, app2, app10
""".splitlines()


def test_through_a_pipe_come_whole_lines(run: t.Callable[..., tuple[int, str]]) -> None:
    code, seen = run()
    assert code == 2
    assert "\r" not in seen
    assert "\x1b" not in seen
    assert SECRET not in seen
    lines = [line for line in seen.splitlines() if "pattern" not in line]
    assert without_seconds(lines) == [
        "[1/4] Plan",
        "  shop: 1.2.0 goes to slot green.",
        "    1. stage",
        "[1/4] Plan: done, N s",
        "[2/4] Nobody",
        "[2/4] Nobody: skipped",
        "[3/4] Stage",
        *UNDER_STAGE,
    ]


def test_on_a_terminal_one_line_is_alive_and_nothing_of_it_is_left(run: t.Callable[..., tuple[int, str]]) -> None:
    code, seen = run(terminal=True)
    assert code == 2
    assert SECRET not in seen
    assert "\x1b[0;31m  failed  app1" in seen
    # It is alive while the worker is silent, and cut.
    assert re.search(r"\[3/4\] Stage …  [1-9]\d* s  The gates look at the release[^\r\n]*…", seen)
    rows = [line for line in screen(seen, COLUMNS) if "pattern" not in line]
    assert without_seconds(rows) == [
        "[1/4] Plan",
        "  shop: 1.2.0 goes to slot green.",
        "    1. stage",
        "[1/4] Plan: done, N s",
        "[2/4] Nobody: skipped",
        "[3/4] Stage",
        *UNDER_STAGE,
        "",
    ]


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"AWX_ISOLATED_DATA_DIR": "/x", "NO_COLOR": "1"}])
def test_check_mode_without_colour_says_that_nothing_is_changed(
    run: t.Callable[..., tuple[int, str]], more: dict[str, str]
) -> None:
    _code, seen = run("--check", "--limit", "app2", terminal=True, **more)
    # AWX gives Ansible a terminal, and nobody sits before it.
    assert ("\x1b[K" in seen) == ("AWX_ISOLATED_DATA_DIR" not in more)
    rows = screen(seen, COLUMNS)
    assert next(row for row in rows if "pattern" not in row) == "check mode: nothing is changed"
    assert "  would change  app2  Slot green runs release 1.2.0" in rows
    assert re.fullmatch(r"done in \d+ s, 3 would change on 1 host", rows[-2])
    assert not re.search(r"\x1b\[[0-9;]*m", seen)


def test_a_run_that_is_interrupted_says_where_it_stopped(run: t.Callable[..., tuple[int, str]]) -> None:
    code, seen = run(terminal=True, interrupt_at=b"a line of the worker")
    assert code == 99
    *_before, error, last, empty = without_seconds(screen(seen, COLUMNS))
    assert (error, last, empty) == ("[ERROR]: User interrupted execution", "STOPPED after N s: Stage", "")


def test_verbose_is_what_ansible_prints(run: t.Callable[..., tuple[int, str]]) -> None:
    _code, seen = run("-v", "--limit", "app2")
    assert "PLAY RECAP" in seen
    assert "[3/4]" not in seen


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59.99, "59 s"), (60, "1 min 0 s"), (134, "2 min 14 s"), (3600, "1 h 0 min"), (3784, "1 h 3 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert words.seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("Stage", 5, "Stage"),
        ("Stages", 5, "Stag…"),
        ("Stage two", 7, "Stage…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("Stage", 1, "…"),
        ("Stage", 0, ""),
    ],
)
def test_a_cut_line_is_never_wider_than_the_terminal(text: str, width: int, shown: str) -> None:
    assert words.cut(text, width) == shown
    assert words.columns(shown) <= width


@pytest.mark.parametrize(
    ("title", "at_work", "width", "line"),
    [
        ("[3/9] Stage", "Gates pass", 60, "[3/9] Stage …  12 s  Gates pass"),
        ("[3/9] Stage", "", 60, "[3/9] Stage …  12 s"),
        ("[3/9] Stage", "Gates pass", 26, "[3/9] Stage …  12 s  Gate…"),
        ("[3/9] Move workers and scheduler", "Gates", 20, "[3/9] Move wo…  12 s"),
        ("[3/9] Stage", "Gates", 3, "…"),
    ],
)
def test_the_live_line_keeps_its_seconds(title: str, at_work: str, width: int, line: str) -> None:
    assert words.live_line(title, 12.7, at_work, width) == line


@pytest.mark.parametrize(
    ("started", "waiting", "tries", "text"),
    [
        ((), (), None, "Gates pass"),
        (("app1", "app2"), ("app1", "app2"), None, "Gates pass"),
        (("app1", "app2", "app10"), ("app10", "app2"), None, "app2, app10: Gates pass"),
        (("app1", "app2"), (), None, "Gates pass"),
        ("abcdef", "abcde", None, "a, b, c and 2 more: Gates pass"),
        ((), (), (2, 301), "try 2 of 301: Gates pass"),
    ],
)
def test_work_says_who_is_still_at_it(
    started: t.Collection[str], waiting: t.Collection[str], tries: tuple[int, int] | None, text: str
) -> None:
    assert words.work("Gates\npass", started, waiting, tries) == text


def test_a_name_cannot_move_the_cursor() -> None:
    assert words.heading(3, 9, "Stage\n\x1b[2J\rtwo") == "[3/9] Stage [2J two"


@pytest.mark.parametrize(
    ("told", "hosts", "lines"),
    [
        (words.Told(words.CHANGED, "Slot runs"), ["app2", "app1"], ["  changed  app1, app2  Slot runs"]),
        (words.Told(words.CHANGED, "Dirs", tuple("abcdefg")), ["x"], ["  changed  x  Dirs: a, b, c, d, e and 2 more"]),
        (words.Told(words.FAILED, "Gate", text="a\n\n  b"), ["app1"], ["  failed  app1  Gate", "    a", "", "      b"]),
        (words.Told(words.SAID, "Plan", text="a\n  b"), ["app1", "app2"], ["  a", "    b"]),
        (words.Told(words.SAID, "Plan", text="a"), ["app1"], ["  app1: a"]),
        (words.Told(words.SAID, "Plan", text="a\nb"), ["app1"], ["  app1:", "    a", "    b"]),
        (words.Told(words.SAID, "Plan", text=""), ["app1", "app2"], []),
    ],
)  # fmt: skip
def test_what_hosts_told(told: words.Told, hosts: list[str], lines: list[str]) -> None:
    assert words.told_lines(told, hosts, {"app1", "app2"}) == lines


def test_hosts_are_told_in_their_order_however_they_arrive() -> None:
    plan, gate = words.Told(words.CHANGED, "Plan"), words.Told(words.FAILED, "Gate")
    told = {gate: ["app10", "app2"], plan: ["app2", "app1"]}
    assert words.together(told) == [(plan, ["app1", "app2"]), (gate, ["app2", "app10"])]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"msg": "what\n  found: x\n"}, "what\n  found: x"),
        ({"msg": ["a", "b"]}, "a\nb"),
        ({"reason": "no such file"}, "no such file"),
        ({}, "It left no message."),
        ({"censored": "hidden", "msg": SECRET}, "What it said is hidden by no_log."),
        ({"msg": "rc 1", "stderr": "why\n", "stdout": "much"}, "rc 1\nstderr:\n  why"),
        ({"msg": "it said why", "stderr": "why"}, "it said why"),
        ({"msg": "rc 1", "invocation": {"module_args": SECRET}}, "rc 1"),
    ],
)
def test_the_text_of_a_failure(result: dict[str, t.Any], text: str) -> None:
    assert words.failure_text(result) == text


def test_of_a_long_output_the_last_lines_are_told() -> None:
    text = words.failure_text({"msg": "rc 1", "stdout": "\n".join(map(str, range(50)))})
    assert text.splitlines()[1:3] == ["stdout, the last 20 of 50 lines:", "  30"]
    assert text.endswith("  49")


@pytest.mark.parametrize(
    ("result", "label"),
    [
        ({"item": "one"}, "one"),
        ({"item": {"a": 1}, "_ansible_item_label": "short"}, "short"),
        ({"item": "x" * 99}, "x" * 59 + "…"),
        ({"item": SECRET, "_ansible_no_log": True}, ""),
        ({"item": SECRET, "censored": "hidden"}, ""),
    ],
)
def test_the_label_of_an_item(result: dict[str, t.Any], label: str) -> None:
    assert words.label(result) == label


@pytest.mark.parametrize(
    ("result", "paths"),
    [
        ({"paths": ["/etc/shop.conf", "/" + "x" * 99]}, ("/etc/shop.conf", "/" + "x" * 58 + "…")),
        ({"paths": ["/etc/shop.conf"], "censored": "hidden"}, ()),
        ({"paths": "what another module calls so"}, ()),
        ({}, ()),
    ],
)
def test_the_paths_of_a_task_that_names_them(result: dict[str, t.Any], paths: tuple[str, ...]) -> None:
    assert words.paths(result) == paths


def test_items_that_failed_alike_are_told_together() -> None:
    assert words.by_text([("lb1", "x"), ("lb2", "x"), ("lb3", "y"), ("", "z")]) == {
        "x": ("lb1", "lb2"),
        "y": ("lb3",),
        "z": (),
    }


def node(name: str, parent: t.Any = None, **sections: t.Any) -> t.Any:
    return types.SimpleNamespace(_uuid=name, _parent=parent, **sections)


def block(parent: t.Any = None, *, inside: t.Any = (), rescue: t.Any = (), name: str = "block") -> t.Any:
    return node(name, parent, block=[node(one) for one in inside], rescue=[node(one) for one in rescue])


@pytest.mark.parametrize(
    ("task", "rescued"),
    [
        (node("task"), False),
        (node("task", block(inside=["task"])), False),
        (node("task", block(inside=["task"], rescue=["mend"])), True),
        (node("mend", block(inside=["task"], rescue=["mend"])), False),
        (node("task", node("include", block(inside=["include"], rescue=["mend"]))), True),
        (node("task", node("include", block(inside=["other"], rescue=["include"]))), False),
        (node("mend", block(block(inside=["inner"], rescue=["x"]), inside=["a"], rescue=["mend"], name="inner")), True),
    ],
)
def test_a_failure_is_handled_where_a_block_around_it_has_a_rescue(task: t.Any, rescued: bool) -> None:
    assert words.is_rescued(task) is rescued


LOSS = words.Loss(words.FAILED, "Stage", "Gate")


@pytest.mark.parametrize(
    ("changed", "losses", "check_mode", "line"),
    [
        ({"app1": 2, "app2": 3, "lb1": 0}, {}, False, "done in 48 s, 5 changed on 2 hosts"),
        ({"app1": 1}, {}, True, "done in 48 s, 1 would change on 1 host"),
        ({"app1": 0}, {}, False, "done in 48 s, nothing changed"),
        ({"app1": 1}, {"app1": LOSS}, False, "FAILED after 48 s: Stage, app1"),
        ({}, {"a": LOSS, "b": words.Loss("x", "Plan", "y")}, False, "FAILED after 48 s: Stage, a; Plan, b"),
        ({}, dict.fromkeys("abcde", LOSS), False, "FAILED after 48 s: Stage, a, b, c and 2 more"),
    ],
)  # fmt: skip
def test_the_last_line(changed: dict[str, int], losses: dict[str, words.Loss], check_mode: bool, line: str) -> None:
    assert words.closing(48.2, changed, losses, check_mode=check_mode) == line


def test_the_live_line_makes_room_and_waits_for_an_answer() -> None:
    stream = io.StringIO()
    live = _live_line.LiveLine(stream, threading.RLock())
    live.start(stream)
    live.begin("[1/2] Plan")
    stream.write("Password: ")
    live.work("A task")  # the cursor stays where the answer is typed
    stream.write("typed\n")
    live.work("The next task")
    live.stop()
    live.work("Never seen")
    assert [row.rstrip() for row in screen(stream.getvalue(), 80)] == ["[1/2] Plan", "Password: typed", ""]
    assert "A task" not in stream.getvalue()
    assert "[1/2] Plan …  0 s  The next task" in stream.getvalue()


def test_numbers_of_gates_are_updated_in_place_and_a_verdict_that_changes_stays() -> None:
    stream = io.StringIO()
    live = _live_line.LiveLine(stream, threading.RLock())
    live.start(stream)
    live.begin("[6/9] Watch: bake")
    line = "  lb1  bake, 0:0{} of 0:10  users: {} ({} answers)\n"
    for number, verdict in enumerate(("no_data", "no_data", "inconclusive", "inconclusive", "pass", "pass")):
        stream.write(f"\x1b[0;34m{line.format(number, verdict, 10 * number)[:-1]}\x1b[0m\n")
    stream.write("  lb2  bake, 0:05 of 0:10  users: pass (7 answers)\n")
    stream.write("Something else\n")
    live.end()
    assert [row.rstrip() for row in screen(stream.getvalue(), 80)] == [
        "[6/9] Watch: bake",
        "  lb1  bake, 0:00 of 0:10  users: no_data (0 answers)",
        "  lb1  bake, 0:02 of 0:10  users: inconclusive (20 answers)",
        "  lb1  bake, 0:04 of 0:10  users: pass (40 answers)",
        "  lb2  bake, 0:05 of 0:10  users: pass (7 answers)",
        "Something else",
        "",
    ]
    assert "[6/9] Watch: bake …  0 s  lb1  bake, 0:05 of 0:10  users: pass (50 answers)" in stream.getvalue()
