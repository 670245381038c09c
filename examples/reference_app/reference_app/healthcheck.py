# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container health check, run as a file: exits 0 when this process is alive. Loads next to nothing, as it runs often.

A worker or a scheduler leaves a sign of life in a file; a web process answers /health.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

LIMIT = 30  # s since the last sign of life


def heartbeat_file(instance: str) -> Path:
    """Returns the file that a process without a port touches every few seconds."""
    return Path(os.environ.get("TMPDIR", "/tmp")) / f"reference_app-{instance}.alive"  # noqa: S108  a tmpfs of its own


def main() -> int:
    """Returns 0 when alive, else 1."""
    heartbeat = heartbeat_file(os.environ.get("INSTANCE", "") or socket.gethostname())
    if heartbeat.exists():
        return 0 if time.time() - heartbeat.stat().st_mtime < LIMIT else 1
    try:
        with socket.create_connection(("127.0.0.1", int(os.environ.get("PORT") or "8000")), timeout=3) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return 0 if connection.recv(64).startswith(b"HTTP/1.1 200") else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
