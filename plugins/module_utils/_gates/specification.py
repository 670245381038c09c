# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one format of gates, whatever they look at: read, checked and told before anything starts. Pure. PRIVATE.

Every problem of a description is told at once, with the place where it stands.
"""

from __future__ import annotations

import difflib
import math
import re
import typing as t

from .._foundation.errors import BadInput
from . import quantity
from .assertion import HAS_JMESPATH, BodyAssertion
from .decision import EXTEND, POLICIES, AtMost
from .quantity import COUNT, DURATION, GROWTH, RATE, SHARE, SIZE

PHASES = ("before_switch", "during_shift", "bake", "after_roll_back")
TEXT, FLAG, WORDS, TEXTS, STATUSES, NUMBER = (
    *("text", "flag", "words by name", "list of texts", "list of statuses", "number"),
)
EXPRESSIONS, VALUES = "list of JMESPath expressions", "JMESPath expressions by name"


class Field(t.NamedTuple):
    """What a field holds: a kind (of quantity, or one of those above), and its default; None: it may be left out."""

    kind: str
    default: t.Any = None
    choices: t.Sequence[str] = ()
    required: bool = False


class Type(t.NamedTuple):
    """A type of gate: its own fields, the limits that it knows by name with their kinds, and groups of fields.

    Of each group in *one_of* exactly one field is told; *needs* says which field another one, or a limit, cannot do
    without. *relative*: limits on how much worse than the live slot it may be. *judged_by*: with this field an answer
    can be wrong without any limit. *single*: a look is one sample, and more will never be there. *once*: there is
    one look, and what counts or spaces looks has no meaning. *min_samples*: what a pass needs by default.
    """

    fields: t.Mapping[str, Field]
    at_most: t.Mapping[str, str] = {}
    at_least: t.Mapping[str, str] = {}
    relative: t.Mapping[str, str] = {}
    one_of: t.Sequence[t.Sequence[str]] = ()
    needs: t.Mapping[str, str] = {}
    judged_by: str = ""
    single: bool = False
    once: bool = False
    min_samples: str = "1"


class GateSpecification(t.NamedTuple):
    """A gate as it was described, in the units of the collection (s, shares of 1, bytes), defaults filled in."""

    phase: str
    name: str
    type: str
    enforce: bool
    min_samples: int
    interval: float
    allowed: AtMost
    on_inconclusive: str
    fields: t.Mapping[str, t.Any]
    at_most: t.Mapping[str, float]
    at_least: t.Mapping[str, float]
    relative: t.Mapping[str, float]


COMMON: t.Mapping[str, Field] = {
    "name": Field(TEXT, required=True),
    "type": Field(TEXT, required=True),
    "enforce": Field(FLAG, True),
    "min_samples": Field(COUNT),
    "interval": Field(DURATION, "5 s"),
    "on_inconclusive": Field(TEXT, EXTEND, choices=POLICIES),
    "failures_at_most": Field(COUNT, "0"),
    "errors_at_most": Field(COUNT, "3"),
    "no_data_at_most": Field(COUNT),
}
_SHARES = {"error_share": SHARE, "response_4xx_share": SHARE, "connection_error_share": SHARE}
_LATENCIES = {"p50": DURATION, "p95": DURATION, "p99": DURATION}
_TLS = {"validate_certs": Field(FLAG, True), "ca_path": Field(TEXT)}
TYPES: t.Mapping[str, Type] = {
    "http": Type(
        {
            "url": Field(TEXT),
            "path": Field(TEXT),
            "through": Field(TEXT, "instance", choices=("instance", "load_balancer")),
            "method": Field(TEXT, "GET", choices=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
            "headers": Field(WORDS, {}),
            "secret_headers": Field(WORDS, {}),
            "body": Field(TEXT),
            "secret_body": Field(TEXT),
            "status": Field(STATUSES, [200]),
            "json": Field(EXPRESSIONS, []),
            "text": Field(TEXT),
            "samples": Field(COUNT, "3"),
            "sample_interval": Field(DURATION, "0 s"),
            "concurrency": Field(COUNT, "1"),
            "consecutive": Field(COUNT, "3"),
            "timeout": Field(DURATION, "5 s"),
            "deadline": Field(DURATION, "30 s"),
            **_TLS,
        },
        at_most={"error_share": SHARE, **_LATENCIES},
        one_of=(("url", "path"),),
        judged_by="status",
    ),
    "traffic": Type(
        {},
        at_most={**_SHARES, **_LATENCIES},
        # Not p99: one answer in a hundred can double without evidence that anything has changed.
        relative={**_SHARES, "p50": GROWTH, "p95": GROWTH},
        min_samples="100",
    ),
    "prometheus": Type(
        {
            "url": Field(TEXT, required=True),
            "query": Field(TEXT, required=True),
            "range": Field(DURATION),
            "user": Field(TEXT),
            "secret_password": Field(TEXT),
            "timeout": Field(DURATION, "10 s"),
            **_TLS,
        },
        at_most={"value": NUMBER},
        at_least={"value": NUMBER},
        needs={"user": "secret_password", "secret_password": "user"},
    ),
    "postgres": Type(
        {"query": Field(TEXT), "expected": Field(TEXT), "timeout": Field(DURATION, "10 s")},
        at_most={
            "connection_share": SHARE,
            "replication_lag": DURATION,
            "longest_transaction": DURATION,
            "invalid_indexes": COUNT,
        },
        needs={"query": "expected", "expected": "query"},
        judged_by="timeout",  # a store that does not answer is a failure without any limit
        single=True,
    ),
    "redis": Type(
        {"queue": Field(TEXT), "timeout": Field(DURATION, "5 s")},
        at_most={"memory": SIZE, "memory_share": SHARE, "evictions": RATE, "queue_length": COUNT},
        at_least={"hit_share": SHARE, "replicas": COUNT},
        min_samples="100",  # lookups, for the share of hits
        needs={"queue_length": "queue", "queue": "queue_length"},
        judged_by="timeout",
    ),
    "command": Type(
        {
            "command": Field(TEXTS, required=True),
            "host": Field(TEXT, "localhost"),
            "timeout": Field(DURATION, "10 min"),
            "values": Field(VALUES, {}),
        },
        at_most={"*": NUMBER},
        at_least={"*": NUMBER},
        judged_by="command",
        single=True,
        once=True,
    ),
}
#: What can stand in the place of a table: the server makes a short text of its first value.
_SELECTS = re.compile(r"(\s|\(|--.*\n|/\*(?:[^*]|\*(?!/))*\*/)*(select|with|values|table)\b", re.IGNORECASE)
#: What is about more than one look.
_OF_LOOKS = ("interval", "on_inconclusive", "failures_at_most", "errors_at_most", "no_data_at_most")
_LIMITS = ("at_most", "at_least", "worse_than_live_by")


def read(told: t.Any, where: str = "rollout_gates") -> list[GateSpecification]:
    """Returns the gates that *told* describes: {phase: [gate, …]}. Raises BadInput that lists every problem."""
    reader = _Reader()
    gates = reader.phases(told, where)
    if reader.problems:
        raise BadInput(
            "The gates cannot be used; nothing was changed.",
            expected=f"gates of the types {', '.join(TYPES)}, each with a name, in the phases {', '.join(PHASES)}",
            found="".join(f"\n    - {problem}" for problem in reader.problems),
            where=where,
        )
    return gates


class _Reader:
    """Reads a description, and goes on after a problem to find the next one."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def phases(self, told: t.Any, where: str) -> list[GateSpecification]:
        if not isinstance(told, t.Mapping):
            self._say(where, f"expected lists of gates by phase ({', '.join(PHASES)}), found {_shown(told)}")
            return []
        found = []
        for phase, gates in told.items():
            if phase not in PHASES:
                self._say(where, f"there is no phase {phase}{_meant(phase, PHASES)}")
            elif not isinstance(gates, t.Sequence) or isinstance(gates, str):
                self._say(f"{where}.{phase}", f"expected a list of gates, found {_shown(gates)}")
            else:
                found += self._gates(phase, gates, f"{where}.{phase}")
        return found

    def _gates(self, phase: str, gates: t.Sequence[t.Any], where: str) -> list[GateSpecification]:
        found: dict[str, GateSpecification] = {}
        for number, told in enumerate(gates, 1):
            name = told.get("name") if isinstance(told, t.Mapping) else None
            place = f"{where}, gate {name if isinstance(name, str) and name else number}"
            gate = self._gate(phase, told, place)
            if gate is not None and gate.name in found:
                self._say(place, "another gate of this phase has the same name")
            elif gate is not None:
                found[gate.name] = gate
        return list(found.values())

    def _gate(self, phase: str, told: t.Any, where: str) -> GateSpecification | None:
        before = len(self.problems)
        if not isinstance(told, t.Mapping):
            self._say(where, f"expected a gate with a name and a type, found {_shown(told)}")
            return None
        kind = TYPES.get(str(told.get("type")))
        if kind is None:
            names = list(TYPES)
            self._say(
                where, f"there is no type {told.get('type')}{_meant(told.get('type'), names)} ({', '.join(names)})"
            )
            return None
        known = {**COMMON, **kind.fields}
        for key in told:
            if key not in known and key not in _LIMITS:
                self._say(where, f"a gate of type {told['type']} has no {key}{_meant(key, [*known, *_LIMITS])}")
            elif kind.once and key in _OF_LOOKS:
                self._say(f"{where}, {key}", f"a gate of type {told['type']} looks once")
        common = {key: self._field(told, key, field, where) for key, field in COMMON.items()}
        if told.get("min_samples") is None:
            common["min_samples"] = quantity.parse(kind.min_samples, COUNT, where)
        fields = {key: self._field(told, key, field, where) for key, field in kind.fields.items()}
        for group in kind.one_of:
            if sum(told.get(key) is not None for key in group) != 1:
                self._say(where, f"expected exactly one of {', '.join(group)}")
        limits = [
            self._limits(told, key, names, where)
            for key, names in zip(_LIMITS, (kind.at_most, kind.at_least, kind.relative))
        ]
        if len(self.problems) == before:
            self._sensible(common, fields, limits, kind, where)
        if len(self.problems) > before:
            return None
        counts = (common[f"{word}_at_most"] for word in ("failures", "errors", "no_data"))
        return GateSpecification(
            phase,
            common["name"],
            common["type"],
            common["enforce"],
            int(common["min_samples"]),
            common["interval"],
            AtMost(*(None if count is None else int(count) for count in counts)),
            common["on_inconclusive"],
            fields,
            *limits,
        )

    def _sensible(
        self,
        common: t.Mapping[str, t.Any],
        fields: t.Mapping[str, t.Any],
        limits: t.Sequence[t.Mapping[str, float]],
        kind: Type,
        where: str,
    ) -> None:
        """A gate that could never fail, or never pass, is a mistake."""
        self._sensible_samples(common["min_samples"], limits[1], kind, where)
        if fields.get("timeout") == 0:
            self._say(f"{where}, timeout", "expected more than 0 s")
        if common["interval"] <= 0:
            self._say(f"{where}, interval", "expected more than 0 s")
        if fields.get(kind.judged_by) is None and not any(limits):
            names = dict.fromkeys([*kind.at_most, *kind.at_least])
            self._say(where, f"expected a limit ({', '.join(names)}): nothing could fail")
        at_most, at_least, _relative = limits
        for name in sorted(set(at_least) & set(at_most)):
            if at_least[name] > at_most[name]:
                self._say(f"{where}, {name}", "at_least is more than at_most: nothing could pass")
        self._usable(fields, where)
        told = {*(key for key, value in fields.items() if value), *at_most, *at_least}
        for key, needed in kind.needs.items():
            if key in told and needed not in told:
                self._say(where, f"{key} needs {needed}")
        if kind is TYPES["http"]:
            self._sensible_http(common, fields, where)
        if "*" in kind.at_most:
            for name in sorted({*at_most, *at_least} - set(fields.get("values") or ())):
                self._say(
                    where, f"the limit {name} is about no value; values has {', '.join(fields['values']) or 'none'}"
                )

    def _sensible_samples(self, wanted: float, at_least: t.Mapping[str, float], kind: Type, where: str) -> None:
        place = f"{where}, min_samples"
        if wanted < 1:
            self._say(place, "expected 1 or more: what was not seen is no pass")
        if kind.single and wanted > 1:
            self._say(place, "expected 1: a look of this type is one sample")
        if kind is TYPES["redis"] and wanted not in (1, float(kind.min_samples)) and "hit_share" not in at_least:
            self._say(place, "expected at_least.hit_share, too: it counts lookups, and nothing else")

    def _usable(self, fields: t.Mapping[str, t.Any], where: str) -> None:
        """A relative file would be another one for each program that looks; a query stands in the place of a table."""
        if not _SELECTS.match(fields.get("query") or "select") and "expected" in fields:
            self._say(f"{where}, query", "expected one that begins with select, with, values or table")
        for name in ("path", "ca_path"):
            if not (fields.get(name) or "/").startswith("/"):
                self._say(f"{where}, {name}", f"expected a path that begins with /, found {fields[name]}")

    def _sensible_http(self, common: t.Mapping[str, t.Any], fields: t.Mapping[str, t.Any], where: str) -> None:
        for name, most in (("samples", 10_000), ("concurrency", 100), ("consecutive", 10_000)):
            if not 1 <= fields[name] <= most:
                self._say(f"{where}, {name}", f"expected 1 to {most}")
        if fields["sample_interval"] * (fields["samples"] - 1) >= fields["deadline"]:
            self._say(f"{where}, deadline", "expected more than all samples take: (samples - 1) x sample_interval")
        if fields["deadline"] < fields["timeout"]:
            self._say(f"{where}, deadline", "expected at least the timeout: who is silent would never be found")
        if fields["body"] and fields["secret_body"]:
            self._say(where, "expected one of body, secret_body")
        if fields["method"] == "HEAD" and (fields["json"] or fields["text"]):
            self._say(f"{where}, method", "the answer to HEAD has no body that json or text could be about")
        alone = fields["url"] or fields["through"] == "load_balancer"
        if alone and common["min_samples"] > fields["samples"]:
            self._say(f"{where}, min_samples", f"expected at most {fields['samples']:g}, the samples of a look")

    def _limits(
        self, told: t.Mapping[str, t.Any], key: str, known: t.Mapping[str, str], where: str
    ) -> dict[str, float]:
        limits = told.get(key)
        if limits is None:
            return {}
        if not isinstance(limits, t.Mapping):
            self._say(f"{where}, {key}", f"expected limits by name, found {_shown(limits)}")
            return {}
        found = {}
        for name, limit in limits.items():
            kind = known.get(name) or known.get("*")
            if kind is None:
                self._say(f"{where}, {key}", f"there is no limit {name}{_meant(name, known)}")
            else:
                found[str(name)] = self._value(kind, limit, f"{where}, {key}.{name}")
        return found

    def _field(self, told: t.Mapping[str, t.Any], key: str, field: Field, where: str) -> t.Any:
        value = told.get(key)
        if value is None:
            if field.required:
                self._say(where, f"{key} is missing")
            value = field.default
        if value is None:
            return None
        place = f"{where}, {key}"
        found = self._value(field.kind, value, place, hidden=key.startswith("secret_"))
        if field.choices and found is not None and found not in field.choices:
            self._say(place, f"expected {' or '.join(field.choices)}, found {value}{_meant(value, field.choices)}")
        return found

    def _value(self, kind: str, told: t.Any, where: str, *, hidden: bool = False) -> t.Any:
        """Returns *told* as *kind* wants it; None after a problem, which repeats nothing that is *hidden*."""
        if kind in quantity.UNITS:
            try:
                return quantity.parse(told, kind, where)
            except BadInput as error:
                self._say(where, f"expected {error.expected}, found {error.found}")
                return None
        if kind == EXPRESSIONS:
            return self._expressions(told, where)
        if kind == VALUES and isinstance(told, t.Mapping) and self._expressions(list(told.values()), where) is None:
            return None
        fits, expected = _SHAPES[kind]
        listed = [told] if kind in (TEXTS, STATUSES) and not isinstance(told, list) else told
        if not fits(listed):
            self._say(where, f"expected {expected}, found {f'a {type(told).__name__}' if hidden else _shown(told)}")
            return None
        return listed

    def _expressions(self, told: t.Any, where: str) -> list[str] | None:
        listed = [told] if isinstance(told, str) else told
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self._say(where, f"expected JMESPath expressions, found {_shown(told)}")
            return None
        for expression in listed if HAS_JMESPATH else ():
            try:
                BodyAssertion(expression)
            except BadInput as error:
                self._say(where, f"{expression}: {str(error.found).splitlines()[0]}")
        return listed

    def _say(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}")


def _is_text(told: t.Any) -> bool:
    return isinstance(told, str) and bool(told.strip())


def _is_words(told: t.Any) -> bool:
    return isinstance(told, t.Mapping) and all(map(_is_text, (*told, *told.values())))


def _is_number(told: t.Any) -> bool:
    """Of what YAML calls a number, nothing is more than .nan: as a limit it would let everything pass."""
    return isinstance(told, (int, float)) and not isinstance(told, bool) and -math.inf < told < math.inf


_SHAPES: t.Mapping[str, tuple[t.Callable[[t.Any], bool], str]] = {
    TEXT: (_is_text, "a text"),
    FLAG: (lambda told: isinstance(told, bool), "true or false"),
    VALUES: (_is_words, "JMESPath expressions by name"),
    WORDS: (_is_words, "texts by name"),
    TEXTS: (lambda told: bool(told) and all(map(_is_text, told)), "a list of texts"),
    STATUSES: (
        lambda told: bool(told) and all(_is_number(one) and one in range(100, 600) for one in told),
        "statuses of HTTP, 100 to 599",
    ),
    NUMBER: (_is_number, "a number"),
}


def _meant(told: t.Any, known: t.Iterable[str]) -> str:
    close = difflib.get_close_matches(str(told), list(known), 1)
    return f", did you mean {close[0]}?" if close else ""


def _shown(told: t.Any) -> str:
    """Returns *told* short; what a list or a dict holds may be a secret, and is not repeated."""
    if told is None:
        return "nothing"
    return f"a {type(told).__name__}" if isinstance(told, (dict, list)) else repr(told)
