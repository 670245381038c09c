# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the reference application importable; the parts tested here need the standard library only."""

from __future__ import annotations

import importlib.util
import sys
import typing as t
from pathlib import Path

import pytest

REFERENCE_APP = Path(__file__).resolve().parents[3] / "examples" / "reference_app"
sys.path.insert(0, str(REFERENCE_APP))


@pytest.fixture(scope="session")
def builder() -> t.Any:
    """The build program as a module."""
    specification = importlib.util.spec_from_file_location("reference_app_build", REFERENCE_APP / "build.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
