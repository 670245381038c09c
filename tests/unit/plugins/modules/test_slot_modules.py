# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the slots: what they pass on, and that what they return holds no secret."""

from __future__ import annotations

import json
import os
import types

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.clock import Clock
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change, probation
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import record, registry
from ansible_collections.vitalops.rollout.plugins.module_utils._state import journal
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._state.lease import LeaseLost
from ansible_collections.vitalops.rollout.plugins.module_utils._state.run import Run
from ansible_collections.vitalops.rollout.plugins.modules import release_info, slot_info, slot_release

DIGEST = "sha256:" + "a" * 64
WEB = {"name": "web", "kind": "web", "command": ["web"], "instances": 1, "container_port": 8000}


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    """A host with nothing on it, and a registry that has every version."""
    monkeypatch.setattr(registry, "image_digest", lambda paths, repository, version: DIGEST)
    monkeypatch.setattr(registry, "file_digest", lambda paths, url, version: DIGEST)
    for module in (release_info, slot_info, slot_release):
        monkeypatch.setattr(module, "Paths", lambda application: record.Paths(application, str(tmp_path)))


def checking(**parameters):
    return types.SimpleNamespace(params=parameters, check_mode=True)


def information(**changes):
    base = {
        "application": "shop",
        "version": "1.1.0",
        "runtime": "docker",
        "artefact": "registry.test/shop",
        "processes": [WEB],
        "environment": {"PAGE_SIZE": 20},
        "secrets": {"PASSWORD": "hidden-value"},
    }
    return release_info.tell(checking(**{**base, **changes}))


def placed(release, *, check_mode=True, **changes):
    base = {
        "application": "shop",
        "slot": "blue",
        "state": "present",
        "release": release,
        "runtime": "docker",
        "processes": [WEB],
        "processes_started": ["web"],
        "port_base": 18000,
        "bind_address": "127.0.0.1",
        "environment": {"PAGE_SIZE": 20},
        "secrets": {"PASSWORD": "hidden-value"},
        "kept_release_id": None,
        "resume": False,
        "run": None,
    }
    return slot_release.change(types.SimpleNamespace(params={**base, **changes}, check_mode=check_mode))


def test_what_release_info_returns_is_what_slot_release_takes():
    release = information()["release"]
    assert release["id"].startswith("1.1.0-")
    planned = placed(release)
    assert planned["diff"]["after"]["release"] == release["id"]
    assert [one["action"] for one in planned["actions"]] == ["fetch", "write", "record", "create"]


def test_no_result_holds_a_secret():
    release = information()["release"]
    assert "hidden-value" not in json.dumps([release, placed(release)])
    assert placed(release)["diff"]["after"]["variables"] == ["PAGE_SIZE", "PASSWORD"]


def test_the_version_is_put_into_the_url_of_a_release_folder():
    told = information(runtime="systemd", artefact="https://registry.test/shop-{version}.tar.gz")["release"]
    assert told["artefact"] == "https://registry.test/shop-1.1.0.tar.gz"


@pytest.mark.parametrize(
    "changes",
    [{"version": "1.1/0"}, {"application": "Shop"}, {"secrets": {"PORT": "1"}}, {"environment": {"A": True}}],
    ids=str,
)
def test_bad_input_is_refused_before_the_registry_is_asked(monkeypatch, changes):
    monkeypatch.setattr(registry, "image_digest", lambda *unused: pytest.fail("the registry was asked"))
    with pytest.raises(BadInput):
        information(**changes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "not a secret; move it to rollout_configuration"),
        (12345, "not a secret"),
        ("registry.test", "occurs in the artefact"),
        ("1.1.0-rc", "occurs in the version"),
        ("aaaaaaaaaaaa", "occurs in the digest"),
        ("1.1.0-rc.1-", "occurs in the id"),
    ],
)
def test_a_value_that_would_mask_other_text_is_refused_by_the_name_of_its_variable(value, message):
    with pytest.raises(BadInput, match=message) as refused:
        information(version="1.1.0-rc.1", secrets={"FINE": "hidden-value", "NONE": "", "FLAG": value})
    assert "FLAG" in str(refused.value)
    assert "FINE" not in str(refused.value)
    assert len(str(value)) == 1 or str(value) not in str(refused.value)


def test_secrets_of_six_characters_and_empty_ones_are_fine():
    assert information(secrets={"SIX": "sixsix", "NONE": ""})["release"]["version"] == "1.1.0"


def test_a_process_to_be_started_must_be_one_of_the_processes():
    with pytest.raises(BadInput, match="found: ghost"):
        placed(information()["release"], processes_started=["web", "ghost"])


def test_an_empty_host_has_two_empty_slots():
    told = slot_info.tell(checking(application="shop", log_lines=5))
    assert [one["current"] for one in told["slots"].values()] == [None, None]


def test_a_run_that_a_newer_one_has_overtaken_changes_no_slot(monkeypatch, tmp_path):
    """`absent`, because it needs no runtime; all states pass the same fence."""
    monkeypatch.setattr(states, "folder_of", lambda application: str(tmp_path / "state" / application))
    folder = states.folder_of("shop")
    wanted = {"application": "shop", "slot": "blue", "state": "absent", "runtime": None}

    def changed_by(name, epoch):
        run = {"id": name, "epoch": epoch, "operation": "deploy", "actor": "kim", "source": "command line"}
        parameters = {**wanted, "run": {**run, "release": None, "slot": "blue", "previous": None}}
        return slot_release.change(types.SimpleNamespace(params=parameters, check_mode=False))

    assert changed_by("run-1", 7)["changed"] is False
    assert changed_by("run-2", 8)["changed"] is False
    before = [tuple(entry) for entry in journal.read(folder)]
    with pytest.raises(LeaseLost, match=r"Run run-1 .* may not change shop any more, and changed nothing"):
        changed_by("run-1", 7)
    assert [tuple(entry) for entry in journal.read(folder)] == before
    assert [entry.run for entry in journal.read(folder)] == ["run-1", "run-1", "run-2", "run-2"]


def a_run(name, epoch):
    told = {"operation": "deploy", "actor": "kim", "source": "command line", "release": None}
    return {"id": name, "epoch": epoch, **told, "slot": "green", "previous": "blue"}


@pytest.mark.parametrize(
    ("resumes", "check", "run"), [(True, False, "run-2"), (False, False, "run-1"), (True, True, "run-1")]
)
def test_who_goes_on_with_a_release_first_carries_over_what_follows_users_then_changes_the_slot(
    monkeypatch, tmp_path, resumes, check, run
):
    """The fetch of the artefact takes long, and the run dies in it."""
    release = information()["release"]
    monkeypatch.setattr(states, "folder_of", lambda application: str(tmp_path / "state" / application))
    folder = states.folder_of("shop")
    os.makedirs(folder)
    planned = {
        "slot": "green",
        "release_id": release["id"],
        "previous_slot": "blue",
        "previous_release_id": "1.0.0-aaa",
        "kinds": ["worker"],
        "load_balancers": {"lb1": "192.0.2.10:80"},
        "withholds": True,
        "drain_seconds": 20,
        "seconds": 300,
    }
    probation.plan(folder, Run.from_dict(a_run("run-1", 1)), planned, Clock())
    asked = []

    class DyingSlot:
        def __init__(self, *unused, **options):
            pass

        def place(self, definition, variables, **options):
            asked.append(options["resumes"])
            raise InterruptedError

    monkeypatch.setattr(slot_release, "Slot", DyingSlot)
    with pytest.raises(InterruptedError):
        placed(release, slot="green", resume=resumes, run=a_run("run-2", 2), check_mode=check)
    assert (probation.read(folder).run.id, asked) == (run, [resumes])


def test_the_step_that_changes_a_host_is_told_and_the_one_that_died_in_it(tmp_path):
    folder, clock = str(tmp_path / "shop"), Clock()
    run = Run("run-kim", 3, "deploy", "kim", "AWX job 42")
    assert slot_info.unended_step(folder) is None
    with change.change(folder, run, "stage", clock):
        told = slot_info.unended_step(folder)
        assert (told["run"], told["step"], told["at_work"]) == ("run-kim", "stage", True)
    assert slot_info.unended_step(folder) is None
    journal.append(folder, run, "workers", "begin", clock=clock)
    told = slot_info.unended_step(folder)
    assert (told["run"], told["step"], told["at_work"]) == ("run-kim", "workers", False)
    journal.append(folder, run, "switch", "begin", clock=clock)
    assert slot_info.unended_step(folder)["step"] == "workers"


def test_a_journal_of_a_newer_collection_does_not_hide_the_slots(tmp_path):
    (tmp_path / "journal.ndjson").write_text(json.dumps({"schema": 99, "step": "stage"}) + "\n")
    assert slot_info.unended_step(str(tmp_path)) is None
