# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates ask is real: a Prometheus.

A deploy asks several gates at once: those that are not enforced say what they see, and stop nothing. These tests need
what those of test_gates.py have installed, and deploy whichever version users do not have.
"""

from __future__ import annotations

import base64
import re
import typing as t

import pytest

from . import prometheus
from .prometheus import Prometheus
from .test_gates import READY, deploy, live, other


def told(output: str, gate: str, verdict: str) -> str:
    """Returns what a gate saw last, as the run told it; in the end its verdict was *verdict*, and no pass before."""
    said = re.findall(rf"(?<![\w-]){gate}(?: \(not enforced\))?: ([a-z_]+) \(([^)]*)", output)
    assert said, f"nothing was said of the gate {gate}"
    assert said[-1][0] == verdict, said
    assert verdict == "pass" or "pass" not in dict(said), said
    return str(said[-1][1])


def another(lab: t.Any) -> str:
    """Returns the version that users do not have."""
    return {"1.0.0": "1.1.0", "1.1.0": "1.0.0"}[live(lab)]


@pytest.fixture(scope="module")
def monitor(lab: t.Any, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Prometheus]:
    """A Prometheus that looks at itself every second."""
    yield prometheus.start(lab, tmp_path_factory.mktemp("prometheus"))
    prometheus.stop(lab)


def asks(monitor: Prometheus, name: str, query: str, **more: t.Any) -> dict[str, t.Any]:
    """Returns a gate that asks Prometheus, with what it needs to be let in."""
    password = {"user": prometheus.USER, "secret_password": monitor.password}
    where = {"url": monitor.url, "ca_path": prometheus.CA_PATH, "interval": "1 s", **password}
    return {"name": name, "type": "prometheus", "query": query, **where, **more}


def hidden(output: str, password: str) -> bool:
    token = base64.b64encode(f"{prometheus.USER}:{password}".encode()).decode()
    return password not in output and token not in output


def test_a_limit_that_prometheus_does_not_keep_refuses_a_release(lab: t.Any, monitor: Prometheus) -> None:
    before, version = lab.pointed(), another(lab)
    series = asks(monitor, "series", "prometheus_tsdb_head_series", range="3 s", at_most={"value": 10})
    played = deploy(lab, version, rollout_gates={"before_switch": [series]}, rollout_bake_seconds=0)
    assert played.code != 0
    assert "refuse it (before the switch): series: failures 1, at most 0." in played.output
    found = re.search(r"^value (\d+), at most 10, worst of ", told(played.output, "series", "fail"))
    assert found and int(found[1]) > 10
    assert lab.pointed() == before
    assert hidden(played.output, monitor.password)


def test_prometheus_is_asked_by_tls_and_with_a_password(lab: t.Any, monitor: Prometheus) -> None:
    before, version = lab.pointed(), another(lab)
    up, one, seen = "up{job='prometheus'}", {"at_least": {"value": 1}}, {"enforce": False}
    gates = [
        READY,
        asks(monitor, "up", up, range="5 s", **one),
        asks(monitor, "strict", "prometheus_tsdb_head_series", at_most={"value": 10}, **seen),
        # An answer for now would often be good.
        asks(monitor, "swings", "time() % 5", range="5 s", at_most={"value": 3}, **seen),
        asks(monitor, "nobody", up, range="5 s", **one, **seen, secret_password="of-somebody-else"),
        asks(monitor, "stranger", up, range="5 s", **one, **seen, ca_path=None),
        asks(monitor, "unknown", "up{job='nowhere'}", range="5 s", **one, **seen),
        asks(monitor, "mistaken", "up{", **one, **seen),
    ]
    played = deploy(lab, version, *gates, rollout_bake_seconds=8)
    assert played.code == 0
    assert live(lab) == version
    assert lab.pointed() == other(before)
    assert told(played.output, "up", "pass").startswith("value 1, at least 1, worst of ")
    assert re.match(r"value \d{2,}, at most 10", told(played.output, "strict", "fail"))
    assert re.match(r"value [34]\.\d+, at most 3", told(played.output, "swings", "fail"))
    assert "401" in told(played.output, "nobody", "error")
    assert told(played.output, "stranger", "error").startswith("the certificate is not accepted (")
    assert "the query found nothing" in told(played.output, "unknown", "no_data")
    assert "bad_data" in told(played.output, "mistaken", "error")
    assert hidden(played.output, monitor.password)
    assert hidden(played.output, "of-somebody-else")
