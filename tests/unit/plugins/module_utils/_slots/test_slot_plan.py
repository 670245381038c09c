# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Given what is on the host and what a slot should run: what must happen, and in which order."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition as d
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.plan import Observed, plan

DEFINITION = d.Definition(
    application="shop",
    slot="blue",
    runtime="docker",
    release=d.Release("2-0123456789ab", "2", "sha256:" + "a" * 64, "registry.test/shop"),
    processes=d.processes_from(
        [
            {"name": "web", "kind": "web", "container_port": 8000},
            {"name": "worker", "kind": "worker"},
        ],
        runtime="docker",
    ),
    port_base=18000,
    bind_address="0.0.0.0",
    environment_file="/e.env",
)
WEB, WORKER = DEFINITION.instances


def seen(instance, state="running", **changes):
    observed = Observed(
        name=instance.name,
        process=instance.process.name,
        number=instance.number,
        state=state,
        checksum=instance.checksum,
        release_id="2-0123456789ab",
        boots=state != "stopped",
    )
    return dataclasses.replace(observed, **changes)


OLD = {"checksum": "old", "release_id": "1-0123456789ab"}
SURPLUS = {"name": "shop-blue-web-2", "number": 2}


@pytest.mark.parametrize(
    ("observed", "started", "only", "expected"),
    [
        pytest.param([], ["web"], None, ["create web-1"], id="empty slot"),
        pytest.param([], [], None, [], id="nothing wanted"),
        pytest.param([seen(WEB)], ["web"], None, [], id="all is so already"),
        pytest.param([seen(WEB, "restarting")], ["web"], None, [], id="the runtime restarts it itself"),
        pytest.param([seen(WEB, "stopped")], ["web"], None, ["start web-1"], id="stopped"),
        pytest.param([seen(WEB, boots=False)], ["web"], None, ["start web-1"], id="would not come back after a reboot"),
        pytest.param([seen(WEB), seen(WORKER)], ["web"], None, ["stop worker-1"], id="a worker too many"),
        pytest.param([seen(WORKER, "restarting")], [], None, ["stop worker-1"], id="crash loop not wanted"),
        pytest.param([seen(WORKER, "stopped", boots=True)], [], None, ["stop worker-1"], id="would come back"),
        pytest.param([seen(WEB), seen(WORKER, "stopped")], ["web"], None, [], id="a stopped worker may stay"),
        pytest.param(
            [seen(WEB, **OLD)], ["web"], None, ["stop web-1", "remove web-1", "create web-1"], id="older release"
        ),
        pytest.param(
            [seen(WEB, checksum="x")], ["web"], None, ["stop web-1", "remove web-1", "create web-1"], id="other port"
        ),
        pytest.param([seen(WEB, "stopped", **OLD)], [], None, ["remove web-1"], id="older, stopped, not wanted"),
        pytest.param([seen(WEB), seen(WEB, **SURPLUS)], ["web"], None, ["stop web-2", "remove web-2"], id="scaled in"),
        pytest.param(
            [seen(WORKER, **OLD), seen(WEB, **OLD)],
            ["web"],
            None,
            ["stop worker-1", "stop web-1", "remove worker-1", "remove web-1", "create web-1"],
            id="every stop comes before every start",
        ),
        pytest.param(
            [seen(WEB, "stopped")], ["web", "worker"], ["worker"], ["create worker-1"], id="others left alone"
        ),
        pytest.param(
            [seen(WEB), seen(WORKER, **OLD)],
            ["web"],
            ["web"],
            ["stop worker-1", "remove worker-1"],
            id="never two releases",
        ),
    ],
)
def test_the_steps_are(observed, started, only, expected):
    steps = plan(DEFINITION.instances, observed, started, only=only)
    assert [f"{step.verb} {step.name.replace('shop-blue-', '')}" for step in steps] == expected


def test_an_empty_definition_removes_everything():
    steps = plan([], [seen(WEB), seen(WORKER, "stopped")], ())
    assert [(step.verb, step.name) for step in steps] == [
        ("stop", WEB.name),
        ("remove", WEB.name),
        ("remove", WORKER.name),
    ]


def test_a_step_says_why():
    assert plan(DEFINITION.instances, [seen(WEB, **OLD)], [])[0].reason == "it is of release 1-0123456789ab"
    assert plan(DEFINITION.instances, [seen(WEB, checksum="x")], [])[0].reason == "its definition changed"
