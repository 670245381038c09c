# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback progress: a line for each play, what changed and what failed under it, and nothing else."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: Calm screen output, a line for each play
version_added: "0.1.0"
description:
  - Prints a line when a play begins and when it ends, with the seconds that it took. Under it stand the tasks that
    changed something, messages of M(ansible.builtin.debug), warnings, and failures with their message as text.
    Tasks that changed nothing and hosts where all was well are not mentioned.
  - On a terminal the line of the play is updated in place with the running seconds and the task at work. Elsewhere
    (a pipe, CI, AWX, C(TERM=dumb)) only whole lines are printed.
  - With C(-v) and more, with C(--step) and with the task debugger, everything is printed as the callback
    P(ansible.builtin.default#callback) prints it; only then do the options of that callback have an effect.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

import atexit
import collections
import dataclasses
import functools
import os
import sys
import textwrap
import threading
import time
import typing as t

from ansible import constants, context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _progress as words
from ansible_collections.vitalops.rollout.plugins.plugin_utils._live_line import LiveLine

DEBUG_ACTIONS = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
COLORS = {
    words.CHANGED: "COLOR_CHANGED",
    words.WOULD_CHANGE: "COLOR_CHANGED",
    words.FAILED: "COLOR_ERROR",
    words.FAILED_HANDLED: "COLOR_WARN",
    words.FAILED_IGNORED: "COLOR_WARN",
    words.UNREACHABLE: "COLOR_UNREACHABLE",
    words.UNREACHABLE_IGNORED: "COLOR_WARN",
    words.DONE: "COLOR_OK",
    words.SKIPPED: "COLOR_SKIP",
}


@dataclasses.dataclass
class Phase:
    """A play at work."""

    play: str
    name: str
    title: str
    since: float
    took_part: bool = False
    failed: bool = False


def _name(task: t.Any) -> str:
    # Without the role: the name says what becomes true, wherever it is written.
    return str(task.name or task.get_name())


def calm(method: t.Callable[..., None]) -> t.Callable[..., None]:
    """What *method* says in few words; with -v, the default callback speaks instead."""

    @functools.wraps(method)
    def spoken(self: CallbackModule, *arguments: t.Any, **named: t.Any) -> None:
        if self._in_full:
            getattr(super(CallbackModule, self), method.__name__)(*arguments, **named)
        else:
            method(self, *arguments, **named)

    return spoken


class CallbackModule(DefaultCallback):  # type: ignore[misc] # ansible-core has no types
    """What Ansible asks for."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "vitalops.rollout.progress"

    def __init__(self) -> None:
        super().__init__()
        # Who steps through tasks, or stops in the debugger, is asked in the middle of it: no line may move then.
        self._in_full = bool(
            self._display.verbosity or context.CLIARGS.get("step") or getattr(constants, "ENABLE_TASK_DEBUGGER", False)
        )
        self._live: LiveLine | None = None
        self._since: float | None = None
        self._numbers: dict[str, int] = {}
        self._phase: Phase | None = None
        self._changed: collections.Counter[str] = collections.Counter()
        self._losses: dict[str, words.Loss] = {}
        # Of the task at work. What hosts tell is kept until the next task begins, so that they can tell it together.
        self._task = self._task_name = ""
        self._started: set[str] = set()
        self._waiting: set[str] = set()
        # Of each host, until its task tells how it ended.
        self._differences: dict[str, str] = {}
        self._items_changed: dict[str, list[str]] = {}
        self._items_failed: dict[str, list[tuple[str, str]]] = {}
        self._told: dict[words.Told, list[str]] = {}
        self._tries_told: set[str] = set()

    # The run

    @calm
    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        first = not self._numbers
        self._numbers = {play._uuid: number for number, play in enumerate(playbook.get_plays(), 1)}
        self._since = time.monotonic()
        self._changed.clear()
        self._losses.clear()
        if self._is_terminal():
            self._live = LiveLine(sys.stdout, getattr(self._display, "_lock", None) or threading.RLock())
            self._live.start(*(stream for stream in (sys.stdout, sys.stderr) if stream.isatty()))
        elif hasattr(sys.stdout, "reconfigure"):
            # A line in a pipe is seen when it is said, not after the next eight kilobytes, and in order with warnings.
            sys.stdout.reconfigure(line_buffering=True)
        if not first:
            return
        # Ctrl-C, or an error in Ansible itself, ends the run without another callback.
        atexit.register(self._stopped, os.getpid())
        if context.CLIARGS.get("check"):
            self._display.display("check mode: nothing is changed")

    @calm
    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._end_phase()
        self._stop_live()
        lost = [host for host in words.in_order(stats.processed) if stats.failures.get(host) or stats.dark.get(host)]
        unknown = words.Loss(words.FAILED, "an earlier play", "its message is above")
        losses = {host: self._losses.get(host, unknown) for host in lost}
        for host, loss in losses.items():
            self._display.display(words.loss_line(host, loss), color=constants.COLOR_ERROR)
        seconds = time.monotonic() - (self._since or time.monotonic())
        check_mode = bool(context.CLIARGS.get("check"))
        self._display.display(
            words.closing(seconds, self._changed, losses, check_mode=check_mode),
            color=constants.COLOR_ERROR if losses else constants.COLOR_OK,
        )
        self._since = None

    def _stopped(self, process: int) -> None:
        if self._since is None or os.getpid() != process:
            return
        self._flush()
        self._stop_live()
        seconds = time.monotonic() - self._since
        line = words.stopped(seconds, self._phase.name if self._phase else "")
        self._display.display(line, color=constants.COLOR_ERROR)
        sys.stdout.flush()

    def _stop_live(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    @staticmethod
    def _is_terminal() -> bool:
        # AWX runs Ansible in a pseudo terminal, and keeps every byte.
        unfit = "AWX_ISOLATED_DATA_DIR" in os.environ or os.environ.get("TERM", "dumb") in ("", "dumb")
        return sys.stdout.isatty() and not unfit

    # Phases

    @calm
    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._play = play  # the default callback reads it
        if self._phase and self._phase.play == play._uuid:
            self._flush()  # the next batch of the same play
            return
        self._end_phase()
        number = self._numbers.setdefault(play._uuid, len(self._numbers) + 1)
        name = play.get_name().strip()
        title = words.heading(number, len(self._numbers), name)
        self._phase = Phase(play._uuid, name, title, time.monotonic())
        # On a terminal the title is printed once something stands under it; a log has it in any case.
        self._display.display(title, log_only=bool(self._live))
        if self._live:
            self._live.begin(title)

    @calm
    def v2_playbook_on_vars_prompt(self, *_arguments: t.Any, **_named: t.Any) -> None:
        self._end_phase()

    @calm
    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._flush()

    @calm
    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._flush()

    def _end_phase(self) -> None:
        self._flush()
        if not self._phase:
            return
        outcome = words.FAILED if self._phase.failed else words.DONE if self._phase.took_part else words.SKIPPED
        if self._live:
            self._live.end()
        line = words.ending(self._phase.title, outcome, time.monotonic() - self._phase.since)
        self._display.display(line, color=self._color(outcome))
        self._phase = None

    # Tasks

    @calm
    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._begin_task(task)

    @calm
    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self._begin_task(task)

    @calm
    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        if task._uuid != self._task:
            self._begin_task(task)
        self._started.add(host.get_name())
        self._waiting.add(host.get_name())

    @calm
    def v2_runner_retry(self, result: t.Any) -> None:
        tried, tries = result.result.get("attempts", 0), result.result.get("retries", 0)
        if self._live:
            self._live.work(words.work(_name(result.task), (), (), (tried + 1, tries)))
        elif result.task._uuid not in self._tries_told:
            self._tries_told.add(result.task._uuid)
            self._display.display(words.tries_again(_name(result.task)), color=constants.COLOR_SKIP)

    @calm
    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        self._flush()

    @calm
    def v2_runner_on_async_poll(self, result: t.Any) -> None:
        """The task at work says enough."""

    @calm
    def v2_runner_on_async_ok(self, result: t.Any) -> None:
        """The task itself tells."""

    @calm
    def v2_runner_on_async_failed(self, result: t.Any) -> None:
        """The task itself tells."""

    @calm
    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._handle_warnings(result.result)
        if result.result.get("changed"):
            self._items_changed.setdefault(result.host.get_name(), []).append(words.label(result.result))

    @calm
    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._handle_warnings(result.result)
        failed = (words.label(result.result), words.failure_text(result.result))
        self._items_failed.setdefault(result.host.get_name(), []).append(failed)

    @calm
    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._handle_warnings(result.result)

    @calm
    def v2_on_file_diff(self, result: t.Any) -> None:
        # A task can ask for its difference for its own use; people get it when they ask for it.
        host, difference = result.host.get_name(), result.result.get("diff")
        if context.CLIARGS.get("diff") and difference and result.result.get("changed"):
            self._differences[host] = self._differences.get(host, "") + self._get_diff(difference)

    @calm
    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._arrived(result)

    @calm
    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._arrived(result, took_part=True)
        if isinstance(result.task, TaskInclude):
            return
        changed = bool(result.result.get("changed"))
        self._changed[result.host.get_name()] += changed
        if result.task.action in DEBUG_ACTIONS:
            self._tell(result, words.Told(words.SAID, _name(result.task), text=self._debug_text(result)))
        elif changed:
            self._tell_changes(result)

    @calm
    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._arrived(result, took_part=True)
        if result.host.get_name() in self._items_changed:
            self._tell_changes(result)
        handled = words.is_rescued(result.task)
        state = words.FAILED_IGNORED if ignore_errors else words.FAILED_HANDLED if handled else words.FAILED
        self._tell_failures(result, state)

    @calm
    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._arrived(result, took_part=True)
        self._tell_failures(result, words.UNREACHABLE_IGNORED if result.task.ignore_unreachable else words.UNREACHABLE)

    def _begin_task(self, task: t.Any) -> None:
        self._flush()
        self._task, self._task_name = task._uuid, _name(task)
        self._started.clear()
        self._waiting.clear()
        self._show_work()

    def _arrived(self, result: t.Any, *, took_part: bool = False) -> None:
        if result.task._uuid != self._task:
            self._begin_task(result.task)  # hosts of another strategy are not at the same task
        self._waiting.discard(result.host.get_name())
        self._show_work()
        if took_part and self._phase:
            self._phase.took_part = True
        self._handle_warnings(result.result)

    def _show_work(self) -> None:
        if self._live:
            self._live.work(words.work(self._task_name, self._started, self._waiting))

    def _tell_changes(self, result: t.Any) -> None:
        host = result.host.get_name()
        labels = tuple(one for one in self._items_changed.pop(host, []) if one) or words.paths(result.result)
        state = words.WOULD_CHANGE if result.task.check_mode else words.CHANGED
        self._tell(result, words.Told(state, _name(result.task), labels, difference=self._differences.pop(host, "")))

    def _tell_failures(self, result: t.Any, state: str) -> None:
        failed = self._items_failed.pop(result.host.get_name(), None) or [("", words.failure_text(result.result))]
        for text, labels in words.by_text(failed).items():
            self._tell(result, words.Told(state, _name(result.task), labels, text))
        if not self._phase or state in (words.FAILED_IGNORED, words.UNREACHABLE_IGNORED):
            return
        # A rescue may fail in its turn: the last failure of a host is the one that counts, if the host is lost.
        word = words.UNREACHABLE if state == words.UNREACHABLE else words.FAILED
        self._losses[result.host.get_name()] = words.Loss(word, self._phase.name, _name(result.task))
        self._phase.failed = self._phase.failed or state != words.FAILED_HANDLED

    def _debug_text(self, result: t.Any) -> str:
        found = words.items(result.result) or [result.result]
        return "\n".join(self._debug_item_text(one, result.task.action) for one in found)

    def _debug_item_text(self, result: t.Any, action: str) -> str:
        if "censored" in result:
            return "The message is hidden by no_log."
        message = result.get("msg")
        nested = [one for one in [message, *(message if isinstance(message, list) else [])] if isinstance(one, dict)]
        if message is not None and not nested:
            return words.plain_text(message)
        self._clean_results(result, action)
        return textwrap.dedent(self._dump_results(result).strip("\n"))

    def _tell(self, result: t.Any, told: words.Told) -> None:
        host, other = result.host.get_name(), result.task.delegate_to
        # In a loop, the items say on which host it is.
        if other and other != host and not result.task.loop and told.state != words.SAID:
            host = f"{host} -> {other}"
        self._told.setdefault(told, []).append(host)

    def _flush(self) -> None:
        told, self._told = self._told, {}
        for one, hosts in words.together(told):
            # A long reason is read better in the colour of all text.
            color = self._color(one.state)
            for line in words.told_lines(one, hosts, self._started):
                self._display.display(line, color=color)
                color = None
            if one.difference:
                self._display.display(one.difference.rstrip("\n"))

    @staticmethod
    def _color(state: str) -> str | None:
        return str(getattr(constants, COLORS[state])) if state in COLORS else None
