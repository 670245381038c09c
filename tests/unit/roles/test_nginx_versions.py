# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx is told depends on its version: no Debian that is tested has the newest one."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.plugins.test.core import version_compare

ROLE = Path("roles/load_balancer")


def rendered(template: str, version: str) -> str:
    """Returns a template of the role with its defaults, for an nginx of *version*."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.tests["version"] = version_compare
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    own = {
        "load_balancer_application": "shop",
        "__load_balancer_nginx_version": version,
        "__load_balancer_nginx_status": "127.0.0.1:8406",
        "__load_balancer_nginx_certificates": "/etc/nginx/certificates",
        "__load_balancer_nginx_ciphers": [],
        "name": "shop",
    }
    return environment.get_template(template).render({**defaults, **own})


@pytest.mark.parametrize(("version", "expected"), [("1.26.3", 0), ("1.27.4", 1), ("1.30.0", 1), ("1.9.9", 0)])
def test_idle_connections_get_one_more_answer_at_a_reload_where_nginx_can(version: str, expected: int) -> None:
    told = rendered("nginx.conf.j2", version)
    assert told.count("\n    keepalive_min_timeout 1s;\n") == expected
    assert "\n    keepalive_timeout 60s;\n" in told


@pytest.mark.parametrize(
    ("version", "expected"), [("1.22.1", "listen *:443 ssl http2;"), ("1.26.3", "listen *:443 ssl;\n    http2 on;")]
)
def test_http_2_is_asked_for_in_words_that_the_version_knows(version: str, expected: str) -> None:
    assert expected in rendered("nginx_tls.conf.j2", version)
