# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look of a gate at a store, from client1, with the code that a rollout runs there."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = "/tmp/gates/ansible_collections/vitalops/rollout/plugins"
LOOK = """
import importlib, json, sys
sys.path.insert(0, "/tmp/gates")
rooms = "ansible_collections.vitalops.rollout.plugins.module_utils._gates."
specification = importlib.import_module(rooms + "specification")
told = json.load(sys.stdin)
(gate,) = specification.read({"before_switch": [told["gate"]]})
look = importlib.import_module(rooms + gate.type).sampler(gate, told["connection"])(5.0)
print(look.verdict, *look.words, sep="\\n")
"""


def prepare(lab: t.Any) -> None:
    """Puts what gates are made of on client1."""
    lab.connect("client1").check_output("apt-get install -y --no-install-recommends python3-redis python3-psycopg2")
    packed = ["tar", "-C", str(PROJECT / "plugins"), "-c", "module_utils"]
    archive = subprocess.run(packed, check=True, capture_output=True).stdout
    config = str(PROJECT / ".lab" / os.environ["LAB_NAME"] / "ssh_config")
    unpack = f"mkdir -p {FOLDER} && tar -C {FOLDER} -x"
    subprocess.run(["ssh", "-F", config, "client1", unpack], input=archive, check=True)


def verdict(lab: t.Any, kind: str, connection: t.Mapping[str, t.Any], **limits: t.Any) -> str:
    """Returns the verdict on the store of *connection*, which is rollout_database or rollout_redis."""
    told = {"gate": {"name": "store", "type": kind, "at_most": limits}, "connection": connection}
    seen = lab.connect("client1").check_output("printf '%%s' %s | python3 -c %s", json.dumps(told), LOOK)
    print(seen)
    return str(seen.splitlines()[0])
