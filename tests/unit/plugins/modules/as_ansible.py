# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run as programs, the way Ansible runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

COLLECTION = "ansible_collections.vitalops.rollout.plugins.modules"


def run(
    name: str, arguments: t.Mapping[str, t.Any], environment: t.Mapping[str, str] | None = None
) -> tuple[dict[str, t.Any], str]:
    """Runs the module called *name*. Returns its result, and everything that it wrote."""
    ended = subprocess.run(
        [sys.executable, "-m", f"{COLLECTION}.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stdout, ended.stderr
    return t.cast("dict[str, t.Any]", json.loads(ended.stdout)), ended.stdout + ended.stderr
