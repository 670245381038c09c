# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a registry: which digest does this version have? Over TLS only, with docker's own credentials.

PRIVATE to the collection.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from .._foundation import command, durable
from .._foundation.errors import BadInput, CommandFailed, NotFound, RolloutError
from .driver import Run
from .record import Paths

_ANSWER = 30.0  # s, for one answer of a registry
_TAGS_SHOWN = 10
_REPOSITORY = re.compile(r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9.-]+:[0-9]+)(:[0-9]+)?(/[a-z0-9._-]+)+")
_HEX = re.compile(r"[0-9a-f]{64}")

# What skopeo says, and what it means for the operator. The first match counts. A bare number is no status: versions,
# ports and addresses have numbers too.
_STATUS = r"\bstatus(?: ?code)?(?: from registry)?\W{1,3}"
_MEANINGS = (
    ("unknown", rf"manifest unknown|name unknown|{_STATUS}404\b"),
    ("refused", rf"unauthorized|authentication required|denied|invalid username|\bforbidden\b|{_STATUS}40[13]\b"),
    ("untrusted", r"x509|certificate|tls:"),
    ("unknown", r"not found"),
    ("unreachable", r"no such host|connection refused|timeout|timed out|no route|unreachable|EOF"),
)


def image_digest(paths: Paths, repository: str, version: str, *, run: Run = command.run) -> str:
    """Returns the digest (``sha256:…``) that the tag *version* of the image *repository* has now.

    Raises NotFound when there is no such tag, CommandFailed when the registry cannot be asked.
    """
    if not _REPOSITORY.fullmatch(repository):
        # docker takes a first word without a dot or a port for a user of its own public registry.
        raise BadInput(
            "The artefact is no image repository of a registry.",
            expected="host/name without a tag, the host with a dot or a port, like registry.example.net/shop",
            found=repository,
            where="artefact",
        )
    host = repository.split("/", 1)[0]
    where = f"docker://{repository}:{version}"
    account = ["--authfile", paths.credentials] if os.path.exists(paths.credentials) else []
    answer = run(
        ["skopeo", "inspect", *account, "--format", "{{.Digest}}", where],
        deadline=_ANSWER,
        accepted=(0, 1, 2),
        next_step="install skopeo on this host; the verb provision does",
    )
    digest = answer.output.strip()
    if answer.code == 0 and _HEX.fullmatch(digest.replace("sha256:", "", 1)):
        return digest
    trouble = _plain(answer.error.strip() or answer.output.strip())
    meaning = next((word for word, signs in _MEANINGS if re.search(signs, trouble, re.IGNORECASE)), None)
    if meaning == "refused":
        raise _refused(host, where)
    if meaning == "untrusted":
        raise _untrusted(paths, host, trouble)
    if meaning == "unknown":
        tags = _tags(repository, account, run)
        raise NotFound(
            f"The registry does not have version {version}.",
            expected=f"{repository}:{version}",
            found=f"versions {', '.join(tags)}" if tags else "no version of it",
            where=host,
            next_step=f"push the image {repository}:{version}, or deploy a version that is there",
        )
    if meaning == "unreachable":
        raise _unreachable(host, where, trouble)
    raise CommandFailed("The registry gave no digest.", expected="sha256:…", found=trouble, where=where)


def file_digest(paths: Paths, url: str, version: str) -> str:
    """Returns the digest (``sha256:…``) of the file at *url*, as ``<url>.sha256`` states it.

    Raises NotFound when there is no such file, CommandFailed when the server cannot be asked.
    """
    where = f"{url}.sha256"
    try:
        with open_url(paths, where) as answer:
            text = read_block(answer, 1024, where).decode("utf-8", "replace")
    except NotFound as error:
        raise NotFound(
            f"The server does not have version {version}.",
            expected=f"{url} and beside it its .sha256",
            found="HTTP status 404",
            where=where,
            next_step="publish both files, or deploy a version that is there",
        ) from error
    digest = (text.split() or [""])[0].lower()
    if not _HEX.fullmatch(digest):
        raise CommandFailed(
            "The digest of the release cannot be read.",
            expected="64 hex digits, as sha256sum writes them",
            found=repr(text[:80]),
            where=where,
        )
    return f"sha256:{digest}"


def open_url(paths: Paths, url: str) -> http.client.HTTPResponse:
    """Opens *url* (https) with the credentials and the authority that docker has for its host on this machine.

    Raises BadInput, NotFound (404) or CommandFailed.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise BadInput("The artefact has no usable address.", expected="https://host/path", found=url, where="artefact")
    request = urllib.request.Request(url)
    account = _account(paths, parts.netloc)
    if account:
        # Unredirected: another host that this one points to never sees the credentials.
        request.add_unredirected_header("Authorization", f"Basic {account}")
    try:
        authority = os.path.join(paths.certificates, parts.netloc, "ca.crt")
        context = ssl.create_default_context(cafile=authority if os.path.exists(authority) else None)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        return t.cast(http.client.HTTPResponse, opener.open(request, timeout=_ANSWER))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise NotFound("The server does not have this file.", found="HTTP status 404", where=url) from error
        if error.code in (401, 403):
            raise _refused(parts.netloc, url) from error
        raise CommandFailed("The server gave an error.", found=f"HTTP status {error.code}", where=url) from error
    except (OSError, http.client.HTTPException) as error:
        raise _connection_failure(paths, parts.netloc, url, error) from error


def read_block(answer: http.client.HTTPResponse, size: int, url: str) -> bytes:
    """Reads at most *size* bytes. Raises CommandFailed when the connection breaks."""
    try:
        return answer.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed("The download broke off.", found=f"{type(error).__name__}: {error}", where=url) from error


def _account(paths: Paths, host: str) -> str | None:
    """The base64 text ``user:password`` that docker keeps for *host*, or None."""
    text = durable.read_text(paths.credentials)
    try:
        entries = json.loads(text or "{}").get("auths", {})
        entry = entries.get(host) or entries.get(f"https://{host}") or {}
        return entry.get("auth") or None
    except (ValueError, AttributeError) as error:
        raise BadInput(
            "The registry credentials of this host cannot be read.",
            expected="JSON as `docker login` writes it",
            found="something else",
            where=paths.credentials,
        ) from error


def _tags(repository: str, account: t.Sequence[str], run: Run) -> list[str]:
    """The last tags of *repository*; none when it has none or does not exist."""
    arguments = ["skopeo", "list-tags", *account, f"docker://{repository}"]
    answer = run(arguments, deadline=_ANSWER, accepted=(0, 1, 2))
    if answer.code:
        return []
    tags = [str(tag) for tag in json.loads(answer.output).get("Tags") or []]
    return sorted(tags, key=_version_order)[-_TAGS_SHOWN:]


def _plain(text: str) -> str:
    """What skopeo has to say, without the decoration of its log: ``time="…" level=fatal msg="…"``."""
    match = re.search(r'level=fatal msg="(.*)"', text, re.DOTALL)
    return (match.group(1).replace('\\"', '"') if match else text).replace("\n", " ")


def _version_order(tag: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.+-]", tag)]


def _connection_failure(paths: Paths, host: str, url: str, error: Exception) -> RolloutError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLError):
        return _untrusted(paths, host, str(reason))
    return _unreachable(host, url, str(reason))


def _refused(host: str, where: str) -> CommandFailed:
    return CommandFailed(
        "The registry refused the credentials of this host.",
        expected=f"an account for {host} that may read",
        found="access denied",
        where=where,
        next_step=f"check the registry user and password in the inventory, then run the verb provision ({host})",
    )


def _untrusted(paths: Paths, host: str, found: str) -> CommandFailed:
    return CommandFailed(
        "This host does not trust the certificate of the registry.",
        expected="a certificate signed by a known authority",
        found=found,
        where=host,
        next_step=f"put the authority's certificate into {os.path.join(paths.certificates, host, 'ca.crt')}",
    )


def _unreachable(host: str, where: str, found: str) -> CommandFailed:
    return CommandFailed(
        "The registry cannot be reached from this host.",
        expected=f"an answer of {host}",
        found=found,
        where=where,
        next_step=f"check name resolution and network from this host: curl -v https://{host}/",
    )
