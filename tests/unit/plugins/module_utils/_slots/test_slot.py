# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slot over time: releases come, are refused, come back; and a kill at any moment is made good by the next call."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import stat

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, NotFound
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import record
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.plan import Observed
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.slot import Slot, report

VALUES = {"GREETING": "hello", "PASSWORD": "hidden-value"}


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


class Host:
    """A runtime in memory. *killed_at* kills the caller at that change, before or after it was made."""

    STARTS_FROM_ARTEFACT = False

    def __init__(self):
        self.instances = {}
        self.artefacts = set()
        self.changes = 0
        self.killed_at = None
        self.installed = True

    def _change(self, make):
        for moment in ("before", "after"):
            if moment == "after":
                make()
            self.changes += 1
            if self.killed_at == self.changes:
                raise Killed

    def available(self):
        return self.installed

    def observe(self, application, slot):
        return [one for one in self.instances.values() if one.name.startswith(f"{application}-{slot}-")]

    def has_artefact(self, definition):
        return definition.release.digest in self.artefacts

    def fetch(self, definition):
        self._change(lambda: self.artefacts.add(definition.release.digest))

    def stop(self, instances):
        for one in instances:
            self._change(lambda one=one: self._set(dataclasses.replace(one, state="stopped", boots=False)))
        return [one.name for one in instances if one.process == "stubborn" and one.state == "running"]

    def remove(self, instances):
        for one in instances:
            assert self.instances[one.name].state == "stopped", "nothing is removed while it runs"
            self._change(lambda one=one: self.instances.pop(one.name))

    def create(self, instances):
        for one in instances:
            assert one.name not in self.instances
            assert os.path.exists(one.definition.environment_file), "its environment file comes first"
            assert self.has_artefact(one.definition), "its artefact comes first"
            self._change(lambda one=one: self._run(one))

    def start(self, instances):
        for one in instances:
            assert self.instances[one.name].checksum == one.checksum
            self._change(lambda one=one: self._run(one))

    def surplus(self, application, keep, artefact):
        return []

    def discard(self, artefacts):
        raise AssertionError

    def logs(self, names, lines):
        return {name: [f"last words of {name}"] for name in names}

    def _set(self, observed):
        self.instances[observed.name] = observed

    def _run(self, one):
        release_id = one.definition.release.id
        self._set(Observed(one.name, one.process.name, one.number, "running", one.checksum, release_id, True))

    def interrupting(self, function):
        """The same function, at which the caller can be killed as well."""

        def interrupted(*arguments, **options):
            results = []
            self._change(lambda: results.append(function(*arguments, **options)))
            return results[0]

        return interrupted

    @property
    def running(self):
        return {name: one.release_id[0] for name, one in self.instances.items() if one.state == "running"}


@pytest.fixture
def paths(tmp_path):
    return record.Paths("shop", str(tmp_path))


@pytest.fixture
def host():
    return Host()


def slot_of(paths, host, name="blue", **options):
    return Slot(paths, name, drivers={"docker": host, "systemd": host}, **options)


def release(paths, version, *started, slot="blue"):
    release_id = f"{version}-{version * 12}"
    processes = [
        {"name": "web", "kind": "web", "container_port": 8000, "instances": 2},
        {"name": "worker", "kind": "worker"},
        {"name": "stubborn", "kind": "worker"},
    ]
    return d.Definition(
        application="shop",
        slot=slot,
        runtime="docker",
        release=d.Release(release_id, version, "sha256:" + version * 64, "registry.test/shop"),
        processes=d.processes_from(processes, runtime="docker"),
        port_base=18000,
        bind_address="127.0.0.1",
        environment_file=paths.environment_file(release_id),
        variables=tuple(sorted(VALUES)),
        started=started,
    )


def verbs(outcome):
    return [f"{one['action']} {os.path.basename(one['target'])}" for one in outcome.actions if one["action"] != "fetch"]


BOTH_WEB = {"shop-blue-web-1": "1", "shop-blue-web-2": "1"}
BOTH_WEB_OF_2 = dict.fromkeys(BOTH_WEB, "2")


def test_a_first_release_comes_and_a_second_run_changes_nothing(paths, host):
    outcome = slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert verbs(outcome) == [
        "write 1-111111111111.env",
        "record blue.json",
        "create shop-blue-web-1",
        "create shop-blue-web-2",
    ]
    assert host.running == BOTH_WEB
    assert slot_of(paths, host).place(release(paths, "1", "web"), VALUES).actions == []


def test_secrets_are_in_the_environment_file_for_root_alone_and_nowhere_else(paths, host, tmp_path):
    outcome = slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    environment_file = paths.environment_file("1-111111111111")
    assert stat.S_IMODE(os.stat(environment_file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(environment_file)).st_mode) == 0o700
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and "hidden-value" in path.read_text()]
    assert [str(path) for path in holding] == [environment_file]
    assert "hidden-value" not in json.dumps(outcome.result())
    assert outcome.after["variables"] == ["GREETING", "PASSWORD"]


def test_check_mode_tells_the_same_actions_and_touches_nothing(paths, host, tmp_path):
    foreseen = slot_of(paths, host, check=True).place(release(paths, "1", "web"), VALUES)
    assert list(tmp_path.iterdir()) == []
    assert host.instances == {}
    done = slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert foreseen.result() == done.result()


def test_check_mode_works_before_the_runtime_is_installed_and_a_real_run_says_what_is_missing(paths, host):
    host.installed = False
    assert slot_of(paths, host, check=True).place(release(paths, "1", "web"), VALUES).changed
    with pytest.raises(NotFound, match="runtime docker does not work"):
        slot_of(paths, host).place(release(paths, "1", "web"), VALUES)


def test_check_mode_foresees_workers_of_a_release_that_is_not_there_yet(paths, host):
    outcome = slot_of(paths, host, check=True).switch_processes(["worker"], on=True, release_id="1-111111111111")
    assert verbs(outcome) == ["start worker"]


def test_a_refused_release_stops_and_stays_for_a_look_at_it(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web", "worker"), VALUES)
    slot_of(paths, host).place(release(paths, "2", "web"), VALUES)
    assert host.running == BOTH_WEB_OF_2
    slot_of(paths, host).withhold("2-222222222222")
    assert host.running == {}
    assert sorted(host.instances) == sorted(BOTH_WEB_OF_2)
    assert slot_of(paths, host).withhold("2-222222222222").actions == []


def test_a_roll_back_takes_back_what_a_refused_release_replaced(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    slot_of(paths, host).place(release(paths, "2", "web", "worker"), VALUES)
    slot_of(paths, host).withhold("2-222222222222", kept="1-111111111111")
    slot_of(paths, host).switch_processes(kinds=["web"], on=True, release_id="1-111111111111")
    assert host.running == BOTH_WEB
    assert sorted(host.instances) == sorted(BOTH_WEB)


A, C, D = "1", "2", "3"
#: Releases placed, each with what was confirmed then; the one refused; the confirmed one; what is on record; what runs.
REFUSALS = {
    "the confirmed release is deployed again": ([(A, None), (A, A)], A, A, [A, None], A),
    "the confirmed release is refused twice": ([(A, None), (A, A), "refused"], A, A, [A, None], A),
    "the current release was never confirmed": ([(A, None), (C, A), (D, A)], D, A, [D, A], None),
    "a second run of the deployment": ([(A, None), (C, A), (D, A), (D, A)], D, A, [D, A], None),
    "the confirmed release comes back over an unconfirmed one": ([(A, None), (C, A), (A, A)], A, A, [A, C], A),
    "the release never reached this host": ([(A, None), (C, A)], D, A, [C, A], C),
    "the release never reached this host, which has the confirmed one": ([(C, None), (A, C)], D, A, [A, C], A),
    "the slot forgot the confirmed release": ([(C, None), (D, A)], D, A, [D, C], None),
    "a release is refused over a refused one": ([(A, None), (C, A), "refused", (D, A)], D, A, [D, A], None),
    "nothing is confirmed, first release": ([(A, None)], A, None, [A, None], None),
    "nothing is confirmed, second release": ([(A, None), (C, None)], C, "", [C, A], None),
    "nothing is confirmed, third release": ([(A, None), (C, None), (D, None)], D, None, [D, C], None),
}


@pytest.mark.parametrize("story", REFUSALS)
def test_a_refusal_keeps_what_is_confirmed_on_record(paths, host, story):
    """Given releases placed with what was confirmed then, when one is refused, then this is on record and runs."""

    def id_of(version):
        return f"{version}-{version * 12}" if version else version

    calls, refused, kept, expected, runs = REFUSALS[story]
    for call in calls:
        if call == "refused":
            current = record.read(paths, "blue").release_id
            slot_of(paths, host).withhold(current, kept=id_of(kept))
        else:
            slot_of(paths, host).place(release(paths, call[0], "web"), VALUES, kept=id_of(call[1]))
    slot_of(paths, host).withhold(id_of(refused), kept=id_of(kept))
    assert [one and one.release.version for one in record.read(paths, "blue")] == expected
    assert host.running == (dict.fromkeys(BOTH_WEB, runs) if runs else {})
    assert sorted(os.listdir(paths.configuration)) == sorted(f"{id_of(one)}.env" for one in expected if one)
    assert slot_of(paths, host).withhold(id_of(refused), kept=id_of(kept)).actions == []


def test_a_confirmed_release_deployed_again_changes_nothing(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert slot_of(paths, host).place(release(paths, "1", "web"), VALUES, kept="1-111111111111").actions == []


WORK = {"shop-blue-stubborn-1": "1", "shop-blue-worker-1": "1"}


@pytest.mark.parametrize(
    ("worked", "version", "running"),
    [
        (True, "1", {**BOTH_WEB, **WORK}),
        (False, "1", BOTH_WEB),
        (True, "2", BOTH_WEB_OF_2),
    ],
    ids=["work had moved here", "it had not", "another release comes"],
)
def test_who_goes_on_with_a_release_leaves_its_work_where_it_runs(paths, host, worked, version, running):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    slot_of(paths, host).switch_processes(kinds=["worker"], on=worked)
    resumed = slot_of(paths, host).place(release(paths, version, "web"), VALUES, resumes=True)
    assert (host.running, resumed.changed) == (running, version != "1")


def test_work_that_has_died_meanwhile_runs_again(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web", "worker"), VALUES)
    del host.instances["shop-blue-worker-1"]
    resumed = slot_of(paths, host).place(release(paths, "1", "web"), VALUES, resumes=True)
    assert verbs(resumed) == ["create shop-blue-worker-1"]
    ended = slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert verbs(ended) == ["record blue.json", "stop shop-blue-worker-1"]


def test_a_write_that_was_cut_short_leaves_no_secret(paths, host, monkeypatch):
    def killed(temporary, path):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(os, "unlink", lambda path: None)  # a kill leaves no time to clean up
        with pytest.raises(Killed):
            slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    left = os.listdir(paths.configuration)
    assert [name.startswith(".1-111111111111.env.") for name in left] == [True]
    foreseen = slot_of(paths, host, check=True).place(release(paths, "1", "web"), VALUES)
    assert f"discard {left[0]}" in verbs(foreseen)
    assert os.listdir(paths.configuration) == left
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert os.listdir(paths.configuration) == ["1-111111111111.env"]


def test_who_switches_processes_is_told_where_the_recorded_web_instances_listen(paths, host):
    slot_of(paths, host).place(dataclasses.replace(release(paths, "1", "web"), port_base=18500), VALUES)
    slot_of(paths, host).place(release(paths, "2", "web"), VALUES)
    back = slot_of(paths, host).switch_processes(kinds=["web", "worker"], on=True, release_id="1-111111111111")
    assert back.instances == [
        {"name": f"shop-blue-web-{n}", "process": "web", "number": n, "address": "127.0.0.1", "port": 18499 + n}
        for n in (1, 2)
    ]
    assert slot_of(paths, host).switch_processes(["worker"], on=True).instances == []


def test_another_release_is_not_withheld_by_mistake(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    assert slot_of(paths, host).withhold("2-222222222222").actions == []
    assert host.running == BOTH_WEB


def test_workers_start_and_stop_from_the_record_alone_and_a_kill_is_reported(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    slot_of(paths, host).switch_processes(kinds=["worker"], on=True)
    assert sorted(host.running) == [*sorted({**BOTH_WEB, "shop-blue-stubborn-1": "", "shop-blue-worker-1": ""})]
    stopped = slot_of(paths, host).switch_processes(["worker", "stubborn"], on=False)
    assert stopped.killed == ["shop-blue-stubborn-1"]
    assert host.running == BOTH_WEB
    assert slot_of(paths, host).switch_processes(["worker", "stubborn"], on=False).actions == []


def test_rolling_back_takes_the_previous_release_out_of_the_record(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    slot_of(paths, host).place(release(paths, "2", "web", "worker"), VALUES)
    slot_of(paths, host).switch_processes(kinds=["web"], on=True, release_id="1-111111111111")
    assert host.running == BOTH_WEB, "the worker of the other release is gone too"
    with pytest.raises(NotFound, match="current 1-111111111111"):
        slot_of(paths, host).switch_processes(["web"], on=True, release_id="2-222222222222")


def test_unknown_processes_cannot_start_and_are_stopped_already(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    with pytest.raises(BadInput, match="found: ghost"):
        slot_of(paths, host).switch_processes(["ghost"], on=True)
    assert slot_of(paths, host).switch_processes(["ghost"], on=False).actions == []
    assert slot_of(paths, host, "green").switch_processes(["web"], on=False).actions == []


def test_the_other_slot_is_never_touched(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    green = dataclasses.replace(release(paths, "2", "web", slot="green"), port_base=18100)
    slot_of(paths, host, "green").place(green, VALUES)
    slot_of(paths, host, "green").empty()
    assert host.running == BOTH_WEB
    assert os.listdir(paths.configuration) == ["1-111111111111.env"]


def test_a_port_of_a_stranger_is_refused_before_anything_is_changed(paths, host, tmp_path):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = dataclasses.replace(release(paths, "1", "web"), port_base=stranger.getsockname()[1])
        with pytest.raises(BadInput, match="nothing was changed"):
            slot_of(paths, host).place(taken, VALUES)
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_host_is_refused(paths, host):
    elsewhere = dataclasses.replace(release(paths, "1", "web"), bind_address="192.0.2.1")
    with pytest.raises(BadInput, match="not one of this host"):
        slot_of(paths, host).place(elsewhere, VALUES)


def test_the_report_tells_what_is_missing_what_is_stray_and_the_last_words(paths, host):
    slot_of(paths, host).place(release(paths, "1", "web"), VALUES)
    host.instances["shop-blue-old-1"] = Observed("shop-blue-old-1", "old", 1, "running", "x", "0-000000000000", True)
    del host.instances["shop-blue-web-2"]
    told = report(paths, "blue", lines=1, drivers={"docker": host, "systemd": host})
    assert {one["name"]: one["state"] for one in told["instances"]} == {
        "shop-blue-web-1": "running",
        "shop-blue-web-2": "missing",
        "shop-blue-worker-1": "stopped",
        "shop-blue-stubborn-1": "stopped",
        "shop-blue-old-1": "running",
    }
    assert told["instances"][0]["log"] == ["last words of shop-blue-web-1"]
    assert told["current"]["id"] == "1-111111111111"
    assert report(paths, "green")["instances"] == []


REAL = {"write_text": durable.write_text, "remove": durable.remove}
CHANGES = {
    "place": lambda slot, paths: slot.place(release(paths, "2", "web"), VALUES),
    "withhold": lambda slot, paths: slot.withhold("1-111111111111"),
    "roll back": lambda slot, paths: slot.switch_processes(kinds=["web"], on=True, release_id="0-000000000000"),
    "stop": lambda slot, paths: slot.switch_processes(["worker"], on=False),
    "empty": lambda slot, paths: slot.empty(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_any_change_the_next_call_completes_it(change, tmp_path, monkeypatch):
    """Given a slot with a past, when a call dies at its n-th change, then the same call again ends as if it had not."""

    def story(folder, killed_at):
        paths, host = record.Paths("shop", str(folder)), Host()
        slot_of(paths, host).place(release(paths, "0", "web"), VALUES)
        slot_of(paths, host).place(release(paths, "1", "web", "worker"), VALUES)
        for name in ("write_text", "remove"):
            monkeypatch.setattr(durable, name, host.interrupting(REAL[name]))
        host.changes, host.killed_at = 0, killed_at
        died = False
        try:
            CHANGES[change](slot_of(paths, host), paths)
        except Killed:
            died = True
        host.killed_at = None
        if died:
            CHANGES[change](slot_of(paths, host), paths)
        recorded = [one and one.release.id for one in record.read(paths, "blue")]
        again = CHANGES[change](slot_of(paths, host), paths)
        instances = {one.name: (one.state, one.release_id) for one in host.instances.values()}
        return died, instances, recorded, again.actions

    died, instances, recorded, again = story(tmp_path / "unharmed", None)
    assert not died
    assert again == []
    for moment in range(1, 100):
        died, *ending = story(tmp_path / str(moment), moment)
        if not died:
            break
        assert ending == [instances, recorded, []]
    assert moment > 4, "the story must have died several times"
