# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a load balancer that cannot be right are told before anything of it is touched."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.load_balancer_problems import load_balancer_problems

GOOD: dict[str, t.Any] = {
    "driver": "haproxy",
    "bind_address": "*",
    "bind_port": 80,
    "tls": True,
    "tls_port": 443,
    "names": ["shop.example.com"],
    "certificate_chain": False,
    "headers": {"Permissions-Policy": "camera=()"},
    "rate_limits": [{"path": "/login", "requests": 5, "seconds": 60}, {"path": "/", "requests": 100, "seconds": 10}],
    "protected_paths": [
        {"path": "/metrics", "users": {"prometheus": "$6$salt$abc./def"}},
        {"path": "/internal", "networks": ["10.0.0.0/8", "fd00::/8"]},
    ],
    "probe_path": "/ready",
    "release_header": "X-Release-Id",
    "slow_start": 5,
    "timeout_queue": 30,
    "maintenance": "unchanged",
    "maintenance_page": "<p>soon</p>",
    "exporter_address": "192.0.2.11",
    "exporter_networks": ["192.0.2.0/24"],
    "pointer_networks": [],
    "preview_networks": [],
    "virtual_addresses": ["192.0.2.10/24"],
    "vrrp_interface": "eth0",
    "vrrp_address": "192.0.2.11",
    "vrrp_peers": ["192.0.2.12"],
    "vrrp_router_id": 51,
    "vrrp_priority": 100,
}

#: What nginx can do of it.
ALONE: dict[str, t.Any] = {"virtual_addresses": [], "vrrp_interface": "", "vrrp_address": "", "vrrp_peers": []}
NGINX: dict[str, t.Any] = {
    **GOOD,
    **ALONE,
    "driver": "nginx",
    "slow_start": 0,
    "timeout_queue": 10,
    "exporter_address": "",
    "exporter_networks": [],
}


@pytest.mark.parametrize("good", [GOOD, {**GOOD, **ALONE}, NGINX, {**NGINX, "headers": {"X-Y": "50%"}}])
def test_good_settings_have_no_problem(good: dict[str, t.Any]) -> None:
    assert load_balancer_problems(good) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tls": False}, "users would get plain text"),
        ({"tls": False, "names": [], "certificate_chain": True}, "users would get plain text"),
        ({"tls_port": 80}, "both 80"),
        ({"names": []}, "load_balancer_tls needs load_balancer_names"),
        ({"headers": {"X Y": "z"}}, "load_balancer_headers: X Y"),
        ({"headers": {"X-Y": "a\nb"}}, "load_balancer_headers: X-Y"),
        ({"headers": {"X-Y": "%[src]"}}, "load_balancer_headers: X-Y"),
        ({"release_header": "X Y"}, "load_balancer_release_header"),
        ({"rate_limits": [{"path": "login", "requests": 5, "seconds": 60}]}, "expected path"),
        ({"rate_limits": [{"path": "/a", "requests": 0, "seconds": 60}]}, "expected requests as a whole number"),
        ({"rate_limits": [{"path": "/a", "requests": 5}]}, "expected seconds as a whole number above 0, found None"),
        ({"rate_limits": list(reversed(GOOD["rate_limits"]))}, "/login never counts behind /"),
        ({"protected_paths": [{"path": "/metrics"}]}, "everybody may ask it"),
        ({"protected_paths": [{"path": "/", "networks": ["10.0.0.0/8"]}]}, "expected a path such as /metrics"),
        ({"protected_paths": [{"path": "/a b", "networks": ["10.0.0.0/8"]}]}, "expected a path such as /metrics"),
        ({"protected_paths": [{"path": "/m", "networks": ["10.0.0.1/8"]}]}, "has host bits set"),
        ({"protected_paths": [{"path": "/m", "users": {"a b": "$6$s$x"}}]}, "no name of a user"),
        ({"maintenance_page": ""}, "found 0"),
        ({"maintenance_page": "x" * 20_000}, "found 20000"),
        ({"probe_path": "ready"}, "load_balancer_probe_path"),
        ({"exporter_networks": ["everywhere"]}, "load_balancer_exporter_networks"),
        ({"virtual_addresses": ["192.0.2.300/24"]}, "found '192.0.2.300/24'"),
        ({"virtual_addresses": ["192.0.2.10/24", "fd00::10/64"]}, "found both"),
        ({"vrrp_interface": ""}, "load_balancer_vrrp_interface"),
        ({"vrrp_address": ""}, "load_balancer_vrrp_address"),
        ({"vrrp_peers": []}, "load_balancer_vrrp_peers: expected IP addresses, found none"),
        ({"vrrp_peers": ["192.0.2.11"]}, "has the address of this host"),
        ({"vrrp_router_id": 0}, "expected 1 to 254, found 0"),
        ({"vrrp_priority": 255}, "expected 1 to 254, found 255"),
    ],
)
def test_each_problem_is_told(settings: dict[str, t.Any], told: str) -> None:
    found = load_balancer_problems({**GOOD, **settings})
    assert any(told in problem for problem in found), found


def test_a_password_that_is_not_hashed_is_refused_without_repeating_it() -> None:
    found = load_balancer_problems({**GOOD, "protected_paths": [{"path": "/m", "users": {"me": "hunter2"}}]})
    assert len(found) == 1
    assert "password of me is not hashed" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"slow_start": 5}, "load_balancer_slow_start: nginx"),
        ({"timeout_queue": 30}, "load_balancer_timeout_queue: nginx has no queue"),
        ({"maintenance": "active"}, "load_balancer_maintenance: nginx"),
        ({"exporter_address": "10.0.0.1"}, "no metrics for Prometheus"),
        ({key: GOOD[key] for key in ALONE}, "keepalived watches HAProxy"),
        ({"rate_limits": [{"path": "/login", "requests": 1, "seconds": 3600}]}, "at least one request a minute"),
        (
            {"protected_paths": [{"path": path, "networks": ["10.0.0.0/8"]} for path in ("/a", "/A/b")]},
            "/a comes before: put the longer path first",
        ),
        # What is wrong for HAProxy is wrong here.
        ({"headers": {"X-Other": "$host"}}, "one line without $."),
        ({"tls": False}, "users would get plain text"),
        ({"names": []}, "load_balancer_tls needs load_balancer_names"),
        ({"rate_limits": [{"path": "/a", "requests": True, "seconds": 60}]}, "expected requests as a whole number"),
        ({"rate_limits": list(reversed(GOOD["rate_limits"]))}, "/login never counts behind /"),
        ({"protected_paths": [{"path": "/m", "users": {"me": "hunter2"}}]}, "password of me is not hashed"),
        ({"protected_paths": [{"path": "/metrics"}]}, "everybody may ask it"),
        ({"preview_networks": ["10.0.0.1/8"]}, "load_balancer_preview_networks"),
        ({"pointer_networks": ["app1"]}, "load_balancer_pointer_networks"),
    ],
)
def test_nginx_has_the_same_problems_and_some_of_its_own_each_told_once(settings: dict[str, t.Any], told: str) -> None:
    found = load_balancer_problems({**NGINX, **settings})
    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize("wrong", [[], {**GOOD, "rate_limits": ["/login"]}, {"tls": True}])
def test_another_shape_is_told(wrong: t.Any) -> None:
    with pytest.raises(AnsibleFilterError):
        load_balancer_problems(wrong)
