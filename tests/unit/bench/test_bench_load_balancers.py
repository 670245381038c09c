# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what a switch costs users: no request that was lost is overlooked."""

from __future__ import annotations

from ansible_collections.vitalops.rollout.tests.bench import cli, report


def test_every_load_balancer_tells_what_was_lost() -> None:
    row = {"sent": 5344, "lost": 5, "closed": 995, "switch_p50_ms": 302.4, "switch_max_ms": 527.0}
    rows = [{"load_balancer": name, "method": "POST", **row} for name in ("HAProxy", "nginx")]
    shown = report.everything({"load_balancers": {"clients": 50, "switches": 20, "rows": rows}})
    assert shown[-1].split() == ["nginx", "POST", "5344", "5", "995", "302", "527"]
    assert shown[-2].split()[:2] == ["HAProxy", "POST"]


def test_it_is_a_part_of_the_benchmark() -> None:
    assert cli.parser().parse_args(["--only", "load_balancers"]).only == ["load_balancers"]
