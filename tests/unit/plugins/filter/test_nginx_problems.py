# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter nginx_problems: what nginx cannot do is refused, not ignored."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.nginx_problems import nginx_problems

SOUND: dict[str, t.Any] = {
    "slow_start": 0,
    "timeout_queue": 10,
    "headers": {"X-Frame-Options": "DENY"},
    "rate_limits": [{"path": "/api/login", "requests": 5, "seconds": 60}],
    "protected_paths": [{"path": "/metrics", "networks": ["10.0.0.0/8"]}],
    "maintenance": "unchanged",
    "exporter_address": "",
    "virtual_addresses": [],
}


def test_what_nginx_can_do_is_no_problem() -> None:
    assert nginx_problems(SOUND) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"slow_start": 5}, "load_balancer_slow_start: nginx"),
        ({"timeout_queue": 30}, "load_balancer_timeout_queue: nginx has no queue"),
        ({"maintenance": "active"}, "load_balancer_maintenance"),
        ({"exporter_address": "10.0.0.1"}, "no metrics for Prometheus"),
        ({"virtual_addresses": ["10.0.0.9/24"]}, "keepalived watches HAProxy"),
        ({"headers": {"X-Other": "$host"}}, "X-Other: expected letters"),
        ({"rate_limits": [{"path": "login", "requests": 5, "seconds": 60}]}, "expected a path"),
        ({"rate_limits": [{"path": "/login", "requests": 0, "seconds": 60}]}, "whole numbers above 0"),
        ({"rate_limits": [{"path": "/login", "requests": 1, "seconds": 3600}]}, "at least one request a minute"),
        ({"protected_paths": [{"path": "/metrics"}]}, "everybody may ask it"),
        (
            {"protected_paths": [{"path": "/a", "users": {"x": "y"}}, {"path": "/A/b", "users": {"x": "y"}}]},
            "/a comes before: put the longer path first",
        ),
    ],
)
def test_what_nginx_cannot_do_is_told(change: dict[str, t.Any], says: str) -> None:
    problems = nginx_problems({**SOUND, **change})
    assert len(problems) == 1
    assert says in problems[0]


def test_settings_that_are_missing_are_a_mistake_of_the_role() -> None:
    with pytest.raises(AnsibleFilterError, match="slow_start"):
        nginx_problems({})
