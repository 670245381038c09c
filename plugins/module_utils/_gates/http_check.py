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
from .assertion import BodyAssertion, short
from .masking import Hide
from .verdict import BAD, CUT, GOOD, Sample

#: By this header HAProxy tells what a rollout asks from what users do.
PROBE_HEADER = "X-Rollout-Probe"
MAXIMUM_BODY = 1024 * 1024  # bytes
MAXIMUM_EXCERPT = 300  # characters
# Bytes that are kept of a body of which nothing is asked: far more than an excerpt, so that no secret is cut in two.
_BEGINNING = 8 * 1024
_PIECE = 64 * 1024  # bytes of a body that are read at once
ERROR_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (http.client.RemoteDisconnected, "the connection was closed without an answer"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed without an answer"),
    (http.client.IncompleteRead, "the connection was closed in the middle of the answer"),
)
REDIRECTS = (301, 302, 303, 307, 308)
# Names that are known to hold no secret; what an application puts into any other one, nobody knows.
TOLD_HEADERS = (
    *("Content-Type", "Location", "Allow", "Retry-After", "Date", "Age", "Server", "Via"),
    *("X-Request-Id", "X-Correlation-Id", "Traceparent"),
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _Received(t.NamedTuple):
    """What came: *content* is the body or its beginning, *whole* tells that the body is at most MAXIMUM_BODY long."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes
    whole: bool


class HttpCheck:
    """What to ask and which answer is good; called with the seconds an answer may take, it takes one sample.

    *status*: one, or all that are good. *body*: what must be true on the body of the answer; *text*: what must be in
    it, in UTF-8. *whole*: a body above MAXIMUM_BODY is bad even when nothing is asked of it. *content*: the body of the
    request. *host_header* also is the name that TLS asks for and verifies. *hide* takes secrets out of what the peer
    said before it is told. Redirects are answers like any other: they are not followed. Each sample opens a connection
    of its own: a kept one would always ask the same instance. Raises BadInput for what can never be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: t.Mapping[str, str] | None = None,
        host_header: str | None = None,
        status: int | t.Sequence[int] = 200,
        body: BodyAssertion | None = None,
        text: str | None = None,
        whole: bool = False,
        content: str | None = None,
        context: ssl.SSLContext | None = None,
        hide: Hide = str,
    ) -> None:
        self.url = url
        self.method = method
        self._parts = _split(url)
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
        self._statuses = (status,) if isinstance(status, int) else tuple(status)
        self._body = body
        self._text = None if text is None else text.encode("utf-8")
        self._whole = whole
        self._content = None if content is None else content.encode("utf-8")
        self._context = context
        self._hide = hide

    def __call__(self, allowed: float, *, cut: bool = False) -> Sample:
        """Takes one sample in at most *allowed* seconds. *cut* says that this is less than the timeout."""
        began = time.monotonic()
        ends = began + allowed
        try:
            received = self._ask(ends)
        except (socket.timeout, TimeoutError):
            return Sample(CUT if cut else BAD, problem=f"no answer within {allowed:.3g} s")
        except (OSError, http.client.HTTPException) as error:
            return Sample(BAD, problem=self._words(error))
        latency = (time.monotonic() - began) * 1000
        problem = self._judge(received)
        told = excerpt(received.content, self._hide)
        headers = self._told(received.headers) if problem else ()
        outcome = BAD if problem else GOOD
        return Sample(outcome, latency=latency, status=received.status, problem=problem, body=told, headers=headers)

    def is_good(self, status: int) -> bool:
        """Returns whether *status* is one that is wanted."""
        return status in self._statuses

    def _judge(self, received: _Received) -> str | None:
        if not self.is_good(received.status):
            wanted = " or ".join(map(str, self._statuses))
            return f"status {received.status} instead of {wanted}{self._redirect(received)}"
        if not received.whole and (self._whole or self._is_read):
            return "body larger than 1 MiB"
        if self._text is not None and self._text not in received.content:
            return f"the text {short(repr(self._text.decode('utf-8')))} is not in the body"
        return self._body.problem(received.content, self._hide) if self._body else None

    def _told(self, headers: http.client.HTTPMessage) -> list[str]:
        found = [(name, headers.get(name)) for name in TOLD_HEADERS]
        return [f"{name}: {self._shown(name, value)}" for name, value in found if value is not None]

    def _shown(self, name: str, value: str) -> str:
        """Tells where a Location leads without its query, which may carry a token."""
        shown = re.split(r"[?#]", value)[0] if name == "Location" else value
        return excerpt(_encoded(shown), self._hide)

    @property
    def _is_read(self) -> bool:
        return self._body is not None or self._text is not None

    def _redirect(self, received: _Received) -> str:
        """Tells where a redirect leads."""
        location = received.headers.get("Location")
        if location is None or received.status not in REDIRECTS:
            return ""
        return f": redirect to {self._shown('Location', location)} is not followed"

    def _ask(self, ends: float) -> _Received:
        host, port = self._parts.hostname or "", self._parts.port or (443 if self._parts.scheme == "https" else 80)
        connection = http.client.HTTPConnection(host, port)
        connected = _connect(host, port, ends)
        try:
            if self._context is not None and self._parts.scheme == "https":
                connected.settimeout(_left(ends))
                connected = self._context.wrap_socket(connected, server_hostname=self._server_name)
            connected.settimeout(_left(ends))
            connection.sock = connected
            connection.response_class = functools.partial(_response, ends)  # type: ignore[assignment]
            target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request(self.method, target, body=self._content, headers=self._headers)
            with connection.getresponse() as answer:
                judged = self._is_read and self.is_good(answer.status)
                content, whole = _read(answer, MAXIMUM_BODY if judged else _BEGINNING)
            _left(ends)
            return _Received(answer.status, answer.headers, content, whole)
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


def _encoded(header: str) -> bytes:
    return header.encode("utf-8", errors="replace")


def _connect(host: str, port: int, ends: float) -> socket.socket:
    """Returns a connection to the first address of *host* that takes it; all addresses share the time that is left."""
    refused = OSError(f"the host name {host} has no address")
    for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(_left(ends))
            connected.connect(address)
            # A request with a body is two writes: without this the second one waits for the peer's delayed ACK (40 ms).
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connected.close()
            refused = error
        else:
            return connected
    raise refused


def _read(answer: http.client.HTTPResponse, kept: int) -> tuple[bytes, bool]:
    """Returns at most *kept* bytes of the body, and whether it ends within MAXIMUM_BODY; no more of it is read."""
    content, length = bytearray(), 0
    if (answer.length or 0) > MAXIMUM_BODY:  # it says so itself: nothing of it needs memory but its beginning
        return answer.read(_BEGINNING), False
    while length <= MAXIMUM_BODY:
        piece = answer.read(_PIECE)
        if not piece:
            break
        content += piece[: max(0, kept - length)]
        length += len(piece)
    if answer.length and length <= MAXIMUM_BODY:  # a limited read does not notice that the answer was cut short
        raise http.client.IncompleteRead(bytes(content), answer.length)
    return bytes(content), length <= MAXIMUM_BODY


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


def merge_headers(*layers: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Merges headers; the last layer wins, whatever the case of the names."""
    merged: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer.items():
            merged[str(name).lower()] = (str(name), str(value))
    return dict(merged.values())


def excerpt(content: bytes, hide: Hide = str) -> str:
    """Returns at most 300 printable characters of *content*, on one line, without what *hide* takes out."""
    beginning = hide(content[:_BEGINNING].decode("utf-8", errors="replace"))[: 4 * MAXIMUM_EXCERPT]
    text = " ".join(beginning.split())
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MAXIMUM_EXCERPT else f"{text[: MAXIMUM_EXCERPT - 3]}..."
