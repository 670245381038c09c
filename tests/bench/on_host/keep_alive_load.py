# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that keep their connections, as browsers and proxies do: one that was closed is noticed before it is used.

Standard input: {"application": …, "url": "http://HOST/path", "method": …, "clients": N, "rate": R, "seconds": S}. What
was sent and got no answer is lost.
"""

from __future__ import annotations

import http.client
import select
import threading
import time
from urllib.parse import urlsplit

from . import asking
from .asking import Application, Json


class Client(threading.Thread):
    """One connection, made again whenever it was closed."""

    def __init__(self, wanted: Json, first: float) -> None:
        super().__init__(daemon=True)
        self.wanted, self.first = wanted, first
        self.sent = self.lost = self.closed = 0

    def run(self) -> None:
        url, connection = urlsplit(self.wanted["url"]), None
        pause, ends = self.wanted["clients"] / self.wanted["rate"], time.monotonic() + self.wanted["seconds"]
        body = b"{}" if self.wanted["method"] == "POST" else None
        time.sleep(self.first * pause)
        while time.monotonic() < ends:
            if connection is not None and (connection.sock is None or select.select([connection.sock], [], [], 0)[0]):
                connection.close()
                connection, self.closed = None, self.closed + 1
            connection = connection or http.client.HTTPConnection(str(url.hostname), url.port or 80, timeout=30)
            self.sent += 1
            try:
                connection.request(self.wanted["method"], url.path, body)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection, self.lost = None, self.lost + 1
            time.sleep(pause)


def measure(_application: Application, wanted: Json) -> Json:
    """Returns how many requests were sent, how many of them were lost, and how often a connection was closed."""
    clients = [Client(wanted, number / wanted["clients"]) for number in range(wanted["clients"])]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return {key: sum(getattr(client, key) for client in clients) for key in ("sent", "lost", "closed")}


if __name__ == "__main__":
    asking.main(measure)
