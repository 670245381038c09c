# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates on a query of Prometheus: every number that it gives must keep the limits. PRIVATE."""

from __future__ import annotations

import base64
import functools
import json
import math
import time
import typing as t
from urllib.parse import urlencode

from . import measured
from .assertion import BodyAssertion, short
from .bounded import Bounded, one_line
from .http_check import HttpCheck, excerpt, tls_context
from .look import Look, Sampler, broken, nothing
from .masking import Hide, Masking
from .specification import GateSpecification
from .verdict import GOOD, NO_DATA, combine

#: With these Prometheus says in JSON what it found, or why it cannot: https://prometheus.io/docs/prometheus/latest/querying/api
_STATUSES = (200, 400, 422, 503)
_POINTS = 60  # of a range; no step is shorter than 1 s


class _Point(t.NamedTuple):
    """One number, and the labels of the series that it is of."""

    value: float
    labels: t.Mapping[str, str]


def sampler(gate: GateSpecification) -> Sampler:
    """Returns what asks the query of *gate*: with a range for that many seconds up to now, else for now."""
    return Bounded(functools.partial(_look, gate), gate.fields["timeout"])


def check(gate: GateSpecification) -> None:
    """Raises BadInput for an address that can never be asked, and for an unusable file of authorities."""
    _question(gate, _Reply(), 1.0)


def _look(gate: GateSpecification, allowed: float) -> Look:
    reply = _Reply()
    sample = _question(gate, reply, allowed)(allowed)
    if sample.outcome != GOOD:
        return broken(str(sample.problem), [sample.body] if sample.body else ())
    return _judge(gate, reply.points)


def _question(gate: GateSpecification, reply: _Reply, allowed: float) -> HttpCheck:
    """Raises what check() raises."""
    url, user, password = (gate.fields[key] for key in ("url", "user", "secret_password"))
    headers, secrets = {}, []
    if user is not None:
        token = base64.b64encode(f"{user}:{password or ''}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {token}"
        secrets = [password or "", token]
    context = None
    if url.startswith("https:"):
        context = tls_context(validate=gate.fields["validate_certs"], ca_path=gate.fields["ca_path"])
    return HttpCheck(
        f"{url.rstrip('/')}/api/v1/{_call(gate, allowed)}",
        headers=headers,
        status=_STATUSES,
        body=t.cast(BodyAssertion, reply),
        context=context,
        hide=Masking(secrets),
    )


def _call(gate: GateSpecification, allowed: float) -> str:
    # What nobody waits for any more must not go on there.
    asked = {"query": gate.fields["query"], "timeout": f"{allowed:.3f}"}
    seconds = gate.fields["range"]
    if not seconds:
        return f"query?{urlencode(asked)}"
    now = time.time()
    times = {"start": now - seconds, "end": now, "step": max(seconds / _POINTS, 1.0)}
    return f"query_range?{urlencode({**asked, **{key: f'{value:.3f}' for key, value in times.items()}})}"


class _Reply:
    """Reads the body of an answer; *points* has the numbers in it when there was no problem."""

    def __init__(self) -> None:
        self.points: list[_Point] = []

    def problem(self, body: bytes, hide: Hide = str) -> str | None:
        """Returns why *body* tells no numbers, None when it does."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return f"the answer is not JSON: {excerpt(body, hide)}"
        try:
            if answer["status"] == "error":
                return f"{one_line(answer['errorType'], hide)}: {one_line(answer['error'], hide)}"
            self.points = list(_points(answer["data"]))
        except (AttributeError, LookupError, TypeError, ValueError):
            return f"the answer has no numbers of Prometheus: {excerpt(body, hide)}"
        return None


def _points(answered: t.Any) -> t.Iterator[_Point]:
    """Raises one of several exceptions for what is no answer of Prometheus, or has no numbers, such as a histogram."""
    kind, result = answered["resultType"], answered["result"]
    if kind == "scalar":
        yield _Point(float(result[1]), {})
        return
    if kind not in ("vector", "matrix"):
        raise ValueError(kind)
    for series in result:
        for _moment, value in series["values"] if kind == "matrix" else [series["value"]]:
            yield _Point(float(value), dict(series["metric"]))


def _judge(gate: GateSpecification, points: t.Sequence[_Point]) -> Look:
    """One number outside of the limits is enough; one that is none (NaN) proves nothing, and nothing is no pass."""
    numbers = [point for point in points if not math.isnan(point.value)]
    if not numbers:
        return nothing("the query gave only NaN" if points else "the query found nothing")
    verdicts, words = [], []
    for side, worst in _sides(gate, numbers):
        judged = measured.judge(side, {"value": worst.value}, len(numbers))
        verdicts.append(judged.verdict)
        words += [*judged.words, *_shown(worst.labels)]
    if len(numbers) < len(points):
        verdicts.append(NO_DATA)
        words.append(f"{len(points) - len(numbers)} of {len(points)} numbers are NaN")
    return Look(combine(verdicts), list(dict.fromkeys(words)))


def _sides(gate: GateSpecification, numbers: t.Sequence[_Point]) -> t.Iterator[tuple[GateSpecification, _Point]]:
    """Yields each side of the limits with the number that is the worst for it."""
    if gate.at_most:
        yield gate._replace(at_least={}), max(numbers, key=_value)
    if gate.at_least:
        yield gate._replace(at_most={}), min(numbers, key=_value)


def _value(point: _Point) -> float:
    return point.value


def _shown(labels: t.Mapping[str, str]) -> list[str]:
    told = ", ".join(f"{name}={value}" for name, value in labels.items())
    return [f"worst of {short(one_line(told))}"] if told else []
