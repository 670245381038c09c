# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role documents each of its variables, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parent.parent for path in Path("roles").glob("*/meta/argument_specs.yml"))


def test_every_role_has_a_specification() -> None:
    assert {role.name for role in ROLES} == {role.name for role in Path("roles").iterdir()}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_specification_name_the_same_variables(role: Path) -> None:
    specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    documented = {name: option for entry in specification.values() for name, option in entry["options"].items()}
    defaults = role / "defaults" / "main.yml"
    defaulted = set(yaml.safe_load(defaults.read_text()) or {}) if defaults.exists() else set()
    assert defaulted <= set(documented)
    optional = {name for name, option in documented.items() if not option.get("required")}
    assert optional - defaulted <= {"rollout_version"}  # asked for only by the verbs that deploy
