# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab is: its parameters, addresses and secrets, kept in .lab/<name>/ so that every later verb finds them."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import shutil
import tempfile
import typing as t
import zlib
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, NotFound

from . import topology as topologies
from .paths import LAB_FOLDER, ROOT, write_private

LABEL = "vitalops.lab"
CHECKOUT_LABEL = "vitalops.lab.checkout"
# Several checkouts may share one engine.
CHECKOUT = f"{zlib.crc32(str(ROOT).encode()):08x}"[:4]
REGISTRY_HOST = "registry1"
# A name without a dot is not taken for a registry: "registry1/reference" would be asked for at Docker's own one.
DOMAIN = "test"
REGISTRY_NAME = f"{REGISTRY_HOST}.{DOMAIN}"
REGISTRY_USER = "rollout"
SECRETS = ("lab_registry_password", "lab_postgres_password", "lab_redis_password", "lab_admin_token")


@dataclasses.dataclass(frozen=True)
class Lab:
    """One lab. `inventory` is the generated file; `subnet` is empty until the network exists."""

    name: str
    topology: str
    debian: int
    apps: int
    inventory: str
    subnet: str = ""

    @property
    def folder(self) -> Path:
        """The folder with everything that belongs to this lab."""
        return LAB_FOLDER / self.name

    @property
    def network(self) -> str:
        """The name of the Docker network; the containers' names begin with it."""
        return network(self.name)

    @property
    def control_folder(self) -> Path:
        """Where SSH keeps its shared connections: a UNIX socket path must be short, a checkout may lie anywhere."""
        return control_folder(self.name)

    def container(self, host: str) -> str:
        """Returns the name of the container of *host*."""
        return f"{self.network}-{host}"

    def hosts(self) -> list[topologies.Host]:
        """Returns the hosts, in the order of the topology file."""
        return topologies.expand(topologies.read(self.topology), debian=self.debian, apps=self.apps)

    def addresses(self) -> dict[str, str]:
        """Returns host → address."""
        return topologies.addresses(self.hosts(), self.subnet)

    def host(self, name: str) -> topologies.Host:
        """Returns the host called *name*. Raises NotFound with the names there are."""
        for host in self.hosts():
            if host.name == name:
                return host
        raise NotFound(
            f"The lab {self.name} has no host {name}.",
            expected=", ".join(host.name for host in self.hosts()),
            found=name,
        )

    def save(self) -> None:
        """Writes the parameters to the lab's folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / "lab.json", json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    def secrets(self) -> dict[str, str]:
        """Returns the secrets of this lab; made on the spot the first time."""
        file = self.folder / "secrets.json"
        if not file.exists():
            write_private(file, json.dumps({name: secrets.token_hex(16) for name in SECRETS}, indent=2) + "\n")
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return found


def network(name: str) -> str:
    """Returns the name of the Docker network of the lab *name*."""
    return f"vitalops-lab-{CHECKOUT}-{name}"


def control_folder(name: str) -> Path:
    """Returns the folder of the shared SSH connections of the lab *name*."""
    return Path(tempfile.gettempdir()) / network(name)


def names() -> list[str]:
    """Returns the names of all labs."""
    return sorted(file.parent.name for file in LAB_FOLDER.glob("*/lab.json"))


def check_name(name: str) -> str:
    """Returns *name* when it can be part of host and file names. Raises BadInput."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise BadInput("The name of the lab cannot be used.", expected="a-z, then a-z 0-9 -, at most 31", found=name)
    return name


def load(name: str) -> Lab:
    """Returns the lab called *name*. Raises NotFound."""
    file = LAB_FOLDER / check_name(name) / "lab.json"
    if not file.exists():
        raise NotFound(
            f"There is no lab {name}.",
            expected=", ".join(names()) or None,
            next_step=f"make lab-up LAB={name}",
        )
    return Lab(**json.loads(file.read_text(encoding="utf-8")))


def load_or_create(wanted: Lab) -> Lab:
    """Returns the lab as it is on disk, or *wanted* when it is new. Raises BadInput when the parameters differ."""
    if wanted.name not in names():
        for other in map(load, names()):
            if other.inventory == wanted.inventory:
                raise BadInput(
                    f"The lab {other.name} writes its inventory to the same file.",
                    where=wanted.inventory,
                    next_step=f"make lab-down LAB={other.name}, or choose another file with --inventory",
                )
        wanted.save()
        return wanted
    found = load(wanted.name)
    differences = [
        f"{field} {getattr(found, field)} (asked: {getattr(wanted, field)})"
        for field in _parameters(found)
        if getattr(found, field) != getattr(wanted, field)
    ]
    if differences:
        raise BadInput(
            f"The lab {found.name} is there already, with other parameters.",
            found=", ".join(differences),
            where=str(found.folder),
            next_step=f"make lab-down LAB={found.name}, or choose another name",
        )
    return found


def _parameters(lab: Lab) -> tuple[str, ...]:
    """The number of app hosts means nothing to a topology without `count: apps`."""
    counts = any("count" in entry for entry in topologies.read(lab.topology)["hosts"])
    return ("topology", "debian", "inventory", *(("apps",) if counts else ()))


def forget(name: str) -> None:
    """Removes every file of the lab *name*, the generated inventory included."""
    if name in names():
        Path(load(name).inventory).unlink(missing_ok=True)
    shutil.rmtree(control_folder(name), ignore_errors=True)
    shutil.rmtree(LAB_FOLDER / name, ignore_errors=True)


def registry_facts(lab: Lab) -> dict[str, t.Any]:
    """Returns what an inventory needs to know about the registry and the secrets of this lab."""
    return {
        "lab_registry_host": REGISTRY_NAME,
        "lab_registry_ca": str(lab.folder / "ca.pem"),
        "lab_registry_user": REGISTRY_USER,
        **lab.secrets(),
    }
