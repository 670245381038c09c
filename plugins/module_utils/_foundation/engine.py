# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of this host, asked through its socket. PRIVATE to the collection.

A question costs 1 to 2 ms; a start of docker's command line costs 25 to 30 ms of processor before it asks the same
one. Paths carry no API version: the engine then speaks its own, and what is read of the answers is in all of them.
"""

from __future__ import annotations

import json
import socket
import typing as t

from .errors import CommandFailed

SOCKET = "/run/docker.sock"
_NEXT_STEP = "is the engine up? systemctl status docker"


class Answer(t.NamedTuple):
    """What the engine said: the HTTP status, and the content (read as JSON; text when it is none)."""

    status: int
    content: t.Any


def ask(
    method: str,
    path: str,
    *,
    deadline: float,
    query: t.Mapping[str, str] | None = None,
    accepted: t.Container[int] = (200,),
    next_step: str = _NEXT_STEP,
    engine_socket: str = SOCKET,
) -> Answer:
    """Asks the engine (Docker Engine API) and waits at most *deadline* seconds for each part of its answer.

    Raises CommandFailed when it does not answer or with a status outside *accepted*; its message is told.
    """
    # Loaded when needed: users wait for a switch, and a host without containers never asks.
    import http.client  # noqa: PLC0415
    import urllib.parse  # noqa: PLC0415

    target = urllib.parse.quote(path, safe="/:@") + (f"?{urllib.parse.urlencode(query)}" if query else "")
    connection = http.client.HTTPConnection("engine", timeout=deadline)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(deadline)
        connection.sock.connect(engine_socket)
        connection.request(method, target)
        response = connection.getresponse()
        answer = Answer(response.status, _content(response.read()))
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(
            "The Docker engine does not answer.",
            expected=f"an answer within {deadline:g} s",
            found=str(error) or type(error).__name__,
            where=f"{method} {path} at {engine_socket}",
            next_step=next_step,
        ) from error
    finally:
        connection.close()
    if answer.status not in accepted:
        told = answer.content.get("message") if isinstance(answer.content, dict) else answer.content
        raise CommandFailed(
            f"The Docker engine refused with status {answer.status}.",
            found=str(told or "no reason")[:500],
            where=f"{method} {path}",
            next_step=next_step,
        )
    return answer


def _content(body: bytes) -> t.Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")
