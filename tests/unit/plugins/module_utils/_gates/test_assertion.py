# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body assertion: exactly true passes, everything else says what it was."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._gates import assertion
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.assertion import BodyAssertion


@pytest.mark.parametrize(
    ("expression", "body", "problem"),
    [
        ("status == 'ready'", b'{"status": "ready"}', None),
        ("ready", b'{"ready": true}', None),
        ("checks[?name == 'db'] | [0].up", b'{"checks": [{"name": "db", "up": true}]}', None),
        ("status == 'ready'", b'{"status": "starting"}', "gave false, not true"),
        ("status", b'{"status": "ready"}', 'gave "ready", not true'),
        ("ready", b'{"ready": "true"}', 'gave "true", not true'),
        ("ready", b'{"ready": 1}', "gave 1, not true"),
        ("missing", b'{"ready": true}', "gave null, not true"),
        ("@", b"{}", "gave {}, not true"),
        ("@", b'["' + b"x" * 200 + b'"]', "xxx..., not true"),
        ("length(items) > `0`", b'{"items": null}', "cannot be evaluated"),
        ("ready", b"<html>", "the body is not JSON"),
        ("ready", b"", "the body is not JSON"),
        ("ready", b"\xff\xfe", "the body is not JSON"),
        ("ready", b"[" * 100_000, "the body is not JSON that can be read (it is nested too deeply)"),
    ],
)
def test_only_exactly_true_is_good(expression: str, body: bytes, problem: str | None) -> None:
    found = BodyAssertion(expression).problem(body)
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert problem in found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("status = 'ready'", "unexpected '=' at character 8"),
        ("a.b[", "the expression ends too early at character 5"),
        ("status == 'ready", "at character 11"),
        ("status === 'ready'", "at character 10"),
        ("lenght(items) > `0`", "unknown function lenght at character 1"),
        ("ready && !(starts_with(status))", "function starts_with with 1 arguments instead of 2 at character 12"),
    ],
)
def test_a_bad_expression_is_refused_with_its_position(expression: str, found: str) -> None:
    with pytest.raises(BadInput) as refused:
        BodyAssertion(expression)
    assert found in str(refused.value)
    assert "nothing was sampled" in str(refused.value)


def test_the_caret_stands_under_the_first_wrong_character() -> None:
    with pytest.raises(BadInput) as refused:
        BodyAssertion("status = 'ready'")
    shown, caret = str(refused.value).splitlines()[3:5]
    assert shown[caret.index("^")] == "="


def test_of_several_expressions_the_first_that_is_not_true_is_told() -> None:
    several = BodyAssertion("ready", "replicas > `1`", "missing")
    assert several.problem(b'{"ready": true, "replicas": 2, "missing": true}') is None
    assert "replicas > `1` gave false" in str(several.problem(b'{"ready": true, "replicas": 1}'))
    with pytest.raises(BadInput, match="unknown function lenght"):
        BodyAssertion("ready", "lenght(@)")


@pytest.mark.parametrize("expression", ["token", "abs(token)", "[token, token]"])
def test_what_the_body_says_is_hidden_and_short(expression: str) -> None:
    for padding in (28, 70):  # so that a cut at 80 characters would leave half of it
        body = b'{"token": "%s hunter2"}' % (b"x" * padding)
        problem = BodyAssertion(expression).problem(body, lambda text: text.replace("hunter2", "***"))
        assert problem is not None
        assert "hunt" not in problem
        assert len(problem) < 160


def test_a_variadic_function_takes_more_arguments() -> None:
    assert BodyAssertion("not_null(a, b, c) == `1`").problem(b'{"c": 1}') is None


def test_without_jmespath_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assertion, "HAS_JMESPATH", False)
    with pytest.raises(BadInput, match="install python3-jmespath: role gate does"):
        BodyAssertion("ready")
