# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a slot should run: instances, checksums, release ids and the refusals of bad input."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, StateUnreadable
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d

WEB = {"name": "web", "kind": "web", "command": ["web"], "instances": 2, "container_port": 8000, "memory": "512m"}
WORKER = {"name": "worker", "kind": "worker", "command": ["worker"]}
RELEASE = d.Release("1.1.0-0123456789ab", "1.1.0", "sha256:" + "a" * 64, "registry.test/shop")


def defined(*processes, runtime="docker", **changes):
    base = d.Definition(
        application="shop",
        slot="blue",
        runtime=runtime,
        release=RELEASE,
        processes=d.processes_from(processes or (WEB, WORKER), runtime=runtime),
        port_base=18000,
        bind_address="192.0.2.1",
        environment_file="/etc/rollout/shop/1.1.0-0123456789ab.env",
        variables=("A",),
        started=("web",),
    )
    return dataclasses.replace(base, **changes)


def test_web_instances_take_ports_in_a_row_and_workers_take_none():
    second = {**WEB, "name": "api", "instances": 1}
    assert [(one.name, one.host_port) for one in defined(WEB, WORKER, second).instances] == [
        ("shop-blue-web-1", 18000),
        ("shop-blue-web-2", 18001),
        ("shop-blue-worker-1", None),
        ("shop-blue-api-1", 18002),
    ]


@pytest.mark.parametrize(
    ("runtime", "port", "address"), [("docker", "8000", "0.0.0.0"), ("systemd", "18001", "192.0.2.1")]
)
def test_an_instance_knows_where_it_listens_as_it_sees_it(runtime, port, address):
    assert defined(runtime=runtime).instances[1].environment == {
        "BIND_ADDRESS": address,
        "INSTANCE": "shop-blue-web-2",
        "PORT": port,
        "RELEASE_ID": "1.1.0-0123456789ab",
        "RELEASE_VERSION": "1.1.0",
        "SLOT": "blue",
    }
    assert "PORT" not in defined(runtime=runtime).instances[2].environment


@pytest.mark.parametrize(
    "changes",
    [
        {"release": dataclasses.replace(RELEASE, digest="sha256:" + "b" * 64)},
        {"release": dataclasses.replace(RELEASE, id="1.1.0-ffffffffffff")},
        {"port_base": 18010},
        {"bind_address": "0.0.0.0"},
        {"environment_file": "/elsewhere.env"},
        {"slot": "green"},
        {"processes": d.processes_from([{**WEB, "memory": "1g"}], runtime="docker")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_difference_that_an_instance_would_feel_changes_its_checksum(changes):
    assert defined().instances[0].checksum != defined(**changes).instances[0].checksum


@pytest.mark.parametrize(
    "changes",
    [
        {"started": ("web", "worker")},
        {"variables": ("A", "B")},
        {"processes": d.processes_from([{**WEB, "instances": 5}], runtime="docker")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_difference_that_an_instance_would_not_feel_leaves_its_checksum(changes):
    assert defined().instances[0].checksum == defined(**changes).instances[0].checksum


def test_a_definition_survives_its_file():
    written = json.loads(json.dumps(defined().to_json()))
    assert d.definition_from_json(written, where="blue.json") == defined()


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        {},
        {**defined().to_json(), "processes": [{"name": "web"}]},
        {**defined().to_json(), "processes": ["x"]},
        {**defined().to_json(), "port_base": "x"},
    ],
)
def test_a_damaged_definition_is_named_with_its_file(damage):
    with pytest.raises(StateUnreadable, match=r"blue\.json"):
        d.definition_from_json(damage, where="blue.json")


def identity(**changes):
    base = {
        "application": "shop",
        "version": "1.1.0",
        "digest": RELEASE.digest,
        "runtime": "docker",
        "processes": d.processes_from([WEB], runtime="docker"),
        "environment": {"A": "1"},
        "secrets": {"S": "hidden"},
    }
    return d.release_id(**{**base, **changes})


def test_a_release_id_is_version_and_twelve_digits_and_the_same_each_time():
    assert identity() == identity()
    assert d.release_from({**dataclasses.asdict(RELEASE), "id": identity()}).id.startswith("1.1.0-")


@pytest.mark.parametrize(
    "changes",
    [
        {"application": "other"},
        {"digest": "sha256:" + "b" * 64},
        {"runtime": "systemd"},
        {"environment": {"A": "2"}},
        {"secrets": {"S": "changed"}},
        {"environment": {"A": "1", "S": "hidden"}, "secrets": {}},
        {"processes": d.processes_from([{**WEB, "cpus": "2"}], runtime="docker")},
    ],
    ids=str,
)
def test_a_release_with_another_configuration_is_another_release(changes):
    assert identity(**changes) != identity()


def test_options_left_out_and_options_set_to_their_defaults_are_one_release():
    spelled_out = {**WEB, "stop_timeout": 30, "cpus": None, "health_command": None}
    assert identity(processes=d.processes_from([spelled_out], runtime="docker")) == identity()


@pytest.mark.parametrize(
    ("memory", "expected"), [("64k", 65536), ("512m", 536870912), ("2G", 2147483648), (None, None)]
)
def test_memory_is_counted_in_bytes(memory, expected):
    assert d.process_from({**WORKER, "memory": memory}).memory_bytes == expected


@pytest.mark.parametrize(
    ("runtime", "options", "message"),
    [
        ("docker", {**WEB, "name": "Web"}, "lower-case"),
        ("docker", {**WEB, "container_port": None}, "container_port"),
        ("docker", {**WEB, "container_port": 70000}, "container_port"),
        ("docker", {**WEB, "kind": "queue"}, "kind"),
        ("docker", {**WEB, "instances": 0}, "instances"),
        ("docker", {**WEB, "memory": "lots"}, "memory"),
        ("docker", {**WEB, "cpus": "0"}, "cpus"),
        ("docker", {**WEB, "stop_timeout": 0}, "stop_timeout"),
        ("docker", {**WEB, "command": ["a\nb"]}, "one line"),
        ("docker", {"name": "clock", "kind": "scheduler", "instances": 2}, "never runs twice"),
        ("systemd", {**WEB, "command": []}, "command"),
        ("systemd", {**WEB, "health_command": "true"}, "docker only"),
    ],
)
def test_a_process_that_cannot_run_is_refused(runtime, options, message):
    with pytest.raises(BadInput, match=message):
        d.processes_from([options], runtime=runtime)


def test_two_processes_cannot_share_a_name():
    with pytest.raises(BadInput, match="each name once"):
        d.processes_from([WEB, WEB], runtime="docker")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"started": ("web", "ghost")}, "found: ghost"),
        ({"port_base": 80}, "host ports"),
        ({"port_base": 65535}, "65535 to 65536"),
        ({"application": "Shop"}, "application"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        d.check_definition(defined(**changes))


@pytest.mark.parametrize(
    ("environment", "secrets", "message"),
    [
        ({"A-B": "1"}, {}, "A-B"),
        ({"PORT": "1"}, {}, "PORT"),
        ({}, {"INSTANCE": "1"}, "INSTANCE"),
        ({"A": "1"}, {"A": "hidden-value"}, "found: A"),
    ],
)
def test_refused_variables_are_named_and_their_values_are_not(environment, secrets, message):
    with pytest.raises(BadInput, match=message) as refused:
        d.check_variables(environment, secrets)
    assert "hidden-value" not in str(refused.value)


def test_numbers_become_texts_and_booleans_must_be_quoted():
    assert d.text_variables({"A": 1, "B": "x"}) == {"A": "1", "B": "x"}
    for value in (True, None, ["x"]):
        with pytest.raises(BadInput, match="quotes"):
            d.text_variables({"A": value})
