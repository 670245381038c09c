# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the instances of a slot listen."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.gate_targets import gate_targets
from ansible_collections.vitalops.rollout.plugins.filter.web_instances import web_instances

PROCESSES = [
    {"name": "web", "kind": "web", "instances": 2},
    {"name": "worker", "kind": "worker", "instances": 3},
    {"name": "admin", "kind": "web"},
]
PORTS = {"blue": 18000, "green": 18100}
ADDRESSES = {"app1": "192.0.2.11", "app2": "192.0.2.12"}


def test_every_web_instance_has_a_port_of_its_own() -> None:
    found = web_instances(PROCESSES, PORTS, ["app1", "app2"], ADDRESSES)
    assert [(entry["name"], entry["port"]) for entry in found["green"]] == [
        ("app1-web-1", 18100),
        ("app1-web-2", 18101),
        ("app1-admin-1", 18102),
        ("app2-web-1", 18100),
        ("app2-web-2", 18101),
        ("app2-admin-1", 18102),
    ]


def test_a_gate_asks_every_instance() -> None:
    found = web_instances(PROCESSES, PORTS, ["app1"], ADDRESSES)
    assert gate_targets(found["blue"], "/ready")[0] == {"name": "app1-web-1", "url": "http://192.0.2.11:18000/ready"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: web_instances(PROCESSES, {"blue": 1}, ["app1"], ADDRESSES), "first port for slot green"),
        (lambda: web_instances(PROCESSES, PORTS, ["app3"], ADDRESSES), "address of host app3"),
        (lambda: web_instances("web", PORTS, [], {}), "list of processes"),
        (lambda: gate_targets([], "ready"), "starts with a slash"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        call()
