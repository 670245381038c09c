# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on what HTTP answers: one look asks each target many times, some requests at the same time. PRIVATE.

Every request opens a connection of its own: through a kept one the load balancer would always ask the same instance,
and nobody would notice that no new one can be opened.
"""

from __future__ import annotations

import array
import collections
import itertools
import threading
import time
import typing as t

from .assertion import BodyAssertion
from .gate import GRACE
from .http_check import HttpCheck, merge_headers, tls_context
from .look import Look, Sampler, broken, nothing
from .masking import Masking, secrets_in
from .measured import judge
from .specification import GateSpecification
from .statistics import percentile
from .verdict import BAD, BROKEN, CUT, ERROR, FAIL, GOOD, INCONCLUSIVE, NO_DATA, PASS, Sample, combine

_MAXIMUM_ANSWERS = 5  # lines
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class _Target(t.NamedTuple):
    name: str
    check: HttpCheck


class _Request(t.NamedTuple):
    """To which target, by its number; *allowed*: seconds; *cut*: the look leaves less than the timeout of the gate."""

    target: int
    allowed: float
    cut: bool


def sampler(gate: GateSpecification, targets: t.Sequence[tuple[str, str]]) -> Sampler:
    """Returns what looks for *gate* of type http at *targets*: (name, complete URL) of each.

    A look passes when every answer was good and the last ``consecutive`` ones of each target were, earlier looks
    included; or, with a limit on error_share, when that is kept and each target gave a good one. Limits on p50, p95
    and p99 are about the answers of this look, each from the connecting to its last byte.
    Raises BadInput for what can never be asked.
    """
    fields = gate.fields
    headers = merge_headers(fields["headers"], fields["secret_headers"])
    tls = any(url.startswith("https:") for _name, url in targets)
    options: dict[str, t.Any] = {
        "method": fields["method"],
        # An instance is asked by its address, but its certificate is about the name that users ask for.
        "host_header": next((value for name, value in headers.items() if name.lower() == "host"), None),
        "headers": {name: value for name, value in headers.items() if name.lower() != "host"},
        "status": [int(status) for status in fields["status"]],
        "body": BodyAssertion(*fields["json"]) if fields["json"] else None,
        "text": fields["text"],
        "whole": True,
        "content": fields["secret_body"] or fields["body"],
        "context": tls_context(validate=fields["validate_certs"], ca_path=fields["ca_path"]) if tls else None,
        "hide": Masking([*fields["secret_headers"].values(), *secrets_in(fields["secret_body"] or "")]),
    }
    return _HttpSampler(gate, [_Target(name, HttpCheck(url, **options)) for name, url in targets])


class _HttpSampler:
    """Keeps between looks how many answers of each target were good in a row."""

    def __init__(self, gate: GateSpecification, targets: t.Sequence[_Target]) -> None:
        self._gate = gate
        self._targets = targets
        self._runs = [0] * len(targets)

    def __call__(self, allowed: float) -> Look:
        if not self._targets:
            return nothing("there is no target to ask")
        tally = _Tally(self._targets, self._runs)
        try:
            _Round(self._gate, self._targets, tally, allowed).run()
        except RuntimeError as error:  # the host has no thread left
            return broken(f"the requests could not be sent: {error}")
        self._runs = tally.runs
        return _conclude(self._gate, tally)


class _Tally:
    """Counts the answers of one look in the order in which they come, in the same memory however many they are."""

    def __init__(self, targets: t.Sequence[_Target], runs: t.Sequence[int]) -> None:
        self.names = [target.name for target in targets]
        self._targets = targets
        self.runs = list(runs)
        self.answered = [0] * len(targets)  # good or bad ones, of each target
        self.went_well = [0] * len(targets)  # good ones, of each target
        self.good = self.bad = self.cut = 0
        self.latencies = array.array("d")  # ms, of answers that came
        self.problem = ""  # the first one
        self.broken = ""  # why the first request that was no request could not be one
        self.newest: collections.deque[str] = collections.deque(maxlen=_MAXIMUM_ANSWERS)

    def add(self, number: int, sample: Sample) -> None:
        """Counts a *sample* of the target with this *number*."""
        if sample.latency is not None:
            self.latencies.append(sample.latency)
        if sample.outcome == CUT:
            self.cut += 1
        elif sample.outcome == BROKEN:
            self.broken = self.broken or f"{self.names[number]}: {sample.problem}"
        elif sample.outcome == GOOD:
            self.good += 1
            self.went_well[number] += 1
            self.answered[number] += 1
            self.runs[number] += 1
        else:
            self.bad += 1
            self.answered[number] += 1
            self.runs[number] = 0
            self.problem = self.problem or f"{self.names[number]}: {sample.problem}"
            self.newest.append(_line(self._targets[number], sample))


def _line(target: _Target, sample: Sample) -> str:
    """Returns what a bad answer was: ``web-1 GET http://10.0.0.1/ready: 503, Retry-After: 5, body: …``."""
    check = target.check
    asked = f"{target.name} {check.method} {check.url}"
    if sample.status is None:
        return f"{asked}: {sample.problem}"
    # What is wrong with a status is the status; of any other answer it must be said.
    problem = [str(sample.problem)] if check.is_good(sample.status) else []
    parts = [str(sample.status), *problem, *sample.headers, f"body: {sample.body or '(empty)'}"]
    return f"{asked}: {', '.join(parts)}"


class _Round:
    """The requests of one look, which a few threads take one after another.

    A thread that does not come back in time (the host's resolver knows no deadline) is left behind, and what it brings
    later is not counted.
    """

    def __init__(self, gate: GateSpecification, targets: t.Sequence[_Target], tally: _Tally, allowed: float) -> None:
        self._targets = targets
        self._tally = tally
        self._timeout = float(gate.fields["timeout"])
        self._allowed = allowed
        self._ends = time.monotonic() + allowed
        samples = int(gate.fields["samples"])
        self._interval = float(gate.fields["sample_interval"])
        self._begun = time.monotonic()
        self._taken = 0
        self._known: set[int] = set()  # threads that have asked
        self._closed = threading.Event()
        self._waiting = itertools.cycle(range(len(targets)))
        self._left = samples * len(targets)
        self._threads = max(1, min(int(gate.fields["concurrency"]), self._left))
        self._lock = threading.Lock()
        self._asked: dict[int, _Request] = {}  # what is under way, by thread
        self._over = False

    def run(self) -> None:
        """Returns when all is counted, at the latest GRACE seconds after the look is over."""
        threads = [threading.Thread(target=self._work, daemon=True) for _number in range(self._threads)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(0.0, self._ends + GRACE - time.monotonic()))
        finally:
            self._close()

    def _work(self) -> None:
        while (request := self._take()) is not None:
            self._count(self._ask(request))

    def _count(self, sample: Sample) -> None:
        """Counts the *sample*, the answer to the request of this thread, unless the look is over."""
        with self._lock:
            asked = self._asked.pop(threading.get_ident(), None)
            if asked is not None and not self._over:
                self._tally.add(asked.target, sample)

    def _take(self) -> _Request | None:
        """Returns the next request when it is its time, None when all is done.

        Each sample is asked of all targets, the interval after the one before.
        """
        while True:
            with self._lock:
                now = time.monotonic()
                left = self._ends - now
                if self._over or left <= 0 or not self._left:
                    return None
                early = self._begun + self._interval * (self._taken // len(self._targets)) - now
                if early <= 0:
                    return self._next(left)
            self._closed.wait(min(early, left))

    def _next(self, left: float) -> _Request:
        """The caller holds the lock."""
        thread = threading.get_ident()
        self._left -= 1
        self._taken += 1
        # What is asked at the beginning of a look as long as the timeout is not cut off: its silence must be bad.
        cut = left < self._timeout and not (thread not in self._known and self._allowed >= self._timeout)
        self._known.add(thread)
        self._asked[thread] = _Request(next(self._waiting), min(self._timeout, left), cut)
        return self._asked[thread]

    def _ask(self, request: _Request) -> Sample:
        try:
            return self._targets[request.target].check(request.allowed, cut=request.cut)
        except Exception as error:  # whatever it is, it must become a verdict and not a silent thread
            return Sample(BROKEN, problem=f"the sampler broke: {type(error).__name__}: {error}")

    def _close(self) -> None:
        """Counts what was not asked, and what has had its time and is still under way."""
        with self._lock:
            self._over = True
            self._closed.set()
            self._tally.cut += self._left
            for request in self._asked.values():
                sample = Sample(CUT if request.cut else BAD, problem=f"no answer within {request.allowed:.3g} s")
                self._tally.add(request.target, sample)


def _conclude(gate: GateSpecification, tally: _Tally) -> Look:
    """Returns the look that *tally* amounts to. A target of which nothing is known is never a pass."""
    samples = tally.good + tally.bad
    judged = judge(gate, _values(tally, samples), samples)
    verdicts = [judged.verdict]
    words = [f"{tally.good} of {samples} answers good"] if samples else []
    if tally.cut:
        words.append(f"{tally.cut} of {samples + tally.cut} requests cut off by the deadline")
    silent = [name for name, count in zip(tally.names, tally.answered) if not count]
    if silent:
        verdicts.append(NO_DATA)
        words.append(f"nothing known of {', '.join(silent)}")
    verdict, missing = _dead(tally) if "error_share" in gate.at_most else _in_a_row(tally, gate.fields["consecutive"])
    verdicts.append(verdict)
    words += missing
    words += judged.words
    if tally.broken:
        verdicts.append(ERROR)
    words += filter(None, (tally.problem, tally.broken))
    return Look(combine(verdicts), words, list(tally.newest))


def _dead(tally: _Tally) -> tuple[str, list[str]]:
    """Returns the verdict on targets that never answer well: no share of all answers makes up for one of them."""
    dead = [name for name, count, good in zip(tally.names, tally.answered, tally.went_well) if count and not good]
    return (FAIL, [f"no good answer of {', '.join(dead)}"]) if dead else (PASS, [])


def _in_a_row(tally: _Tally, wanted: float) -> tuple[str, list[str]]:
    """Returns the verdict of a gate for which every answer must be good, and what is missing of *wanted* in a row."""
    run, name = min(zip(tally.runs, tally.names))
    words = [f"{name}: {run} of {wanted:g} good in a row"] if run < wanted else []
    if tally.bad:
        return FAIL, words
    return INCONCLUSIVE if words else PASS, words


def _values(tally: _Tally, samples: int) -> dict[str, float | None]:
    """Returns what is measured by the names of the limits: shares of 1, and seconds."""
    values: dict[str, float | None] = {"error_share": tally.bad / samples if samples else None}
    for name, share in _PERCENTILES.items():
        found = percentile(tally.latencies, share)
        values[name] = None if found is None else found / 1000
    return values
