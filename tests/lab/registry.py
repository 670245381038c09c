# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private registry of a lab: what its host starts with, and how a release gets into it."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed, RolloutError

from . import hosts, images, keys
from .console import Step, watched
from .engine import docker
from .paths import ROOT, write_private
from .state import REGISTRY_HOST, REGISTRY_NAME, REGISTRY_USER, Lab

APPLICATION = ROOT / "examples" / "reference_app"
REPOSITORY = "reference"
RELEASES = "/srv/releases"
AUTH_FILE = "/root/registry-auth.json"
DIGEST_FILE = "/run/pushed-digest"
# The image of the application is the same for every host; only a release folder depends on the host's Python.
IMAGE_DEBIAN = 13
BUILD_LEFTOVERS = {"__pycache__", ".build", ".venv", ".mypy_cache", ".ruff_cache"}


def files(lab: Lab) -> list[hosts.File]:
    """Returns the files that the registry's host starts with: certificate, password file, its own credentials."""
    password = lab.secrets()["lab_registry_password"]
    token = base64.b64encode(f"{REGISTRY_USER}:{password}".encode()).decode()
    authority = (lab.folder / "ca.pem").read_text(encoding="utf-8")
    tls = "/etc/nginx/tls/registry1"
    return [
        hosts.File(f"{tls}.pem", (lab.folder / f"{REGISTRY_HOST}.pem").read_text(encoding="utf-8"), 0o644),
        hosts.File(f"{tls}.key", (lab.folder / f"{REGISTRY_HOST}.key").read_text(encoding="utf-8")),
        # Read by nginx's workers, who are not root; it holds only a salted hash.
        hosts.File("/etc/nginx/registry.htpasswd", keys.password_file(REGISTRY_USER, password), 0o644),
        hosts.File(f"/etc/containers/certs.d/{REGISTRY_NAME}/ca.crt", authority, 0o644),
        hosts.File(AUTH_FILE, json.dumps({"auths": {REGISTRY_NAME: {"auth": token}}})),
    ]


def push(lab: Lab, version: str, faults: t.Sequence[str], kinds: t.Sequence[str]) -> dict[str, str]:
    """Builds *version* of the reference application and puts it into the registry; what is there already stays.

    *faults* are key=value pairs baked into the release. *kinds* are image and folder.
    Returns kind → digest (image) or checksum (folder).
    """
    if not (APPLICATION / "build.py").exists():
        raise RolloutError("The reference application is not there.", where=str(APPLICATION / "build.py"))
    record = lab.folder / "pushed.json"
    pushed: dict[str, dict[str, str]] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    results = {}
    for kind in kinds:
        content = _content(lab, kind, faults)
        known = pushed.get(f"{kind} {version}", {})
        with Step(f"Release {version}, {kind}") as step:
            if known.get("content") == content:
                step.note = "is there already"
            else:
                work = _push_image if kind == "image" else _push_folder
                known = {"content": content, "result": work(step, lab, version, faults)}
                pushed[f"{kind} {version}"] = known
                write_private(record, json.dumps(pushed, indent=2) + "\n")
        results[kind] = known["result"]
    return results


def push_archive(lab: Lab, image: str, repository: str, version: str) -> str:
    """Copies *image* of the machine's engine into the registry. Returns its digest."""
    container = lab.container(REGISTRY_HOST)
    target = f"docker://{REGISTRY_NAME}/{repository}:{version}"
    copy = ["skopeo", "copy", "--quiet", "--authfile", AUTH_FILE, "--digestfile", DIGEST_FILE]
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        copied = subprocess.run(
            ["docker", "exec", "--interactive", container, *copy, "docker-archive:/dev/stdin", target],
            stdin=saved.stdout,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if copied.returncode != 0 or saved.returncode != 0:
        raise CommandFailed(
            f"The image did not get into the registry of lab {lab.name}.",
            found=copied.stderr.strip() or "docker save failed",
            where=target,
            next_step=f"docker exec {container} journalctl -u docker-registry -u nginx -n 20",
        )
    return docker("exec", container, "cat", DIGEST_FILE).output.strip()


def _push_image(step: Step, lab: Lab, version: str, faults: t.Sequence[str]) -> str:
    name = f"{images.PREFIX}-{REPOSITORY}:{version}"
    base = images.ensure("python", IMAGE_DEBIAN)
    _build(step, ["image", "--version", version, "--tag", name, "--base", base], faults)
    step.last_line = "pushing"
    return push_archive(lab, name, REPOSITORY, version)


def _push_folder(step: Step, lab: Lab, version: str, faults: t.Sequence[str]) -> str:
    container = lab.container(REGISTRY_HOST)
    name = f"{REPOSITORY}-{version}.tar.gz"
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / name
        _build(step, ["folder", "--version", version, "--debian", str(lab.debian), "--output", str(archive)], faults)
        checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
        docker("cp", str(archive), f"{container}:{RELEASES}/{name}", deadline=120)
    docker("exec", container, "chmod", "0644", f"{RELEASES}/{name}")
    hosts.put_files(container, [hosts.File(f"{RELEASES}/{name}.sha256", f"{checksum}  {name}\n", 0o644)])
    return f"sha256:{checksum}"


def _build(step: Step, arguments: list[str], faults: t.Sequence[str]) -> None:
    command = [sys.executable, str(APPLICATION / "build.py"), *arguments]
    for fault in faults:
        command += ["--fault", fault]
    watched(step, command)


def _content(lab: Lab, kind: str, faults: t.Sequence[str]) -> str:
    """Returns a hash of everything that a pushed release is made from."""
    base = images.tag("python", IMAGE_DEBIAN) if kind == "image" else str(lab.debian)
    digest = hashlib.sha256(f"{base} {sorted(faults)}".encode())
    for file in sorted(APPLICATION.rglob("*")):
        if file.is_file() and not BUILD_LEFTOVERS & set(file.relative_to(APPLICATION).parts):
            digest.update(f"{file.relative_to(APPLICATION)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
