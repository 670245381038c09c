# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks on a new connection each time, one after another, on the client host. Returns the p50 in ms.

Standard input: {"url": http or https, "count": requests}. Certificates are those of a lab: nobody checks them.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from urllib.parse import urlsplit

from .request_log import percentile


def ask(scheme: str, host: str, context: ssl.SSLContext) -> float:
    """Returns how many ms it took from nothing to the whole answer."""
    began = time.perf_counter()
    if scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    finally:
        connection.close()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Reads what is wanted, writes what was seen."""
    wanted = json.load(sys.stdin)
    parts, context = urlsplit(wanted["url"]), ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    took = sorted(ask(parts.scheme, str(parts.hostname), context) for _number in range(wanted["count"]))
    json.dump({"p50_ms": percentile(took, 0.5)}, sys.stdout)


if __name__ == "__main__":
    main()
