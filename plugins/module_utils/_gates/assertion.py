# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The assertion about the body of an answer: JMESPath expressions that must each evaluate to exactly true.

PRIVATE to the collection. The only place that needs the library jmespath.
"""

from __future__ import annotations

import json
import threading
import typing as t

from .._foundation.errors import BadInput
from .masking import Hide

try:
    import jmespath
    from jmespath import exceptions as jmespath_errors
    from jmespath.functions import Functions
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True


MAXIMUM_SHOWN = 80  # characters


class BodyAssertion:
    """Compiled expressions. Raises BadInput when one of them can never be evaluated, or jmespath is missing."""

    def __init__(self, *expressions: str) -> None:
        if not HAS_JMESPATH:
            raise BadInput(
                "The body assertion cannot be evaluated: the Python library jmespath is missing on this host.",
                expected="the module jmespath for the Python that runs Ansible's modules",
                found="no such module",
                next_step="install python3-jmespath: role gate does (tasks_from: install)",
            )
        self._compiled = [(expression, _compile(expression)) for expression in expressions]
        # A body becomes up to 25 times larger when it is read: one at a time needs no more time, but less memory.
        self._alone = threading.Lock()

    def problem(self, body: bytes, hide: Hide = str) -> str | None:
        """Returns None when every expression is true on the JSON in *body*, else what the first other one gave.

        *hide* takes secrets out of what is shown of the body.
        """
        with self._alone:
            try:
                document = json.loads(body.decode("utf-8"))
            except ValueError as error:
                return f"the body is not JSON ({error})"
            except RecursionError:
                return "the body is not JSON that can be read (it is nested too deeply)"
            problems = (_problem(expression, compiled, document, hide) for expression, compiled in self._compiled)
            return next(filter(None, problems), None)


def short(text: str) -> str:
    """Returns at most 80 characters of *text*."""
    return text if len(text) <= MAXIMUM_SHOWN else f"{text[: MAXIMUM_SHOWN - 3]}..."


def _problem(expression: str, compiled: t.Any, document: t.Any, hide: Hide) -> str | None:
    try:
        value = compiled.search(document)
    except jmespath_errors.JMESPathError as error:
        reason = short(hide(" ".join(str(error).split())))
        return f"the body assertion {expression} cannot be evaluated ({reason})"
    if value is True:
        return None
    return f"the body assertion {expression} gave {short(hide(json.dumps(value, ensure_ascii=False)))}, not true"


def _compile(expression: str) -> t.Any:
    try:
        compiled = jmespath.compile(expression)
    except jmespath_errors.ParseError as error:
        raise _not_jmespath(expression, error.lex_position, _reason(error)) from error
    except jmespath_errors.JMESPathError as error:
        raise _not_jmespath(expression, 0, str(error)) from error
    _check_functions(expression, compiled.parsed)
    return compiled


def _reason(error: t.Any) -> str:
    if error.token_value is None:
        return "the expression ends too early"
    return f"unexpected {error.token_value!r}"


def _not_jmespath(expression: str, position: int, reason: str) -> BadInput:
    pointer = f"\n         {expression}\n         {' ' * position}^" if "\n" not in expression else ""
    return BadInput(
        "The body assertion is not a JMESPath expression; nothing was sampled.",
        expected="an expression such as status == 'ready'",
        found=f"{reason} at character {position + 1}{pointer}",
        where="parameter body",
        next_step="correct the expression (https://jmespath.org/specification.html)",
    )


def _check_functions(expression: str, node: t.Any) -> None:
    """Finds calls that jmespath itself only refuses once an answer is there."""
    if not isinstance(node, dict):
        return
    children = node.get("children", [])
    if node.get("type") == "function_expression":
        name = node["value"]
        known = Functions.FUNCTION_TABLE
        position = max(expression.find(f"{name}("), 0)
        if name not in known:
            raise _not_jmespath(expression, position, f"unknown function {name}")
        signature = known[name]["signature"]
        variadic = bool(signature) and bool(signature[-1].get("variadic"))
        if len(children) < len(signature) or (len(children) > len(signature) and not variadic):
            reason = f"function {name} with {len(children)} arguments instead of {len(signature)}"
            raise _not_jmespath(expression, position, reason)
    for child in children:
        _check_functions(expression, child)
