# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter application_runs."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.filter.application_runs import application_runs


def host(epoch: int, at_work: t.Any = None) -> dict[str, t.Any]:
    return {"__rollout_host": {"rollout": {"epoch": epoch, "at_work": at_work}}}


def test_the_newest_epoch_of_any_host_counts() -> None:
    told = application_runs({"app1": host(3), "app2": host(12), "app3": host(0)}, ["app1", "app2", "app3"])
    assert told == {"floor": 12, "at_work": {}}


def test_who_is_at_work_is_told_with_place_step_and_time() -> None:
    entry = {"run": "3f9c", "step": "stage", "at": "2026-01-31T22:10:05Z"}
    told = application_runs({"app1": host(3), "app2": host(3, entry)}, ["app1", "app2"])
    assert told["at_work"] == {"3f9c": "at work on app2 (stage since 2026-01-31T22:10:05Z)"}


def test_a_host_that_said_nothing_adds_nothing() -> None:
    hosts = {"app1": {}, "app2": {"__rollout_host": {"unreachable": True}}, "app3": host(2)}
    assert application_runs(hosts, list(hosts)) == {"floor": 2, "at_work": {}}
