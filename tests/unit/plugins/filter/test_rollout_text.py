# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read at the end of a rollout: summary and refusal."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.refusal import refusal
from ansible_collections.vitalops.rollout.plugins.filter.summary import summary

PLAN = {
    "operation": "deploy",
    "slot": "green",
    "release": {"id": "1.1.0-bbb"},
    "previous_slot": "blue",
    "previous_release": {"id": "1.0.0-aaa"},
    "converge": False,
}
FIRST = {**PLAN, "slot": "blue", "previous_slot": None, "previous_release": None}


def test_summary_says_how_to_go_back() -> None:
    lines = summary(PLAN, "shop")
    assert lines[0] == "shop: release 1.1.0-bbb is live in slot green."
    assert "roll_back goes back to it" in lines[-1]


WORDS = [
    {
        "item": "app1",
        "slots": {
            "green": {
                "instances": [
                    {
                        "name": f"shop-green-web-{number}",
                        "kind": "web",
                        "process": "web",
                        "number": number,
                        "log": [f"boom {number}"],
                    }
                    for number in (1, 2)
                ]
            }
        },
    },
    {"item": "app2", "msg": "it cannot be reached"},
]


def test_summary_counts_requests_that_did_not_drain() -> None:
    assert any("3 long requests" in line for line in summary(PLAN, "shop", {"drained": False, "in_flight": 3}))


def test_summary_of_a_first_rollout_and_of_a_second_run() -> None:
    assert "first" in summary(FIRST, "shop")[1]
    assert "nothing moved" in summary({**PLAN, "converge": True}, "shop")[1]


def test_refusal_tells_users_cause_and_next_step() -> None:
    text = refusal({"msg": "3 of 4 failed"}, PLAN, WORDS)
    for part in ("1.1.0-bbb was refused", "Users noticed nothing: 1.0.0-aaa", "3 of 4 failed", "  | boom 1", "Next: "):
        assert part in text
    assert "boom 2" not in text


def test_refusal_gives_a_command_to_type_whatever_happened() -> None:
    lost, dead = {"problem": "x", "lost": "run b"}, {"problem": "x"}
    back = {**PLAN, "operation": "roll_back"}
    for plan, reverts, verb in (
        *((one, None, "deploy") for one in (PLAN, FIRST, back)),
        (PLAN, [{"changed": True}], "deploy"),
        *((PLAN, [one], "status") for one in (lost, dead)),
        ({**PLAN, "converge": True}, None, "roll_back"),
    ):
        following = refusal({"msg": "x"}, plan, reverts=reverts).rpartition("Next: ")[2]
        assert f"ansible-playbook vitalops.rollout.{verb} -i INVENTORY" in following


def test_refusal_shows_the_log_of_the_instance_that_failed() -> None:
    text = refusal({"msg": "app1-web-2: status 503 instead of 200"}, PLAN, WORDS)
    assert "Last lines of shop-green-web-2 on app1:\n  | boom 2" in text
    assert "boom 1" not in text


def test_refusal_shows_the_log_of_the_instance_that_another_host_names() -> None:
    said = "lb1 refuses.\nready: app1-web-2: status 503"
    text = refusal({"msg": "Another host failed."}, PLAN, WORDS, elsewhere=said)
    assert "Last lines of shop-green-web-2 on app1:" in text
    assert "shop-green-web-1" not in text
    # Not the first one in place of one of another host, or of one whose name only begins like that.
    for other in ("app2-web-1: status 503", "app1-web-20: status 503"):
        assert "Last lines" not in refusal({"msg": "x"}, PLAN, WORDS, elsewhere=other)
    for said in ("it was slow", "next: docker logs shop-green-web-1", "The gates of app1 refuse it"):
        assert "Last lines of shop-green-web-1 on app1:" in refusal({"msg": "x"}, PLAN, WORDS, elsewhere=said)


def test_refusal_says_where_the_release_can_be_looked_at() -> None:
    held = [{"item": "app1", "slots": {"green": {"current": {"id": "1.1.0-bbb"}, "instances": []}}}]
    assert "It stays in slot green, for a look at it, until" in refusal({"msg": "x"}, PLAN, held)
    other = [{"item": "app1", "slots": {"green": {"current": {"id": "0.9.0-ccc"}, "instances": []}}}]
    kept = {**PLAN, "kept_release_id": "1.1.0-bbb"}
    for plan, words in ((PLAN, other), (PLAN, WORDS), (kept, held), ({**PLAN, "operation": "roll_back"}, held)):
        assert "for a look at it" not in refusal({"msg": "x"}, plan, words)


def test_refusal_by_a_watch_says_that_users_had_the_release() -> None:
    assert "Users had it for a moment" in refusal({"msg": "x", "changed": True}, PLAN, reverts=[{"changed": False}])


def test_refusal_after_the_switch_does_not_say_that_users_noticed_nothing() -> None:
    text = refusal({"msg": "x"}, PLAN, reverts=[{"item": "lb1", "changed": True}])
    assert "Users had it for a moment; 1.0.0-aaa in slot blue has all the traffic again." in text
    assert "noticed nothing" not in text


def test_refusal_does_not_say_that_traffic_is_back_where_it_is_not() -> None:
    reverts = [{"item": "lb1", "changed": True}, {"item": "lb2", "problem": "The host cannot be reached"}]
    text = refusal({"msg": "x"}, PLAN, reverts=reverts)
    assert "could not be taken back on lb2; the warnings say why" in text
    assert "has all the traffic again" not in text


def test_refusal_by_another_run_says_who_decides() -> None:
    lost = {
        "item": "lb1",
        "problem": "May not change it",
        "lost": "run b with epoch 8: roll_back by lee (AWX) since 10:00",
    }
    text = refusal({"msg": "x"}, PLAN, reverts=[lost, {"item": "lb2", "changed": True}])
    assert "Another run has taken over (run b with epoch 8: roll_back by lee (AWX) since 10:00): it decides" in text
    assert "could not be taken back" not in text
    dead = {"item": "lb2", "problem": "The host cannot be reached"}
    assert "could not be taken back on lb2;" in refusal({"msg": "x"}, PLAN, reverts=[lost, dead])


def test_a_run_that_a_person_has_ended_does_not_blame_its_release() -> None:
    ended = {"msg": "Run a may not change shop any more", "lost": "run a has ended; lee rolled back before its switch"}
    for reverts in (None, [{"item": "lb1", "changed": False}]):
        text = refusal(ended, PLAN, reverts=reverts)
        traffic = "1.0.0-aaa in slot blue has all the traffic." if reverts else "This run was ended, or another one has"
        assert text.startswith(f"Release 1.1.0-bbb was not rolled out. {traffic}")
        assert "mend the release" not in text
        assert "Next: see what users have, and who is at work: " in text
    taken = refusal(ended, PLAN, reverts=[{"item": "lb1", "problem": "x", "lost": "run b"}])
    assert "was refused. Another run has taken over (run b)" in taken


def test_refusal_of_a_roll_back_does_not_ask_for_a_better_release() -> None:
    text = refusal({"msg": "x"}, {**PLAN, "operation": "roll_back"})
    assert "mend the release" not in text


def test_refusal_of_a_first_rollout_does_not_promise_a_live_release() -> None:
    assert "No release is live yet" in refusal({"msg": "x"}, FIRST)


@pytest.mark.parametrize("call", [lambda: summary([], "shop"), lambda: refusal("x", PLAN)])
def test_wrong_types_are_named(call) -> None:
    with pytest.raises(AnsibleFilterError, match=r"vitalops\.rollout\."):
        call()
