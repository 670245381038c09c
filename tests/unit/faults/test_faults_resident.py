# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A looker that stays answers again and again, and is started anew when it has gone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import lock
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change
from ansible_collections.vitalops.rollout.tests.faults import looker, resident

#: Answers with how often it was asked, and dies at the second question.
MORTAL = """
import json, os, sys
for number, line in enumerate(iter(sys.stdin.readline, ""), start=1):
    if number == 2:
        os._exit(1)
    print(json.dumps({"boottime": os.getpid(), "boot": line.strip(), "journal": []}), flush=True)
"""


def test_it_answers_again_and_again_from_one_process(tmp_path: Path) -> None:
    source = Path(looker.__file__).read_text(encoding="utf-8").replace("/var/lib/rollout", str(tmp_path))
    one = resident.Looker([sys.executable, "-I", "-S", "-c", source, "reference"])
    (tmp_path / "reference").mkdir()
    journal = tmp_path / "reference" / "journal.ndjson"
    try:
        for known in range(3):
            with journal.open("a", encoding="utf-8") as lines:
                lines.write(f'{{"step": "{known}"}}\n')
            one.ask(known)
            seen = one.answer()
            assert seen is not None
            assert [entry["step"] for entry in seen.journal] == [str(known)]
    finally:
        one.close()


def test_one_that_died_since_is_started_anew() -> None:
    one = resident.Looker([sys.executable, "-I", "-S", "-c", MORTAL])
    found = []
    try:
        for number in range(3):
            one.ask(number, full=number == 2)
            seen = one.answer()
            assert seen is not None
            found.append((seen.boottime, seen.boot))
    finally:
        one.close()
    assert [words for _process, words in found] == ["0", "1", "2 full"]
    assert len({process for process, _words in found}) == 3


@pytest.mark.parametrize("command", [[sys.executable, "-c", "raise SystemExit(1)"]])
def test_a_host_that_does_not_run_has_no_answer(command: list[str]) -> None:
    one = resident.Looker(command)
    for _again in range(2):
        one.ask(0)
        assert one.answer() is None


def test_several_are_asked_at_the_same_time() -> None:
    lookers = {name: resident.Looker([sys.executable, "-I", "-S", "-c", MORTAL]) for name in ("lb1", "lb2")}
    try:
        seen = resident.ask_all(lookers, {"lb1": 7}, full=False)
    finally:
        for one in lookers.values():
            one.close()
    assert {name: one.boot if one else None for name, one in seen.items()} == {"lb1": "7", "lb2": "0"}


def test_a_change_of_slots_is_seen_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    source = Path(looker.__file__).read_text(encoding="utf-8").replace("/var/lib/rollout", str(tmp_path))
    one = resident.Looker([sys.executable, "-I", "-S", "-c", source, "reference"])
    (tmp_path / "reference").mkdir()

    def at_work() -> bool:
        one.ask(0)
        seen = one.answer()
        assert seen is not None
        return seen.at_work

    try:
        assert at_work() is False
        with lock.exclusive(str(tmp_path / "reference" / change.LOCK_FILE), 1.0, "a change"):
            assert at_work() is True
        assert at_work() is False
    finally:
        one.close()
