# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a load balancer and nginx cannot do, before anything of it is touched. Pure. PRIVATE."""

from __future__ import annotations

import re
import typing as t

# What nginx's configuration can hold in quotes, and that compares with a decoded path.
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_DEFAULT_QUEUE = 10

Settings = t.Mapping[str, t.Any]


def problems(settings: Settings) -> list[str]:
    """Returns one sentence for each problem; *settings* has the variables by their names without ``load_balancer_``."""
    return [problem for look in (_missing, _headers, _limits, _protected) for problem in look(settings)]


def _missing(settings: Settings) -> t.Iterator[str]:
    asked = {
        "slow_start": (int(settings["slow_start"]) > 0, "nginx lets an instance grow into its share only in its Plus"),
        "timeout_queue": (
            int(settings["timeout_queue"]) != _DEFAULT_QUEUE,
            "nginx has no queue: who finds no instance is answered at once",
        ),
        "maintenance": (settings["maintenance"] == "active", "nginx has no page that begins without a reload"),
        "exporter_address": (bool(settings["exporter_address"]), "nginx has no metrics for Prometheus of its own"),
        "virtual_addresses": (bool(settings["virtual_addresses"]), "keepalived watches HAProxy only"),
    }
    for name, (wanted, reason) in asked.items():
        if wanted:
            yield f"load_balancer_{name}: {reason}. Leave it as it is by default, or use load_balancer_driver: haproxy."


def _headers(settings: Settings) -> t.Iterator[str]:
    for name, value in settings["headers"].items():
        if not _HEADER.fullmatch(str(name)) or re.search(r"[\r\n\0$]", str(value)):
            yield f"load_balancer_headers: {name}: expected letters and dashes, and one line without $."


def _limits(settings: Settings) -> t.Iterator[str]:
    for number, limit in enumerate(settings["rate_limits"], start=1):
        where = f"load_balancer_rate_limits, entry {number}"
        if not _PATH.fullmatch(str(limit.get("path", ""))):
            yield f"{where}: expected a path such as /login, found {limit.get('path')!r}."
        counts = [limit.get("requests"), limit.get("seconds")]
        if not all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in counts):
            yield f"{where}: expected requests and seconds as whole numbers above 0, found {counts}."
        elif limit["requests"] * 60 < limit["seconds"]:
            yield f"{where}: nginx counts by the minute: expected at least one request a minute, found {dict(limit)}."


def _protected(settings: Settings) -> t.Iterator[str]:
    paths = [str(protected.get("path", "")) for protected in settings["protected_paths"]]
    for number, path in enumerate(paths):
        where = f"load_balancer_protected_paths, {path or 'an entry without path'}"
        protected = settings["protected_paths"][number]
        if not _PATH.fullmatch(path) or path == "/":
            yield f"{where}: expected a path such as /metrics."
        if not protected.get("networks") and not protected.get("users"):
            yield f"{where}: expected networks or users: as it is, everybody may ask it."
        within = [one for one in paths[:number] if path.lower().startswith(one.lower())]
        if within:
            yield f"{where}: nginx looks at the first entry only; {within[0]} comes before: put the longer path first."
