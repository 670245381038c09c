# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of nginx share: the hosts of the scenario that nginx needs, as a fleet of their own."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
import yaml

STATE = "/var/lib/rollout/reference"


class Fleet:
    """The hosts of the scenario that nginx needs, as an inventory of their own; verbs and looks of the lab."""

    def __init__(self, lab: t.Any, folder: t.Any) -> None:
        hosts = copy.deepcopy(lab.hosts)
        self.names = sorted(hosts["children"]["nginx"]["hosts"])
        everything = {"app1": {}}
        hosts["children"] = {
            "load_balancer": {"hosts": {name: {} for name in self.names}},
            "nginx": {"hosts": {name: {} for name in self.names}},
            **{name: {"hosts": everything} for name in ("application", "postgres", "redis")},
            "client": {"hosts": {"client1": {}}},
        }
        hosts["hosts"] = {name: hosts["hosts"][name] for name in (*self.names, "app1", "client1")}
        # Containers reach PostgreSQL on their own host from the engine's own network.
        hosts["hosts"]["app1"]["postgres_allowed_networks"] = ["{{ rollout_address }}/32", "172.17.0.0/16"]
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": hosts}))
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "nginx").symlink_to(lab.inventory / "group_vars" / "nginx")
        self.lab = copy.copy(lab)
        self.lab.inventory, self.lab.hosts, self.lab.systemd = folder, hosts, False

    def play(self, verb: str, *arguments: str) -> t.Any:
        return self.lab.play(verb, *arguments)

    def on(self, name: str, command: str) -> str:
        return str(self.lab.connect(name).check_output(command))

    def pointers(self, name: str) -> tuple[str, str, str]:
        """The pointer in the map file, in the include, and of the worker that answers."""
        told = self.on(
            name,
            f"cut -d' ' -f2 {STATE}/traffic.map; "
            f"grep -A1 _pointer {STATE}/traffic.conf | grep -o '[a-z]*:[a-z]*:[0-9]*'; "
            "curl -s http://127.0.0.1:8406/reference",
        ).split()
        return told[0], told[1], told[2]

    def point(self, name: str, pointer: str, application: str = "reference") -> None:
        """The driver of the installed program makes this nginx route by *pointer*."""
        code = "import sys; sys.path.insert(0, '/usr/local/sbin/rollout-guard')\n"
        code += "from rollout._traffic import drivers, pointer\n"
        code += f"drivers.of('{application}').set_pointer('{application}', '', pointer.Pointer({pointer}))"
        self.lab.connect(name).check_output("python3 -c %s", code)

    def settled(self) -> set[tuple[str, str, str]]:
        return {self.pointers(name) for name in self.names}

    def asked(self, name: str, path: str = "/version", *options: str) -> dict[str, t.Any]:
        """What client1 gets through a load balancer."""
        url = f"http://{self.lab.address(name)}{path}"
        told: dict[str, t.Any] = json.loads(self.on("client1", f"curl -s {' '.join(options)} {url}"))
        return told

    def versions(self) -> set[str]:
        return {str(self.asked(name)["version"]) for name in self.names}

    def lease(self) -> str:
        return str(json.loads(self.on(self.names[0], f"cat {STATE}/lease.json"))["id"])


@pytest.fixture(scope="session")
def fleet(lab: t.Any, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    for version in ("1.0.0", "1.1.0"):
        lab.verb("push", version)
    return Fleet(lab, tmp_path_factory.mktemp("inventory"))
