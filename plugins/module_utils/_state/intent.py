# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The armed guard: what it needs to know to take an unconfirmed switch back all by itself.

PRIVATE to the collection. The file is intent.json beside state.json; it is there from arm to confirm or revert.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._foundation import durable
from .._foundation.clock import Clock
from .._foundation.errors import BadInput
from . import fields
from .run import Run, parsed
from .state import SLOTS

SCHEMA = 1
FILE = "intent.json"
STATUSES = ("armed", "inconsistent")
ADDRESS = re.compile(r"[^\s/]+:[0-9]{1,5}")


class Intent(t.NamedTuple):
    """The content of intent.json.

    *token* is the secret that confirms; *run* moves the traffic from *previous* (None at a first rollout) to *target*.
    *armed* is an ISO time for people; *deadline_boottime* is when the guard fires, in seconds of the boot *boot_id*,
    and *deadline_seconds* how long that was when it was set. *instances* has the addresses (addr:port) per slot;
    *check* (path, status, host or None) asks one of them, *public_url* asks through the load balancer.
    *attempts* counts tries to revert; *status* is armed or inconsistent; *says* is for people.
    """

    token: str
    run: Run
    target: str
    previous: str | None
    armed: str
    boot_id: str
    deadline_boottime: float
    deadline_seconds: float
    instances: t.Mapping[str, t.Sequence[str]]
    check: t.Mapping[str, t.Any]
    public_url: str
    attempts: int = 0
    status: str = "armed"
    says: str | None = None

    def __repr__(self) -> str:
        """Hides the token."""
        return f"Intent({', '.join(f'{name}={value!r}' for name, value in self._asdict().items() if name != 'token')})"

    def to_dict(self) -> dict[str, t.Any]:
        """Returns the content of intent.json, with its token."""
        return {
            "schema": SCHEMA,
            "token": self.token,
            "run": self.run.to_dict(),
            "target": self.target,
            "previous": self.previous,
            "armed": self.armed,
            "boot_id": self.boot_id,
            "deadline_boottime": self.deadline_boottime,
            "deadline_seconds": self.deadline_seconds,
            "instances": {slot: list(addresses) for slot, addresses in self.instances.items()},
            "check": dict(self.check),
            "public_url": self.public_url,
            "attempts": self.attempts,
            "status": self.status,
            "says": None if self.says is None else fields.writable(self.says),
        }


def _parsed(content: t.Mapping[str, t.Any]) -> Intent:
    """Returns the intent in *content*. Raises ValueError with a sentence, which never holds the token."""
    if not isinstance(content.get("token"), str) or not content["token"].isprintable() or not content["token"]:
        raise ValueError("token is missing, or not a text of one line")
    return Intent(
        token=content["token"],
        run=parsed(content.get("run")),
        target=t.cast(str, fields.choice(content, "target", SLOTS)),
        previous=fields.choice(content, "previous", (*SLOTS, None)),
        armed=fields.text(content, "armed"),
        boot_id=fields.text(content, "boot_id"),
        deadline_boottime=fields.seconds(content, "deadline_boottime"),
        deadline_seconds=fields.seconds(content, "deadline_seconds"),
        instances=_instances(content),
        check=_check(content),
        public_url=_url(content),
        attempts=fields.whole(content, "attempts"),
        status=t.cast(str, fields.choice(content, "status", STATUSES)),
        says=fields.message(content, "says"),
    )


def _instances(content: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    found = fields.mapping(content.get("instances"), "instances")
    instances: dict[str, tuple[str, ...]] = {}
    for slot, addresses in found.items():
        if slot not in SLOTS:
            raise ValueError(f"instances has {fields.shown(slot)}, which is no slot")
        if not isinstance(addresses, (list, tuple)):
            raise ValueError(f"instances of {slot} are {fields.shown(addresses)}, not a list of addresses")
        wrong = [one for one in addresses if not isinstance(one, str) or not ADDRESS.fullmatch(one)]
        if wrong:
            raise ValueError(f"instances of {slot} has {fields.shown(wrong[0])}, not an address such as 10.0.0.11:8001")
        instances[slot] = tuple(addresses)
    return instances


def _check(content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    found = fields.mapping(content.get("check"), "check")
    path = fields.text(found, "path")
    status = fields.whole(found, "status")
    if not path.startswith("/"):
        raise ValueError(f"path of the check is {fields.shown(path)}, not a path from /")
    if not 100 <= status <= 599:
        raise ValueError(f"status of the check is {status}, not an HTTP status")
    return {"path": path, "status": status, "host": fields.text_or_none(found, "host")}


def _url(content: t.Mapping[str, t.Any]) -> str:
    url = fields.text(content, "public_url")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"public_url is {fields.shown(url)}, not an address such as http://127.0.0.1:80/ready")
    return url


def read(folder: str) -> Intent | None:
    """Returns the intent in *folder*, or None when no guard is armed. Raises StateUnreadable."""
    return durable.read_parsed(
        os.path.join(folder, FILE),
        _parsed,
        schema=SCHEMA,
        what="What the guard must watch",
        expected=", ".join(Intent._fields),
    )


def write(folder: str, intent: Intent) -> bool:
    """Writes *intent* durably; makes the folder. Returns whether the file changed.

    Raises BadInput for an intent that the guard could not read back: better now than when it fires.
    """
    try:
        _parsed(intent.to_dict())
    except ValueError as error:
        raise BadInput("The guard cannot be armed with this.", found=str(error)) from error
    durable.make_folder(folder)
    return durable.write_json(os.path.join(folder, FILE), intent.to_dict())


def remove(folder: str) -> bool:
    """Disarms the guard durably. Returns whether it was armed."""
    return durable.remove(os.path.join(folder, FILE))


def due(intent: Intent, clock: Clock) -> float:
    """Returns in how many seconds the guard fires; 0 or less: now. An unconfirmed switch never survives a boot."""
    if intent.boot_id != clock.boot_id():
        return 0.0
    return min(intent.deadline_boottime - clock.boottime(), intent.deadline_seconds)
