# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on a program: its exit code, and numbers in the JSON that it writes. PRIVATE."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import threading
import time
import typing as t

from . import measured
from .assertion import short
from .bounded import one_line
from .http_check import MAXIMUM_BODY, excerpt
from .look import Look, broken
from .specification import GateSpecification
from .verdict import FAIL

try:
    import jmespath
    from jmespath import exceptions as jmespath_errors
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True

_STEP = 0.1  # s, after which an end or a stop is noticed at the latest
_GRACE = 0.5  # s that a program has to end by itself, and then for what it had already written
_LINES = 20  # of its output, for a person
_END = 16 * 1024  # bytes that these lines are looked for in
_PIECE = 64 * 1024  # bytes that are read at once


def sampler(gate: GateSpecification, environment: t.Mapping[str, str] | None = None) -> CommandSampler:
    """Returns what runs the command of *gate*, on this host and as this user, with *environment* beside its own."""
    return CommandSampler(gate, environment or {})


class CommandSampler:
    """Runs a program once for each look. stop() is for another thread: a load test must not outlive its rollout."""

    def __init__(self, gate: GateSpecification, environment: t.Mapping[str, str]) -> None:
        self._gate = gate
        self._environment = {**os.environ, **environment}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends what runs now, within 2 s, and lets nothing begin any more."""
        self._stopped.set()

    def __call__(self, allowed: float) -> Look:
        """Runs the program for at most *allowed* seconds; comes back at the latest 2 s after them."""
        command, seconds = self._gate.fields["command"], min(allowed, self._gate.fields["timeout"])
        program = short(one_line(command[0]))  # the arguments may hold a secret
        expressions, problem = _compiled(self._gate.fields["values"] or {})
        if problem:
            return broken(problem)
        try:
            ended = _run(command, self._environment, time.monotonic() + seconds, self._stopped)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            return broken(f"{program} cannot be started: {reason}")
        if ended.code is None:
            what = "was stopped" if self._stopped.is_set() else f"did not end within {seconds:.3g} s and was killed"
            return broken(f"{program} {what}", ended.lines())
        if ended.code < 0:
            return broken(f"{program} was killed by signal {-ended.code}", ended.lines())
        if ended.code:
            return Look(FAIL, [f"exit code {ended.code}, expected 0"], ended.lines())
        return self._judge(expressions, ended)

    def _judge(self, expressions: t.Mapping[str, t.Any], ended: _Ended) -> Look:
        document = None
        if expressions:
            if ended.output.length > MAXIMUM_BODY:
                return broken(f"the output is larger than {MAXIMUM_BODY} bytes", ended.lines())
            try:
                document = json.loads(ended.output.beginning)
            except (ValueError, RecursionError):
                return broken(f"the output is not JSON: {excerpt(bytes(ended.output.beginning))}", ended.lines())
        seen = {name: _number(expression, document) for name, expression in expressions.items()}
        judged = measured.judge(self._gate, seen, 1)
        return Look(judged.verdict, ["exit code 0", *judged.words])


def _compiled(values: t.Mapping[str, str]) -> tuple[dict[str, t.Any], str | None]:
    """Returns the expressions of *values*, and what is wrong: known before a load test has run for minutes."""
    if values and not HAS_JMESPATH:
        return {}, "the Python library jmespath is missing on this host: install python3-jmespath"
    found = {}
    for name, expression in values.items():
        try:
            found[name] = jmespath.compile(expression)
        except jmespath_errors.JMESPathError as error:
            return {}, f"the value {name} is no JMESPath expression: {one_line(error)}"
    return found, None


def _number(expression: t.Any, document: t.Any) -> float | None:
    """Returns the number that *expression* finds, None when there is none."""
    try:
        found = expression.search(document)
        number = float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else math.nan
    except (jmespath_errors.JMESPathError, OverflowError, RecursionError):
        return None
    return number if math.isfinite(number) else None


class _Kept:
    """The beginning of an output, for what it says, and its end, for a person. What lies between is let go."""

    def __init__(self) -> None:
        self.beginning = bytearray()
        self.end = b""
        self.length = 0

    def add(self, piece: bytes) -> None:
        self.beginning += piece[: MAXIMUM_BODY - len(self.beginning)]
        self.end = (self.end + piece)[-_END:]
        self.length += len(piece)

    def lines(self) -> list[str]:
        return list(filter(None, map(excerpt, self.end.splitlines())))[-_LINES:]


class _Ended(t.NamedTuple):
    """How a program ended (*code* is None when it had to be made to), and what it wrote."""

    code: int | None
    output: _Kept
    error: _Kept

    def lines(self) -> list[str]:
        return self.error.lines() or self.output.lines()


def _run(command: t.Sequence[str], environment: t.Mapping[str, str], ends: float, stopped: threading.Event) -> _Ended:
    """Runs *command* in a session of its own, of which nothing is left in the end: children do not outlive it."""
    kept = _Kept(), _Kept()
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for stream, keep in zip((process.stdout, process.stderr), kept):
            selector.register(stack.enter_context(t.cast(t.IO[bytes], stream)), selectors.EVENT_READ, keep)
        try:
            while not (ended := _has_ended(process)) and time.monotonic() < ends and not stopped.is_set():
                _read(selector)
            if not ended:
                _signal(process, signal.SIGTERM)
                _read_on(selector, lambda: not _has_ended(process))
        finally:
            _signal(process, signal.SIGKILL)
        _read_on(selector, lambda: bool(selector.get_map()))
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel may hold it, in a read of a dead disk
            process.wait(_GRACE)
    return _Ended(process.returncode if ended else None, *kept)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Leaves it unreaped: until then its number, and with it that of its group, is given to nobody else."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _read(selector: selectors.BaseSelector) -> None:
    for key, _events in selector.select(_STEP):
        piece = os.read(key.fd, _PIECE)
        if piece:
            key.data.add(piece)
        else:
            selector.unregister(key.fileobj)


def _read_on(selector: selectors.BaseSelector, wanted: t.Callable[[], bool]) -> None:
    until = time.monotonic() + _GRACE
    while wanted() and time.monotonic() < until:
        _read(selector)
