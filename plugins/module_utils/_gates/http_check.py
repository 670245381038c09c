# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP sampler: one request on a fresh connection, one sample. PRIVATE to the collection."""

from __future__ import annotations

import functools
import http.client
import io
import re
import socket
import ssl
import time
import typing as t
from urllib.parse import SplitResult, urlsplit

from .._foundation.errors import BadInput
from .assertion import BodyAssertion
from .verdict import BAD, CUT, GOOD, Sample

MAXIMUM_BODY = 1024 * 1024  # bytes
MAXIMUM_EXCERPT = 300  # characters
ERROR_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (http.client.RemoteDisconnected, "the connection was closed without an answer"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed without an answer"),
    (http.client.IncompleteRead, "the connection was closed in the middle of the answer"),
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HttpCheck:
    """What to ask and which answer is good; called with the seconds an answer may take, it takes one sample.

    *host_header* also is the name that TLS asks for and verifies. Redirects are answers like any other: they are not
    followed. Raises BadInput for what can never be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: t.Mapping[str, str] | None = None,
        host_header: str | None = None,
        status: int = 200,
        body: BodyAssertion | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url
        self._parts = _split(url)
        self._method = method
        self._headers = {**(headers or {}), "Connection": "close"}
        self._headers.setdefault("User-Agent", "vitalops.rollout gate")
        if host_header:
            self._headers["Host"] = host_header
        for name, value in self._headers.items():
            if not TOKEN.fullmatch(name) or re.search(r"[\r\n\0]", value) or not _is_latin(value):
                raise BadInput(
                    "A header cannot be sent; nothing was sampled.",
                    expected="a name of letters, digits and dashes, and a value of one line of Latin characters",
                    found=f"header {name!r} (its value is not shown)",
                    where=url,
                )
        self._server_name = urlsplit(f"//{host_header}").hostname if host_header else self._parts.hostname
        self._status = status
        self._body = body
        self._context = context

    def __call__(self, allowed: float, *, cut: bool = False) -> Sample:
        """Takes one sample in at most *allowed* seconds. *cut* says that this is less than the timeout."""
        began = time.monotonic()
        ends = began + allowed
        try:
            status, content = self._ask(ends)
        except (socket.timeout, TimeoutError):
            return Sample(CUT if cut else BAD, problem=f"no answer within {allowed:.3g} s")
        except (OSError, http.client.HTTPException) as error:
            return Sample(BAD, problem=self._words(error))
        latency = (time.monotonic() - began) * 1000
        problem = self._judge(status, content)
        return Sample(BAD if problem else GOOD, latency=latency, status=status, problem=problem, body=excerpt(content))

    def _judge(self, status: int, content: bytes) -> str | None:
        if status != self._status:
            return f"status {status} instead of {self._status}"
        if self._body is None:
            return None
        if len(content) > MAXIMUM_BODY:
            return f"the body is larger than {MAXIMUM_BODY} bytes"
        return self._body.problem(content)

    def _ask(self, ends: float) -> tuple[int, bytes]:
        host, port = self._parts.hostname or "", self._parts.port or (443 if self._parts.scheme == "https" else 80)
        connection = http.client.HTTPConnection(host, port)
        connected = socket.create_connection((host, port), timeout=_left(ends))
        try:
            if self._context is not None and self._parts.scheme == "https":
                connected.settimeout(_left(ends))
                connected = self._context.wrap_socket(connected, server_hostname=self._server_name)
            connected.settimeout(_left(ends))
            connection.sock = connected
            connection.response_class = functools.partial(_response, ends)  # type: ignore[assignment]
            target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request(self._method, target, headers=self._headers)
            with connection.getresponse() as answer:
                content = answer.read(MAXIMUM_BODY + 1)
                missing = answer.length or 0
            if missing and len(content) <= MAXIMUM_BODY:  # a limited read does not notice that the answer was cut short
                raise http.client.IncompleteRead(content, missing)
            _left(ends)
            return answer.status, content
        finally:
            connection.close()
            connected.close()

    def _words(self, error: Exception) -> str:
        for kind, words in ERROR_WORDS:
            if isinstance(error, kind):
                return words
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate is not accepted ({error.verify_message})"
        if isinstance(error, socket.gaierror):
            return f"the host name {self._parts.hostname} does not resolve"
        if isinstance(error, http.client.HTTPException):
            return f"not an HTTP answer ({type(error).__name__})"
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a moment: a time limit of the socket alone would begin anew with every byte."""

    def __init__(self, connected: socket.socket, ends: float) -> None:
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        self._socket.settimeout(_left(self._ends))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSocket:
    """The little of a socket that HTTPResponse uses."""

    def __init__(self, connected: socket.socket, ends: float) -> None:
        self._connected = connected
        self._ends = ends

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._connected, self._ends))


def _response(ends: float, connected: socket.socket, **options: t.Any) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(t.cast(socket.socket, _BoundedSocket(connected, ends)), **options)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise socket.timeout("no time left")
    return left


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _split(url: str) -> SplitResult:
    found = None
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            found = f"the scheme {parts.scheme!r}"
        elif not parts.hostname:
            found = "no host"
        elif parts.username is not None or parts.password is not None:
            raise BadInput(  # the address itself is not repeated: it carries a password
                "A target has a user or password in its address; nothing was sampled.",
                expected="an address without them",
                where=f"host {parts.hostname}",
                next_step="pass an Authorization header in secret_headers",
            )
        elif parts.port == 0:
            found = "port 0"
        elif re.search(r"[\s\x00-\x1f]", url):
            found = "white space"
    except ValueError as error:
        found = str(error)
    if found:
        raise BadInput(
            "A target has an address that cannot be asked; nothing was sampled.",
            expected="an address such as http://10.0.0.11:18000/ready",
            found=f"{url} ({found})",
        )
    return parts


def tls_context(*, validate: bool, ca_path: str | None) -> ssl.SSLContext:
    """Returns the TLS settings; *ca_path* is a file of certificates, the system's own are used without it.

    Raises BadInput when that file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as error:
        raise BadInput(
            "The file of certificate authorities cannot be used; nothing was sampled.",
            expected="a readable file with certificates in PEM format on this host",
            found=str(error),
            where=str(ca_path),
        ) from error
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def excerpt(content: bytes) -> str:
    """Returns at most 300 printable characters of *content*, on one line."""
    text = " ".join(content[: 4 * MAXIMUM_EXCERPT].decode("utf-8", errors="replace").split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MAXIMUM_EXCERPT else f"{text[: MAXIMUM_EXCERPT - 3]}..."
