# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role postgres must know of a family of distributions, it knows of each."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

VARIABLES = Path(__file__).parents[3] / "roles" / "postgres" / "vars"


def read(name: str) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", yaml.safe_load((VARIABLES / f"{name}.yml").read_text()))


def test_every_family_has_a_file_with_the_same_variables() -> None:
    families = {*read("main")["__postgres_families"].values()}
    assert families == {path.stem for path in VARIABLES.glob("*.yml")} - {"main"}
    names = {family: {*read(family)} for family in families}
    assert names["RedHat"] == names["Debian"]
