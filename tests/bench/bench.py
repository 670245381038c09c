# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks. `bench.py --help` lists the options; prints tables, keeps tests/output/bench.json, never judges."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

COLLECTIONS = Path(__file__).resolve().parents[2] / ".venv" / "collections"

if __name__ == "__main__":
    if not (COLLECTIONS / "ansible_collections" / "vitalops" / "rollout").is_dir():
        sys.exit("The toolchain is not there yet. Type: make setup")
    sys.path[0] = str(COLLECTIONS)
    sys.exit(importlib.import_module("ansible_collections.vitalops.rollout.tests.bench.cli").main(sys.argv[1:]))
