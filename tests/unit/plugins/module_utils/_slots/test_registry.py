# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry answers, or does not, becomes a digest or one clear message."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.request

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    CommandFailed,
    NotFound,
)
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import registry
from ansible_collections.vitalops.rollout.plugins.module_utils._slots.record import Paths

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def paths(tmp_path):
    return Paths("shop", str(tmp_path))


class Skopeo:
    """Answers like skopeo; keeps what it was asked."""

    def __init__(self, inspect, tags=None):
        self.answers = {"inspect": inspect, "list-tags": tags or Completed(1, "", "")}
        self.asked = []

    def __call__(self, arguments, **options):
        self.asked.append(list(arguments))
        return self.answers[arguments[1]]


def fatal(text):
    return Completed(1, "", f'time="2026-11-21T14:10:54Z" level=fatal msg="Error: {text}"\n')


def test_a_tag_has_a_digest(paths):
    skopeo = Skopeo(Completed(0, DIGEST + "\n", ""))
    assert registry.image_digest(paths, "registry.test/shop", "1.1.0", run=skopeo) == DIGEST
    assert skopeo.asked == [["skopeo", "inspect", "--format", "{{.Digest}}", "docker://registry.test/shop:1.1.0"]]


def test_the_credentials_of_the_host_are_named_by_file(paths):
    os.makedirs(os.path.dirname(paths.credentials))
    open(paths.credentials, "w").close()
    skopeo = Skopeo(Completed(0, DIGEST, ""))
    registry.image_digest(paths, "registry.test/shop", "1.1.0", run=skopeo)
    assert skopeo.asked[0][2:4] == ["--authfile", paths.credentials]


def test_a_version_that_is_not_there_is_told_with_those_that_are(paths):
    tags = [f"1.{minor}.0" for minor in range(12)]
    skopeo = Skopeo(fatal("reading manifest: manifest unknown"), Completed(0, json.dumps({"Tags": tags}), ""))
    with pytest.raises(NotFound, match=r"expected: registry\.test/shop:9\n  found: versions 1\.2\.0, .*, 1\.11\.0\n"):
        registry.image_digest(paths, "registry.test/shop", "9", run=skopeo)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unable to retrieve auth token: invalid username/password: unauthorized", "refused the credentials"),
        ("reading manifest 9 in registry.test/shop: authentication required", "refused the credentials"),
        ("dial tcp: lookup registry.test: no such host", "cannot be reached"),
        ("dial tcp 192.0.2.1:443: connect: connection refused", "cannot be reached"),
        ("dial tcp 192.0.2.1:443: i/o timeout", "cannot be reached"),
        ("tls: failed to verify certificate: x509: unknown authority", "does not trust"),
        ("invalid status code from registry 403 (Forbidden)", "refused the credentials"),
        ("unexpected HTTP status: 401", "refused the credentials"),
        ("dial tcp 192.0.2.1:5403: connect: connection refused", "cannot be reached"),
        ("pinging registry.test:5401: i/o timeout", "cannot be reached"),
        ("unauthorized: project shop not found", "refused the credentials"),
        ("something new about 1.404.0 and 1.401.0", "gave no digest"),
        ("something new", "gave no digest"),
    ],
)
def test_each_trouble_has_its_own_message(paths, text, message):
    with pytest.raises(CommandFailed, match=message):
        registry.image_digest(paths, "registry.test/shop", "9", run=Skopeo(fatal(text)))


@pytest.mark.parametrize(
    "text",
    [
        "reading manifest 1.403.0 in registry.test:5401/shop: manifest unknown",
        "reading manifest 9 in registry.test/denied/shop: name unknown: repository name not known to registry",
        "fetching 9: StatusCode: 404",
        "unexpected status code 404",
        "artifact shop:9 not found",
    ],
)
def test_what_the_registry_does_not_have_is_not_mistaken_for_a_refusal(paths, text):
    with pytest.raises(NotFound, match="found: no version of it"):
        registry.image_digest(paths, "registry.test/shop", "9", run=Skopeo(fatal(text)))


@pytest.mark.parametrize("repository", ["registry1/shop", "shop", "https://registry.test/shop", "registry.test/shop:1"])
def test_what_docker_would_look_for_elsewhere_is_refused(paths, repository):
    with pytest.raises(BadInput, match="a dot or a port"):
        registry.image_digest(paths, repository, "1", run=Skopeo(Completed(0, DIGEST, "")))


@pytest.mark.parametrize("repository", ["registry1:5000/shop", "localhost/shop", "registry.test:5000/team/shop"])
def test_registries_with_a_port_or_a_team_are_fine(paths, repository):
    assert registry.image_digest(paths, repository, "1", run=Skopeo(Completed(0, DIGEST, ""))) == DIGEST


class Server:
    """Stands for urllib: keeps the request and answers with *answer*, or raises it."""

    def __init__(self, monkeypatch, answer):
        self.answer, self.request = answer, None
        monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: self)

    def open(self, request, timeout):
        self.request = request
        if isinstance(self.answer, Exception):
            raise self.answer
        return self

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        return None

    def read(self, size):
        return self.answer[:size]


URL = "https://registry.test/releases/shop-9.tar.gz"


@pytest.mark.parametrize("text", ["a" * 64, "A" * 64 + "\n", "a" * 64 + "  shop-9.tar.gz\n"])
def test_the_digest_of_a_file_lies_beside_it(monkeypatch, paths, text):
    server = Server(monkeypatch, text.encode())
    assert registry.file_digest(paths, URL, "9") == DIGEST
    assert server.request.full_url == URL + ".sha256"


def test_credentials_go_to_their_host_only_and_never_along_with_a_redirection(monkeypatch, paths):
    os.makedirs(os.path.dirname(paths.credentials))
    token = base64.b64encode(b"user:hidden").decode()
    with open(paths.credentials, "w") as handle:
        json.dump({"auths": {"registry.test": {"auth": token}}}, handle)
    server = Server(monkeypatch, b"a" * 64)
    registry.file_digest(paths, URL, "9")
    assert server.request.unredirected_hdrs == {"Authorization": f"Basic {token}"}
    assert "Authorization" not in server.request.headers
    registry.file_digest(paths, URL.replace("registry.test", "elsewhere.test"), "9")
    assert server.request.unredirected_hdrs == {}


def http_error(code):
    return urllib.error.HTTPError(URL, code, "no", {}, None)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (http_error(404), NotFound, "does not have version 9"),
        (http_error(401), CommandFailed, "refused the credentials"),
        (http_error(503), CommandFailed, "HTTP status 503"),
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), CommandFailed, "cannot be reached"),
        (urllib.error.URLError(ssl.SSLCertVerificationError("unknown")), CommandFailed, "does not trust"),
        (TimeoutError("timed out"), CommandFailed, "cannot be reached"),
        (b"<html>welcome</html>", CommandFailed, "64 hex digits"),
        (b"", CommandFailed, "64 hex digits"),
    ],
    ids=str,
)
def test_each_trouble_with_a_file_has_its_own_message(monkeypatch, paths, answer, error, message):
    Server(monkeypatch, answer)
    with pytest.raises(error, match=message):
        registry.file_digest(paths, URL, "9")


def test_without_tls_nothing_is_asked(monkeypatch, paths):
    server = Server(monkeypatch, b"")
    with pytest.raises(BadInput, match="https://host/path"):
        registry.file_digest(paths, URL.replace("https", "http"), "9")
    assert server.request is None
