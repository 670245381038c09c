# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates that users copy can be used as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.vitalops.rollout.plugins.plugin_utils._gate_problems import gate_problems

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "gates").glob("*.yml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_has_no_problem(example: Path) -> None:
    variables = yaml.safe_load(example.read_text(encoding="utf-8"))
    stores = {"rollout_database": {"host": "data1"}, "rollout_redis": {"host": "data1"}}
    assert [str(one) for one in gate_problems({**variables, **stores}, ["lb1", "tester1"])] == []
