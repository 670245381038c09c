# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody confirmed: the guard takes the switch back by itself, but only to a slot that answers."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import decision, place, revert
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import drivers, haproxy, nginx
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic.pointer import Pointer

Host = t.Any
R2 = {"id": "1.1.0-bbb", "version": "1.1.0", "digest": "sha256:2", "artefact": "registry/shop"}


def test_before_the_deadline_the_guard_waits_for_the_rest_of_it(host: Host) -> None:
    intent = host.armed_and_switched()
    host.timer.running.clear()
    host.now += 20
    assert host.fire() == "shop: armed for another 10.0 s"
    assert host.timer.running == {intent.token: 10.0}
    assert host.traffic() == ("green", "green")


def test_at_the_deadline_traffic_goes_back_to_the_slot_that_answers(host: Host) -> None:
    host.armed_and_switched()
    host.now += 30
    says = "the switch of shop to green by kim was not confirmed after 30 s: traffic is back on blue"
    assert host.fire() == says
    assert host.traffic() == ("blue", "blue")
    assert (host.intent(), host.timer.running) == (None, {})
    last = host.last()
    assert (last.actor, last.source, last.run, last.detail) == ("guard", "after 30 s", "run-kim", says)
    assert host.journal()[-2:] == [("revert", "begin", None), ("revert", "end", "done")]


def test_a_second_call_does_nothing(host: Host) -> None:
    host.armed_and_switched()
    host.now += 30
    host.fire()
    entries = host.journal()
    assert host.fire() == "shop: nothing is armed"
    assert host.fire(boot=True) == "shop: nothing is armed"
    assert host.journal() == entries


def test_after_a_boot_the_guard_waits_for_nothing(host: Host) -> None:
    host.armed_and_switched()
    host.boots()
    assert "was not confirmed at boot: traffic is back on blue" in host.fire(boot=True)
    assert host.traffic() == ("blue", "blue")


def test_what_was_armed_after_the_boot_keeps_its_time(host: Host) -> None:
    intent = host.armed_and_switched()
    assert host.fire(boot=True) == "shop: armed for another 30.0 s"
    assert host.timer.running == {intent.token: 30.0}
    assert host.traffic() == ("green", "green")


def test_an_armed_guard_whose_traffic_never_moved_only_goes(host: Host) -> None:
    host.arm()
    host.now += 30
    assert host.fire().endswith("; traffic had not moved")
    assert (host.intent(), host.traffic()) == (None, ("blue", "blue"))


def test_a_confirmed_release_stays_when_its_run_died_before_it_disarmed(host: Host) -> None:
    token = host.armed_and_switched().token
    host.save(R2, "green")
    host.now += 30
    assert host.fire() == "the switch of shop to green by kim is on record: it stays"
    assert host.traffic() == ("green", "green")
    assert host.intent() is None
    assert token not in host.timer.running


def test_the_only_slot_that_answers_keeps_the_traffic_and_a_person_must_look(host: Host) -> None:
    host.armed_and_switched()
    host.blue.status = 503
    host.now += 30
    for _look in range(decision.PATIENCE):
        with pytest.raises(CommandFailed, match="blue does not answer, looking again"):
            host.fire()
        assert host.traffic() == ("green", "green")
    says = host.fire()
    assert says.endswith("but blue does not answer and green does: a person must look")
    assert host.traffic() == ("green", "green")
    assert (host.intent().status, host.intent().says) == ("inconsistent", says)
    assert host.journal()[-1] == ("revert", "end", "failed")
    assert host.fire() == f"shop: {says}"


def test_one_answer_that_comes_late_leaves_nobody_on_what_was_not_confirmed(host: Host) -> None:
    host.armed_and_switched()
    host.blue.status = 503
    host.now += 30
    with pytest.raises(CommandFailed, match="blue does not answer, looking again"):
        host.fire()
    host.blue.status = 200
    assert "traffic is back on blue" in host.fire()


def test_after_a_boot_the_slot_that_starts_first_need_not_be_the_good_one(host: Host) -> None:
    host.armed_and_switched()
    host.boots()
    host.blue.status = 503
    for _look in range(decision.PATIENCE * 3):
        with pytest.raises(CommandFailed, match="blue does not answer, looking again"):
            host.fire(boot=True)
    host.blue.status = 200
    assert "was not confirmed at boot: traffic is back on blue" in host.fire(boot=True)


def test_a_first_rollout_has_no_slot_to_go_back_to(host: Host) -> None:
    host.route(None)
    host.arm(host.run(previous=None), previous=None)
    host.guard().switch(host.run(previous=None), "green")
    host.now += 30
    assert "but there is no earlier slot and green does: a person must look" in host.fire()
    assert host.traffic() == ("green", "green")


def test_while_nobody_answers_the_guard_looks_again_and_gives_up_in_the_end(host: Host) -> None:
    host.armed_and_switched()
    host.blue.status = host.green.status = 503
    host.now += 30
    for attempt in range(decision.MOST_ATTEMPTS):
        assert host.intent().attempts == attempt
        with pytest.raises(CommandFailed, match="no slot answers, looking again"):
            host.fire()
    assert host.fire().endswith("but blue does not answer and nothing else answers: a person must look")
    assert host.intent().status == "inconsistent"
    assert host.traffic() == ("green", "green")


def test_a_slot_that_answers_again_gets_its_traffic_back(host: Host) -> None:
    host.armed_and_switched()
    host.blue.status = host.green.status = 503
    host.now += 30
    with pytest.raises(CommandFailed):
        host.fire()
    host.blue.status = 200
    assert "traffic is back on blue" in host.fire()


def test_without_haproxy_the_map_file_is_changed_all_the_same(host: Host) -> None:
    host.armed_and_switched()
    host.haproxy_is_down()
    host.now += 30
    assert "traffic is back on blue" in host.fire()
    assert (host.traffic()[0], host.intent()) == ("blue", None)


def test_a_haproxy_that_starts_meanwhile_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "STARTING_SECONDS", 5)
    host.armed_and_switched()
    running, calls = host.peer.api.command, []

    def starting(text: str) -> str:
        calls.append(text)
        if len(calls) < 4:
            raise haproxy.NotRunning("HAProxy does not answer on its admin socket.")
        return t.cast(str, running(text))

    host.peer.api.command = starting
    host.now += 30
    assert "traffic is back on blue" in host.fire()
    assert host.traffic() == ("blue", "blue")


def test_a_haproxy_that_runs_but_does_not_follow_is_told_until_it_does(host: Host) -> None:
    host.armed_and_switched()
    host.peer.deaf = True
    host.now += 30
    with pytest.raises(CommandFailed, match="not what was just written"):
        host.fire()
    assert host.intent() is not None
    host.peer.deaf = False
    assert "traffic is back on blue" in host.fire()
    assert host.traffic() == ("blue", "blue")


def test_a_full_disk_does_not_keep_users_on_a_bad_release(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.armed_and_switched()
    host.now += 30

    def full(*_arguments: t.Any, **_options: t.Any) -> t.Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(durable, "write_bytes", full)
        disk.setattr(durable, "append_line", full)
        with pytest.raises(OSError, match="No space left"):
            host.fire()
    assert host.peer.map["shop"] == "blue:none:0"
    assert host.intent() is not None
    assert "traffic is back on blue" in host.fire()
    assert host.traffic() == ("blue", "blue")


def test_a_damaged_map_file_is_written_anew(host: Host) -> None:
    host.armed_and_switched()
    Path(host.map_path).write_text("shop gre")
    host.now += 30
    assert "traffic is back on blue" in host.fire()
    assert host.traffic() == ("blue", "blue")


def test_a_damaged_state_does_not_keep_users_on_what_nobody_confirmed(host: Host) -> None:
    host.armed_and_switched()
    Path(host.folder, "state.json").write_text("{")
    host.now += 30
    assert "traffic is back on blue" in host.fire()
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


def test_a_haproxy_whose_answer_nobody_understands_is_told_all_the_same(host: Host) -> None:
    host.armed_and_switched()
    host.peer.map["shop"] = "nonsense"
    host.now += 30
    assert "traffic is back on blue" in host.fire()
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


def test_a_damaged_file_of_nginx_does_not_end_its_guard(host: Host) -> None:
    host.armed_and_switched()
    Path(host.folder, drivers.FILE).write_text("{")
    Path(host.folder, nginx.INCLUDE).write_text(nginx.include("shop", Pointer("green", None, 0)))
    host.peer.api = drivers.of("shop", str(host.root))
    host.now += 30
    processes_of_nobody = str(host.root / "nginx.pid")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(host.peer.api, "_run", lambda *_told, **_options: None)
        patched.setattr(host.peer.api, "_pid_file", processes_of_nobody)
        assert "traffic is back on blue" in host.fire()
    assert "blue:none:0" in Path(host.folder, nginx.INCLUDE).read_text()
    assert (host.traffic()[0], host.intent()) == ("blue", None)


def test_an_application_that_nobody_knows_gets_no_folder(host: Host) -> None:
    assert revert.fire(host.guard("shop-2")) == "shop-2: nothing is armed"
    assert not (host.root / "shop-2").exists()


def test_a_run_takes_its_own_switch_back(host: Host) -> None:
    host.armed_and_switched()
    assert revert.revert(host.guard(), host.run(), "users got 500") is True
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)
    assert host.last().detail == "users got 500"
    assert revert.revert(host.guard(), host.run(), "again") is False


@pytest.mark.parametrize("guarded", [True, False])
def test_a_run_does_not_send_users_to_a_dead_slot(host: Host, guarded: bool) -> None:
    if guarded:
        host.armed_and_switched()
    else:
        host.guard().switch(host.run(), "green", guarded=False)
        host.peer.rows = [host.peer.server("green", "app1-1", "UP"), host.peer.server("blue", "app1-1", "DOWN")]
    host.blue.status = 503
    with pytest.raises(CommandFailed, match="traffic stays on green, which was refused: blue does not answer"):
        revert.revert(host.guard(), host.run(), "the worker did not start")
    assert host.traffic() == ("green", "green")
    assert host.journal()[-1] == ("revert", "end", "failed")
    if guarded:
        assert host.intent().status == "inconsistent"
        host.now += 30
        assert host.fire() == f"shop: {host.intent().says}"


@pytest.mark.parametrize("after", [1, place.LOOKS - 1])
def test_a_run_asks_more_than_once_before_it_gives_a_slot_up(host: Host, after: int) -> None:
    asked = []

    def slow(places: t.Any, _check: t.Any) -> bool:
        asked.append(tuple(places))
        return host.green.address in places or len(asked) > after

    host.armed_and_switched()
    host.probe = slow
    assert revert.revert(host.guard(), host.run(), "users got 500") is True
    assert host.traffic() == ("blue", "blue")
    assert asked == [(host.blue.address,)] * (after + 1)


def test_when_no_slot_answers_users_get_the_release_that_was_good(host: Host) -> None:
    host.armed_and_switched()
    host.blue.status = host.green.status = 503
    assert revert.revert(host.guard(), host.run(), "users got 500") is True
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


def test_a_first_rollout_is_taken_back_to_nothing(host: Host) -> None:
    host.route(None)
    first = host.run(previous=None)
    host.arm(first, previous=None)
    host.guard().switch(first, "green")
    assert revert.revert(host.guard(), first, "users got 500") is True
    assert host.traffic() == (None, "none")


def test_a_run_that_moved_nothing_only_disarms(host: Host) -> None:
    host.arm()
    assert revert.revert(host.guard(), host.run(), "another host failed") is False
    assert (host.traffic(), host.intent()) == (("blue", "blue"), None)


def test_a_run_never_takes_back_what_another_one_switched(host: Host) -> None:
    host.armed_and_switched()
    assert revert.revert(host.guard(), host.run("run-lee"), "mine failed") is False
    assert host.traffic() == ("green", "green")


def test_a_switch_without_a_guard_is_taken_back_too(host: Host) -> None:
    host.guard().switch(host.run(), "green", guarded=False)
    assert revert.revert(host.guard(), host.run(), "users got 500") is True
    assert host.traffic() == ("blue", "blue")


def test_a_confirmed_release_is_not_reverted(host: Host) -> None:
    host.confirm(host.armed_and_switched().token)
    assert revert.revert(host.guard(), host.run(), "another host failed") is False
    assert host.traffic() == ("green", "green")


def test_a_confirmed_release_is_not_reverted_even_while_armed(host: Host) -> None:
    host.armed_and_switched()
    host.save(R2, "green")
    assert revert.revert(host.guard(), host.run(), "another host failed") is False
    assert (host.traffic(), host.intent()) == (("green", "green"), None)


# Killed anywhere.

KILLED = 137
CALLS = ("fchmod", "fdopen", "fsync", "replace", "write", "unlink", "open", "close")


def die_at(number: int) -> t.Callable[[], None]:
    """The process dies before its call *number* to the file system or to HAProxy."""
    made = [0]

    def arm(original: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def armed(*arguments: t.Any, **options: t.Any) -> t.Any:
            if made[0] == number:
                os._exit(KILLED)
            made[0] += 1
            return original(*arguments, **options)

        return armed

    def prepare() -> None:
        for name in CALLS:
            setattr(os, name, arm(getattr(os, name)))
        haproxy.RuntimeApi.command = arm(haproxy.RuntimeApi.command)  # type: ignore[method-assign]

    return prepare


def killed(prepare: t.Callable[[], None], action: t.Callable[[], t.Any]) -> int:
    child = os.fork()
    if child == 0:
        try:
            prepare()
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files(host: Host) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(host.folder).iterdir() if path.is_file()}


def put_back(host: Host, before: dict[str, bytes], pointer: str) -> None:
    for path in Path(host.folder).iterdir():
        path.unlink()
    for name, content in before.items():
        Path(host.folder, name).write_bytes(content)
    host.peer.map["shop"] = pointer
    host.boot = "kernel:1000"


def next_run_begins(host: Host) -> None:
    told = {"break_lease": "run-kim", "reason": "its controller is gone"}
    host.begins(host.run("run-next", epoch=0, slot=None, previous=None, release=None), **told)


def the_host_boots(host: Host) -> None:
    host.boots()
    host.fire(boot=True)


#: What is done, by the steps that go before it.
DEATHS: dict[str, tuple[str, ...]] = {
    "arm": (),
    "switch": ("arm",),
    "confirm": ("arm", "switch"),
    "revert": ("arm", "switch"),
    "fire": ("arm", "switch"),
}


def act(host: Host, step: str, run: t.Any) -> None:
    if step == "arm":
        host.arm(run)
    elif step == "switch":
        host.guard().switch(run, "green")
    elif step == "confirm":
        host.confirm(host.intent().token, run)
    elif step == "revert":
        revert.revert(host.guard(), run, "the run failed")
    else:
        the_host_boots(host)


@pytest.mark.parametrize("rescuer", [next_run_begins, the_host_boots])
@pytest.mark.parametrize("step", DEATHS)
def test_a_death_at_any_call_leaves_one_live_slot_and_the_right_release(
    host: Host, step: str, rescuer: t.Callable[[Host], None]
) -> None:
    host.probe = lambda places, check: bool(places)
    run, _view = host.begins()
    for earlier in DEATHS[step]:
        act(host, earlier, run)
    before, pointer = files(host), host.peer.map["shop"]
    ends = set()
    for number in range(300):
        put_back(host, before, pointer)
        code = killed(die_at(number), lambda: act(host, step, run))
        for _twice in (1, 2):
            rescuer(host)
            live = host.state().live
            assert host.traffic() == (live, live), number
            assert host.intent() is None
        ends.add(live)
        if code == 0:
            break
        assert code == KILLED
    else:
        pytest.fail("the step never ran to its end")
    assert number > 10
    assert ends == ({"blue", "green"} if step == "confirm" else {"blue"})


def the_run_after_begins(host: Host) -> None:
    holder = json.loads(files(host)["lease.json"])["id"]
    told = {"break_lease": holder, "reason": "its controller is gone"}
    host.begins(host.run("run-after", epoch=0, slot=None, previous=None, release=None), **told)


@pytest.mark.parametrize("rescuer", [the_run_after_begins, the_host_boots])
def test_a_death_while_the_next_run_recovers_leaves_the_work_to_the_one_after(
    host: Host, rescuer: t.Callable[[Host], None]
) -> None:
    host.probe = lambda places, check: bool(places)
    run, _view = host.begins()
    act(host, "arm", run)
    act(host, "switch", run)
    before, pointer = files(host), host.peer.map["shop"]
    for number in range(300):
        put_back(host, before, pointer)
        code = killed(die_at(number), lambda: next_run_begins(host))
        rescuer(host)
        assert host.traffic() == ("blue", "blue"), number
        assert host.intent() is None
        if code == 0:
            break
    assert number > 20
