# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to a Redis or Valkey server, over TCP, TLS or a socket of the host. PRIVATE to the collection.

Only the standard library: a host that is to be configured has nothing else yet.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
import typing as t

from .._foundation.errors import RolloutError

_LONGEST = 64 * 1024 * 1024  # bytes of one answer


class Unreachable(RolloutError):
    """Nobody answers there, or not as Redis does."""


class Refused(RolloutError):
    """The server answered with an error; `what` is its text."""


class Address(t.NamedTuple):
    """Where a server is: a path of a socket, or a host with its port. *authority* is a file of trusted certificates."""

    host: str = ""
    port: int = 6379
    tls: bool = False
    authority: str = ""
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}{' (TLS)' if self.tls else ''}"


class Login(t.NamedTuple):
    """Who asks. Without a user it is the default one, without a password nobody logs in."""

    user: str = ""
    password: str = ""


NOBODY = Login()


class Connection:
    """Asks, and reads the answers (RESP 2): text, whole numbers, None and lists of these."""

    def __init__(self, address: Address, connected: socket.socket) -> None:
        self.address = address
        self._socket = connected
        self._reader = connected.makefile("rb")

    def ask(self, *words: str | int | float) -> t.Any:
        """Returns the answer to one command. Raises Refused with the error of the server, Unreachable without one."""
        parts = [str(word).encode("utf-8") for word in words]
        asked = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            self._socket.sendall(asked)
            answer = self._read()
        except (OSError, ValueError) as error:
            raise self._silent(error) from error
        if isinstance(answer, Refused):
            raise answer
        return answer

    def log_in(self, login: Login) -> None:
        """Raises Refused when the server does not let *login* in."""
        if login.password:
            self.ask("AUTH", *([login.user] if login.user else []), login.password)

    def pairs(self, *words: str | int | float) -> dict[str, str]:
        """Returns an answer that is a list of names and values, as CONFIG GET gives it."""
        answer = self.ask(*words)
        return dict(zip(answer[::2], answer[1::2]))

    def info(self, section: str = "default") -> dict[str, str]:
        """Returns what INFO tells, by its names."""
        return read_info(self.ask("INFO", section))

    def certificate(self) -> bytes:
        """Returns the certificate of the server (DER); only with TLS."""
        connected = self._socket
        return (connected.getpeercert(True) or b"") if isinstance(connected, ssl.SSLSocket) else b""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._reader.close()
        self._socket.close()

    def _read(self) -> t.Any:
        line = self._reader.readline(_LONGEST)
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed")
        kind, text = line[:1], line[1:-2].decode("utf-8", "replace")
        if kind == b"+":
            return text
        if kind == b"-":
            return Refused(text, where=str(self.address))
        if kind == b":":
            return int(text)
        if kind == b"$":
            return self._bulk(int(text))
        if kind == b"*":
            return None if int(text) < 0 else [self._read() for _one in range(int(text))]
        raise ConnectionError("the answer is not one of Redis")

    def _bulk(self, length: int) -> str | None:
        if length < 0:
            return None
        content = self._reader.read(length + 2)
        if len(content) != length + 2:
            raise ConnectionError("the connection was closed")
        return content[:-2].decode("utf-8", "replace")

    def _silent(self, error: Exception) -> Unreachable:
        return silent(self.address, error)


def silent(address: Address, error: Exception) -> Unreachable:
    """Returns *error* of a connection in words for people."""
    verified = isinstance(error, ssl.SSLCertVerificationError)
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    return Unreachable(
        f"The server at {address} does not answer.",
        expected="a Redis or Valkey with a certificate that is trusted" if verified else "a Redis or Valkey",
        found=reason or getattr(error, "strerror", None) or str(error) or type(error).__name__,
        where=str(address),
    )


def started(info: t.Mapping[str, str]) -> float:
    """Returns when a server was started at the latest (s since 1970): it counts whole seconds."""
    return time.time() - int(info["uptime_in_seconds"]) + 1.5


def read_info(text: str) -> dict[str, str]:
    """Returns the lines name:value of an INFO."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


@contextlib.contextmanager
def connected(
    address: Address, login: Login = NOBODY, *, deadline: float = 5, trusting: bool = False
) -> t.Iterator[Connection]:
    """Opens a connection, logs in and closes it. Each answer may take *deadline* seconds.

    With *trusting* the certificate of the peer is not looked at: for a look at one's own server, whose certificate need
    not name the loopback address. Raises Unreachable, and Refused for a login that the server does not know.
    """
    opened = Connection(address, _open(address, deadline, trusting))
    try:
        opened.log_in(login)
        yield opened
    finally:
        opened.close()


def _open(address: Address, deadline: float, trusting: bool) -> socket.socket:
    plain: socket.socket | None = None
    try:
        if address.path:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(deadline)
            plain.connect(address.path)
            return plain
        plain = socket.create_connection((address.host, address.port), timeout=deadline)
        return _context(address, trusting).wrap_socket(plain, server_hostname=address.host) if address.tls else plain
    except (OSError, ValueError) as error:
        if plain is not None:
            plain.close()
        raise silent(address, error) from error


def _context(address: Address, trusting: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=address.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As strict as the servers among each other: Python from 3.13 on asks authorities for more than TLS needs.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if trusting:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
