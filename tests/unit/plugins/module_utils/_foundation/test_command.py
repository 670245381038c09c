# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host: real ones that end well, badly, too late, or are not there."""

from __future__ import annotations

import sys
import time

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import run
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed

PYTHON = [sys.executable, "-c"]


def test_a_program_gives_its_code_and_both_outputs() -> None:
    ended = run([*PYTHON, "import sys; print('out'); print('err', file=sys.stderr)"], deadline=10)
    assert ended == (0, "out\n", "err\n")


def test_standard_input_arrives_and_is_closed_when_there_is_none() -> None:
    echo = [*PYTHON, "import sys; sys.stdout.write(sys.stdin.read())"]
    assert run(echo, deadline=10, standard_input="pass-w\u00f6rd").output == "pass-w\u00f6rd"
    assert run(echo, deadline=10).output == ""


def test_no_shell_looks_at_the_arguments() -> None:
    assert run([*PYTHON, "import sys; print(sys.argv[1])", "$HOME; `id`"], deadline=10).output == "$HOME; `id`\n"


def test_output_that_is_no_text_does_not_stop_a_rollout() -> None:
    assert run([*PYTHON, r"import os; os.write(1, b'a\xffb')"], deadline=10).output == "a\ufffdb"


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("import sys; print('told', file=sys.stderr); sys.exit(3)", "found: told"),
        ("import sys; print('said'); sys.exit(3)", "found: said"),
        ("import sys; sys.exit(3)", "found: no output"),
    ],
)
def test_a_failed_program_tells_code_words_and_what_to_do(program: str, found: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        run([*PYTHON, program], deadline=10, next_step="look at it")
    message = str(failed.value)
    assert "failed with exit code 3." in message
    assert found in message
    assert message.endswith("next: look at it")


def test_only_the_last_lines_of_a_long_complaint_are_told() -> None:
    with pytest.raises(CommandFailed) as failed:
        run([*PYTHON, "import sys; print('\\n'.join(f'line {n}' for n in range(100))); sys.exit(1)"], deadline=10)
    assert str(failed.value.found).split("\n    ") == [f"line {number}" for number in range(95, 100)]


def test_a_code_that_is_accepted_is_an_answer() -> None:
    assert run([*PYTHON, "import sys; sys.exit(3)"], deadline=10, accepted=(0, 3)).code == 3


def test_zero_is_a_failure_when_it_is_not_accepted() -> None:
    with pytest.raises(CommandFailed, match="failed with exit code 0"):
        run([*PYTHON, ""], deadline=10, accepted=(1,))


def test_a_program_that_does_not_end_is_stopped() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end in time") as failed:
        run([*PYTHON, "import time; time.sleep(30)"], deadline=0.3)
    assert time.monotonic() - began < 5
    assert failed.value.expected == "an answer within 0.3 s"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(CommandFailed, match="The program no-such-program is missing on this host"):
        run(["no-such-program", "--now"], deadline=1)
