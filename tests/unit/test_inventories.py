# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories that operators copy: what preflight checks without asking a host must pass as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.vitalops.rollout.plugins.plugin_utils import _preflight

INVENTORIES = sorted(path for path in (Path(__file__).parents[2] / "inventories").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", INVENTORIES, ids=lambda path: path.name)
def test_no_variable_gives_up_safety_or_is_too_short(folder: Path) -> None:
    variables = yaml.safe_load((folder / "group_vars" / "all" / "rollout.yml").read_text(encoding="utf-8"))
    host = _preflight.Host("host1", variables, ["load_balancer", "application"])
    checks = (_preflight.lost_safety, _preflight.short_guards, _preflight.short_leases)
    assert [str(problem) for check in checks for problem in check([host])] == []
