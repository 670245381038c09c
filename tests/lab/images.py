# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that hosts are made of. A tag carries the hash of all that the image is made from: same hash, no work."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import yaml
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed, RolloutError

from . import apt_sources
from .console import Step, watched
from .engine import docker, ensure_programs
from .paths import HERE, exclusive

FOLDER = HERE / "images"
PREFIX = "vitalops-lab"
PULL_DEADLINE_SECONDS = 15.0
# What each kind of image is built on, and which entries of FOLDER it is made from.
PARENTS = {"base": "root", "python": "root", "registry": "base"}
PARTS = {
    "root": (),
    "base": ("apt", "apt.sh", "base.Dockerfile", "base.sh", "files", "prefetch.yml"),
    "python": ("apt", "apt.sh", "python.Dockerfile", "python.sh"),
    "registry": ("apt", "apt.sh", "registry.Dockerfile", "registry.sh", "registry_files"),
}


def tag(kind: str, debian: int) -> str:
    """Returns the full name of an image: kind is root, base, python or registry."""
    return f"{PREFIX}-{kind}:debian{debian}-{_fingerprint(kind, debian)}"


def plain_tag(kind: str, debian: int) -> str:
    """Returns the name without a hash, under which other programs know the newest image of a kind."""
    return f"{PREFIX}-{kind}:debian{debian}"


def ensure(kind: str, debian: int) -> str:
    """Makes sure that an image is there. Returns its tag."""
    wanted = tag(kind, debian)
    if not _exists(wanted):
        with exclusive(f"image-debian{debian}-{kind}"):
            if not _exists(wanted):
                _build(kind, debian, wanted)
    return wanted


def remove_all() -> list[str]:
    """Removes every image of the lab. Returns their names."""
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{PREFIX}-*").output.split()
    found = [name for name in listed if not name.endswith(":<none>")]
    if found:
        docker("image", "rm", "--force", *found, deadline=300)
    return found


def _exists(name: str) -> bool:
    return docker("image", "inspect", "--format", "{{.Id}}", name, accepted=(0, 1)).code == 0


def _fingerprint(kind: str, debian: int) -> str:
    digest = hashlib.sha256(f"{kind} {debian} {apt_sources.sources_list(apt_sources.read_machine(), debian)}".encode())
    if kind in PARENTS:
        digest.update(_fingerprint(PARENTS[kind], debian).encode())
    for part in PARTS[kind]:
        path = FOLDER / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(FOLDER)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _build(kind: str, debian: int, name: str) -> None:
    if kind == "root":
        _build_root(debian, name)
        return
    parent = ensure(PARENTS[kind], debian)
    with Step(f"Image {kind}, Debian {debian}") as step, tempfile.TemporaryDirectory() as context:
        _fill_context(Path(context), kind, debian)
        options = ["--force-rm", "--build-arg", f"ROOT={parent}", "--file", f"{context}/{kind}.Dockerfile"]
        watched(
            step,
            ["docker", "build", *options, "--tag", name, "--tag", plain_tag(kind, debian), context],
            next_step="when a package cannot be fetched, look at the machine's apt sources",
        )


def _fill_context(context: Path, kind: str, debian: int) -> None:
    for part in PARTS[kind]:
        source = FOLDER / part
        if source.is_dir():
            shutil.copytree(source, context / part)
        else:
            shutil.copy(source, context / part)
    sources = context / "apt" / "sources.list.d" / "lab.list"
    sources.parent.mkdir(parents=True, exist_ok=True)
    sources.write_text(apt_sources.sources_list(apt_sources.read_machine(), debian), encoding="utf-8")
    if kind == "base":
        prefetch = yaml.safe_load((FOLDER / "prefetch.yml").read_text(encoding="utf-8"))
        packages = [*prefetch["common"], *prefetch[str(debian)]]
        (context / "prefetch").write_text("\n".join(packages) + "\n", encoding="utf-8")


def _build_root(debian: int, name: str) -> None:
    """The smallest Debian: from a registry where one answers, else made with mmdebstrap from the machine's mirror."""
    codename = apt_sources.CODENAMES[debian]
    with Step(f"Debian {debian} from a registry") as step:
        if _pull(f"debian:{codename}-slim", name):
            return
        step.note = "no registry answers"
    mirrors = apt_sources.read_machine()
    if not mirrors:
        raise RolloutError(
            "There is no Debian to make hosts from.",
            expected="a registry that has Debian's image, or a Debian mirror in the machine's apt configuration",
            found="neither",
            where="/etc/apt/sources.list, /etc/apt/sources.list.d/",
            next_step=f"docker pull debian:{codename}-slim must work, or add a Debian mirror to apt",
        )
    ensure_programs("mmdebstrap")
    with Step(f"Debian {debian} by mmdebstrap") as step, tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        sources = Path(folder) / "sources.list"
        sources.write_text(apt_sources.sources_list(mirrors, debian), encoding="utf-8")
        watched(step, ["mmdebstrap", "--variant=minbase", codename, str(archive), str(sources)])
        step.last_line = "docker import"
        docker("import", "--message", "made by mmdebstrap", str(archive), name, deadline=300)


def _pull(source: str, name: str) -> bool:
    try:
        docker("pull", "--quiet", source, deadline=PULL_DEADLINE_SECONDS)
    except CommandFailed:
        return False
    docker("tag", source, name)
    docker("rmi", source)
    return True
