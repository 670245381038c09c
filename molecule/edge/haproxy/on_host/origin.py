# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of both slots in one small program: each answers with its slot and its release. Runs on app1; Python alone.

Usage: origin.py SLOT:PORT:RELEASE...
/ready, /version and any other path answer JSON; /own has a policy of its own; /slow takes a second. A connection that
asks for an upgrade gets it, and then its bytes come back with the slot in front of them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys


class Instance:
    """One instance: its slot and its release."""

    def __init__(self, slot: str, release: str) -> None:
        self.slot = slot
        self.release = release

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().splitlines()
        path = first.split()[1]
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        if headers.get("upgrade"):
            await self._echo(reader, writer, headers)
            return False
        await reader.readexactly(int(headers.get("content-length") or 0))
        if path.startswith("/slow"):
            await asyncio.sleep(1)
        body = json.dumps({"slot": self.slot, "release": self.release, "headers": headers}).encode()
        own = "Content-Security-Policy: default-src 'self'\r\n" if path.startswith("/own") else ""
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Release-Id: {self.release}\r\n{own}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        return True

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        # As RFC 6455 has it; HAProxy looks at it, too.
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {headers['upgrade']}\r\n"
            f"Sec-WebSocket-Accept: {accepted}\r\n\r\n".encode()
        )
        while received := await reader.read(4096):
            writer.write(self.slot.encode() + b":" + received)
            await writer.drain()


async def main(arguments: list[str]) -> None:
    """Listens on all ports for ever."""
    for slot, port, release in (one.split(":") for one in arguments):
        await asyncio.start_server(Instance(slot, release).serve, "0.0.0.0", int(port))
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1:]))
