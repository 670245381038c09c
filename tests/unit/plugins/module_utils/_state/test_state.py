# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an application: what is written can be read, and what cannot be understood is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}
EMPTY = states.State("shop", "staging")


def confirm(
    state: states.State, slot: str, release: dict[str, str], operation: str = "deploy", epoch: int = 5
) -> states.State:
    return states.confirmed(
        state, operation=operation, slot=slot, release=release, by="kim", at="2026-01-01T00:00:00Z", epoch=epoch
    )[0]


def test_before_the_first_rollout_nothing_is_known(tmp_path: Path) -> None:
    assert states.load("shop", str(tmp_path)) is None
    assert EMPTY.live_record is None
    assert EMPTY.idle == "blue"


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    state = confirm(confirm(EMPTY, "blue", R1), "green", R2)
    assert states.save(state, str(tmp_path)) is True
    assert states.save(state, str(tmp_path)) is False
    assert states.load("shop", str(tmp_path)) == state
    assert (tmp_path / "shop" / "state.json").stat().st_mode & 0o777 == 0o600


def test_two_deploys_and_a_roll_back_keep_both_slots() -> None:
    state = confirm(confirm(EMPTY, "blue", R1), "green", R2)
    assert (state.live, state.idle, state.last_good) == ("green", "blue", "1.1.0-bbb")
    state = confirm(state, "blue", R1, "roll_back")
    assert (state.live, state.last_good) == ("blue", "1.0.0-aaa")
    assert state.slots["green"] is not None
    assert state.slots["green"].release == R2
    assert [entry["operation"] for entry in state.history] == ["deploy", "deploy", "roll_back"]


def test_confirming_again_changes_nothing() -> None:
    state = confirm(EMPTY, "blue", R1)
    again, entry = states.confirmed(
        state, operation="deploy", slot="blue", release=R1, by="lee", at="2027-01-01T00:00:00Z", epoch=5
    )
    assert again is state
    assert entry is None


def test_what_a_newer_run_confirms_is_new_where_it_was_live_already() -> None:
    """A roll back to what this host never left: the others have left it since, so this is the newest decision."""
    state = confirm(confirm(EMPTY, "green", R2), "blue", R1, "roll_back", epoch=6)
    again = confirm(state, "blue", R1, "roll_back", epoch=8)
    assert (state.confirmed_epoch, again.confirmed_epoch) == (6, 8)
    assert again.slots == {**state.slots, "blue": states.SlotRecord(R1, "2026-01-01T00:00:00Z", "kim", 8)}
    assert len(again.history) == len(state.history) + 1


def test_the_epoch_of_the_last_confirmation_is_known_also_after_many_refusals() -> None:
    state = confirm(confirm(EMPTY, "blue", R1, epoch=7), "green", R2, epoch=12)
    for _again in range(states.HISTORY_LENGTH):
        state, _entry = states.refused(
            state, operation="deploy", slot="blue", release=R1, by="kim", at="2026-01-02T00:00:00Z", reason="no"
        )
    assert state.confirmed_epoch == 12
    assert states.from_dict(state.to_dict(), "state.json").confirmed_epoch == 12
    assert confirm(state, "blue", R1, "roll_back", epoch=13).confirmed_epoch == 13
    assert EMPTY.confirmed_epoch == 0


def test_a_file_from_before_epochs_were_kept_is_read_and_counts_as_the_oldest(tmp_path: Path) -> None:
    states.save(confirm(EMPTY, "blue", R1), str(tmp_path))
    path = tmp_path / "shop" / "state.json"
    content = json.loads(path.read_text())
    del content["slots"]["blue"]["epoch"]
    path.write_text(json.dumps(content))
    state = states.load("shop", str(tmp_path))
    assert state is not None
    assert state.confirmed_epoch == 0
    assert confirm(state, "green", R2, epoch=1).confirmed_epoch == 1


@pytest.mark.parametrize("epoch", [None, "12", -1, 1.5, True])
def test_an_epoch_that_is_no_number_is_refused(epoch: object) -> None:
    content = confirm(EMPTY, "blue", R1).to_dict()
    content["slots"]["blue"]["epoch"] = epoch
    with pytest.raises(StateUnreadable, match=r"epoch is .*, not a whole number"):
        states.from_dict(content, "state.json")


def test_a_refused_release_changes_only_the_history() -> None:
    state = confirm(EMPTY, "blue", R1)
    after, entry = states.refused(
        state, operation="deploy", slot="green", release=R2, by="kim", at="2026-01-02T00:00:00Z", reason="x" * 500
    )
    assert (after.live, after.slots, after.last_good) == (state.live, state.slots, state.last_good)
    assert after.history[-1] == entry
    assert len(entry["reason"]) == 300


def test_history_keeps_only_the_newest() -> None:
    state = EMPTY
    for number in range(states.HISTORY_LENGTH + 5):
        release = {**R1, "id": f"r{number}"}
        state = confirm(state, state.idle, release)
    assert len(state.history) == states.HISTORY_LENGTH
    assert state.history[-1]["release"] == f"r{states.HISTORY_LENGTH + 4}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema": 99}, "newer version"),
        ({"schema": None}, "no schema version"),
        ({"slots": {"blue": None}}, "cannot be understood"),
        ({"live": "blue"}, "slot blue is live but holds no release"),
        ({"live": "red"}, "cannot be understood"),
        ({"history": None}, "cannot be understood"),
        ({"application": 1}, "application is 1, not a text"),
        ({"slots": {"blue": {"release": {"id": "r1"}, "since": "x", "by": "x"}, "green": None}}, "version is missing"),
        (
            {"slots": {"blue": {"release": "r1", "since": "x", "by": "x"}, "green": None}},
            "release is str, not an object",
        ),
        (
            {"slots": {"blue": {"release": {"id": "r1", "version": "1"}, "since": None, "by": "x"}, "green": None}},
            "since is None, not a text",
        ),
        ({"history": ["x"]}, "not an operation"),
        ({"history": [{"at": "2026-11-21T17:20:03Z"}]}, "not an operation"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_and_left(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    states.save(EMPTY, str(tmp_path))
    path = tmp_path / "shop" / "state.json"
    broken = json.dumps({**json.loads(path.read_text()), **change})
    path.write_text(broken)
    with pytest.raises(StateUnreadable, match=expected) as caught:
        states.load("shop", str(tmp_path))
    assert str(path) in str(caught.value)
    assert path.read_text() == broken
