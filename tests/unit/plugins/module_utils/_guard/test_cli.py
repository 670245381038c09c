# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program's words, as units, playbooks and people say them."""

from __future__ import annotations

import io
import json
import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import cli, steps, words
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states

Host = t.Any


@pytest.fixture(autouse=True)
def _here(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "ROOT", str(host.root))
    monkeypatch.setattr(cli, "Guard", host.guard)
    monkeypatch.setattr(words, "Guard", host.guard)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out = capsys.readouterr()
    return code, out.out, out.err


def answered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, t.Any]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code, out, _error = said(capsys, "step")
    assert code == 0
    assert out.count("\n") == 1
    return t.cast("dict[str, t.Any]", json.loads(out))


def test_status_of_a_quiet_host(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _error = said(capsys, "status")
    assert code == 0
    assert out.splitlines() == [
        "shop (staging)",
        "  live        1.0.0-aaa in slot blue",
        "  traffic     blue:none:0, HAProxy blue:none:0",
        "  lease       free",
        "  guard       nothing armed",
    ]


def test_a_lease_that_nobody_gave_back_is_stale_and_not_free(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    run, _view = host.begins(lease_seconds=60)
    host.now += 72.5
    stale = "  lease       stale: run run-kim by kim, over since 12.5 s; the next run takes it over"
    assert stale in said(capsys, "status")[1].splitlines()
    host.ask("end", run)
    assert "  lease       free" in said(capsys, "status")[1].splitlines()


def test_status_after_a_crash_says_who_what_and_what_happens_next(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.begins()
    host.armed_and_switched()
    host.now += 10
    _code, out, _error = said(capsys, "status", "shop")
    assert "lease       deploy by kim (AWX job 42) since 2026-11-21T17:20:03Z, for another 110 s unless renewed" in out
    assert "guard       armed: back to blue in 20 s unless confirmed\n" in out
    assert "unfinished  Found deploy run-kim of 1.1.0-bbb by kim" in out
    host.timer.running.clear()
    assert "ITS TIMER IS MISSING" in said(capsys, "status", "shop")[1]
    host.now += 20
    assert "guard       armed: back to blue now: its deadline is over" in said(capsys, "status", "shop")[1]


def test_status_is_loud_about_an_inconsistent_host_and_about_problems(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.armed_and_switched()
    host.blue.status = 503
    host.now += 30
    host.fires_to_the_end()
    host.haproxy_is_down()
    code, out, _error = said(capsys, "status")
    assert code == 0
    assert "guard       INCONSISTENT: the switch of shop to green" in out
    assert "problem     HAProxy does not answer" in out


def test_a_run_that_lost_its_lease_is_told_who_has_it(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _view = host.begins()
    asked = {"protocol": steps.PROTOCOL, "step": "revert", "application": "shop", "environment": "staging"}
    late = {**asked, "run": {**run.to_dict(), "id": "run-late"}}
    told = answered(capsys, monkeypatch, json.dumps(late))
    assert "run run-kim with epoch 1: deploy by kim (AWX job 42)" in told["lost"]
    assert "lost" not in answered(capsys, monkeypatch, json.dumps({**asked, "step": "nothing"}))


def test_status_of_a_host_with_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    (host.root / "shop" / "traffic.map").unlink()
    assert said(capsys, "status")[1] == "no application is load balanced on this host\n"


def test_fire_and_boot_say_what_they_did(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "fire", "shop") == (0, "shop: nothing is armed\n", "")
    host.armed_and_switched()
    assert "armed for another 30.0 s" in said(capsys, "fire", "shop")[1]
    host.boots()
    code, out, _error = said(capsys, "boot")
    assert code == 0
    assert "was not confirmed at boot: traffic is back on blue" in out
    assert said(capsys, "boot") == (0, "", "")


def test_what_must_be_tried_again_ends_with_1(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.armed_and_switched()
    host.blue.status = host.green.status = 503
    host.boots()
    code, _out, error = said(capsys, "boot")
    assert code == 1
    assert "no slot answers, looking again" in error


def test_one_damaged_application_does_not_keep_the_others(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    (host.root / "alpha").mkdir()
    (host.root / "alpha" / "intent.json").write_text("{")
    host.armed_and_switched()
    host.boots()
    code, out, error = said(capsys, "boot")
    # Another try finds the same file: systemd does not make one (RestartPreventExitStatus=2).
    assert (code, host.traffic()) == (2, ("blue", "blue"))
    assert "damaged" in error
    assert "traffic is back on blue" in out


def test_what_another_try_may_do_is_tried_again_beside_what_it_cannot(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    (host.root / "alpha").mkdir()
    (host.root / "alpha" / "intent.json").write_text("{")
    host.armed_and_switched()
    host.blue.status = host.green.status = 503
    host.boots()
    code, _out, error = said(capsys, "boot")
    assert code == 1
    assert "no slot answers" in error


def test_a_step_is_answered_in_one_line(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"protocol": 3, "step": "info", "application": "shop", "environment": "staging"}
    told = answered(capsys, monkeypatch, json.dumps({**request, "run": host.run().to_dict()}))
    assert (told["changed"], told["view"]["state"]["live"]) == (False, "blue")


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"protocol": 3}', '{"protocol": 3, "step": "info"}'])
def test_a_step_that_cannot_be_understood_is_an_answer_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    told = answered(capsys, monkeypatch, text)
    assert (told["failed"], told["changed"]) == (True, False)
    assert told["msg"].startswith(told["error"]["what"])
    assert told["error"]["next"] or told["error"]["expected"]


def test_a_refusal_of_the_host_is_told_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_request: t.Any) -> t.Any:
        raise OSError(28, "No space left on device", "/var/lib/rollout/shop/journal.ndjson")

    monkeypatch.setattr(steps, "perform", full)
    told = answered(capsys, monkeypatch, "{}")
    assert told["msg"].startswith("The host refused to write: the disk is full.")
    assert told["error"]["where"] == "/var/lib/rollout/shop/journal.ndjson"


def test_the_version_names_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == "rollout-guard, protocol 3\n"
