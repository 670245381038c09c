# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks instances whether they answer, without HAProxy: right after a boot it calls every server up. PRIVATE."""

from __future__ import annotations

import queue
import threading
import time
import typing as t

TIMEOUT = 2.0  # s, for one instance


class Check(t.NamedTuple):
    """What a healthy instance answers: *status* to a GET of *path* with this *host* header (None: its address)."""

    path: str
    status: int
    host: str | None


def answers(place: str, check: Check, timeout: float = TIMEOUT) -> bool:
    """Returns whether the instance at *place* (address:port) gives a healthy answer within *timeout* seconds."""
    import http.client  # noqa: PLC0415 - loaded when needed: users wait for a switch

    headers = {"Connection": "close", **({"Host": check.host} if check.host else {})}
    try:
        connection = http.client.HTTPConnection(place, timeout=timeout)
    except http.client.HTTPException:
        return False
    try:
        connection.request("GET", check.path, headers=headers)
        return connection.getresponse().status == check.status
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def anyone(places: t.Sequence[str], check: Check, timeout: float = TIMEOUT) -> bool:
    """Returns whether one of *places* answers healthy; all are asked at once, and the first good answer is enough.

    An instance on a host that is gone must not delay a revert, so nobody waits for it.
    """
    found: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for place in places:
        ask = threading.Thread(target=lambda place=place: found.put(answers(place, check, timeout)), daemon=True)
        ask.start()
    ends = time.monotonic() + 2 * timeout
    try:
        return any(found.get(timeout=max(0.0, ends - time.monotonic())) for _place in places)
    except queue.Empty:
        return False
