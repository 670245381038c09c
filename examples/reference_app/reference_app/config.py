# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application is told by its environment and its release folder. Standard library only."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .faults import Faults

ROOT = Path(__file__).resolve().parent.parent
STORES = {
    "DATABASE_URL": (("postgresql", "postgres"), "postgresql://user:password@host:5432/name"),
    "REDIS_URL": (("redis", "rediss"), "redis://:password@host:6379/0"),
}


class ConfigurationError(Exception):
    """The process cannot start. *problems* has one line for each reason, without secrets."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """Checked configuration. Secrets stay out of the representation."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    admin_token: str = field(repr=False)
    port: int
    drain_seconds: float
    version: str
    release: str
    slot: str
    instance: str
    faults: Faults

    def identity(self) -> dict[str, str]:
        """Who answers: version, release, slot and instance."""
        return {"version": self.version, "release": self.release, "slot": self.slot, "instance": self.instance}


def _number(environment: Mapping[str, str], name: str, default: float, top: float, problems: list[str]) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value <= top:
        problems.append(f"{name} must be a number from 0 to {top:g}, found {text!r}")
    return value


def _store_problems(environment: Mapping[str, str]) -> list[str]:
    problems = []
    for name, (schemes, example) in STORES.items():
        value = environment.get(name, "")
        if not value:
            problems.append(f"{name} is missing; it looks like {example}")
            continue
        try:
            address = urlsplit(value)
            usable = address.scheme in schemes and bool(address.hostname) and (address.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            problems.append(f"{name} is not usable (its value is not shown); it looks like {example}")
    return problems


def read_settings(environment: Mapping[str, str], root: Path = ROOT) -> Settings:
    """Returns the checked settings; raises ConfigurationError that names every problem at once."""
    problems = _store_problems(environment)
    port = _number(environment, "PORT", 8000, 65535, problems)
    drain_seconds = _number(environment, "DRAIN_SECONDS", 1, 60, problems)
    faults = Faults()
    try:
        baked = root / "faults.json"
        faults.update(json.loads(baked.read_text(encoding="utf-8")) if baked.exists() else {})
        faults.update_from_environment(environment)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ConfigurationError(problems)
    version_file = root / "VERSION"
    baked_version = version_file.read_text(encoding="utf-8").strip() if version_file.exists() else ""
    return Settings(
        database_url=environment["DATABASE_URL"],
        redis_url=environment["REDIS_URL"],
        admin_token=environment.get("ADMIN_TOKEN", ""),
        port=int(port),
        drain_seconds=drain_seconds,
        # What was built is the truth; what the deployment says stands in only when run from a checkout.
        version=baked_version or environment.get("RELEASE_VERSION", "") or "0.0.0",
        release=environment.get("RELEASE_ID", ""),
        slot=environment.get("SLOT", ""),
        instance=environment.get("INSTANCE", "") or socket.gethostname(),
        faults=faults,
    )
