#!/usr/bin/env python3
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the reference application as a container image, or as a release folder in a tar.gz for systemd hosts.

Both come from the same files in the same order with the same times, so that equal input gives an equal artefact.
Needs the standard library, `uv`, and for images a Docker engine that has the base image.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
CACHE = CHECKOUT / ".build" / "reference_app"
PYTHON_OF_DEBIAN = {"12": "3.11", "13": "3.13"}
PLATFORMS = {
    "x86_64": "x86_64-unknown-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
    "arm64": "aarch64-unknown-linux-gnu",
}
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
TIME = 1_600_000_000  # every file in an artefact has this modification time
SHIM = """\
#!/usr/bin/python3 -B
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(root), str(root / "site-packages")]

from reference_app.__main__ import main

sys.exit(main())
"""


class BuildError(Exception):
    """The build cannot go on; the message says why."""


class Entry(t.NamedTuple):
    """One file of an artefact."""

    name: str
    content: bytes
    executable: bool = False


def release_entries(version: str, faults: Mapping[str, t.Any]) -> list[Entry]:
    """Returns the files of the application itself: code, migrations, version, and faults when there are any."""
    files = [*sorted((HERE / "reference_app").glob("*.py")), *sorted((HERE / "migrations").glob("*.sql"))]
    entries = [Entry(str(path.relative_to(HERE)), path.read_bytes()) for path in files]
    entries.append(Entry("VERSION", f"{version}\n".encode()))
    if faults:
        entries.append(Entry("faults.json", json.dumps(faults, sort_keys=True).encode() + b"\n"))
    return entries


def folder_entries(folder: Path, prefix: str) -> Iterator[Entry]:
    """Yields the files below *folder* under the name *prefix*."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            yield Entry(f"{prefix}/{path.relative_to(folder)}", path.read_bytes(), executable)


def write_tar(entries: list[Entry], target: t.IO[bytes]) -> None:
    """Writes an uncompressed tar whose bytes depend on the entries alone. Folders come before what is in them."""
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        seen: set[str] = set()
        for entry in sorted(entries):
            for parent in reversed(Path(entry.name).parents[:-1] if "/" in entry.name else []):
                if str(parent) not in seen:
                    seen.add(str(parent))
                    archive.addfile(_member(str(parent), 0o755, tarfile.DIRTYPE))
            member = _member(entry.name, 0o755 if entry.executable else 0o644, tarfile.REGTYPE)
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))


def _member(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime, member.type = mode, TIME, kind
    member.uname = member.gname = "root"
    return member


def write_archive(entries: list[Entry], output: Path) -> str:
    """Writes a tar.gz in one step (never half a file); returns its SHA-256."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        # Neither name nor time of day in the header, or no two archives would be equal.
        with part.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=TIME) as packed:
            write_tar(entries, t.cast("t.IO[bytes]", packed))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def dependencies(python: str) -> Path:
    """Returns the folder with the pinned dependencies for that Python; unpacks them when they are not cached."""
    machine = platform.machine()
    if machine not in PLATFORMS:
        raise BuildError(f"no wheels are known for this machine ({machine}); known are {', '.join(PLATFORMS)}")
    pins = (HERE / "requirements.txt").read_bytes()
    key = hashlib.sha256(pins + f"{python} {PLATFORMS[machine]}".encode()).hexdigest()[:12]
    folder = CACHE / f"site-packages-{python}-{key}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        target = Path(work) / "site-packages"
        _run(
            [
                _uv(), "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy", "--target", str(target),
                "--python-version", python, "--python-platform", PLATFORMS[machine], "--only-binary", ":all:",
                "--requirement", str(HERE / "requirements.txt"),
            ],
            {"UV_CACHE_DIR": str(CHECKOUT / ".cache" / "uv"), "UV_PYTHON_DOWNLOADS": "never"} | os.environ,
        )  # fmt: skip
        # Nothing of these runs; without them the layer and the start are smaller.
        for unused in [target / "bin", target / ".lock", *target.rglob("*.pyx"), *target.rglob("*.pxd")]:
            shutil.rmtree(unused) if unused.is_dir() else unused.unlink(missing_ok=True)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # else a build beside this one was faster
                raise
    return folder


def _uv() -> str:
    local = CHECKOUT / ".venv" / "bin" / "uv"
    found = str(local) if local.exists() else shutil.which("uv")
    if not found:
        raise BuildError("uv was found neither in .venv/bin nor in PATH; `make setup` installs it")
    return found


def _run(command: list[str], environment: Mapping[str, str] | None = None, stdin: t.IO[bytes] | None = None) -> None:
    try:
        done = subprocess.run(command, env=environment, stdin=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed on this machine") from None
    if done.returncode:
        raise BuildError(f"{' '.join(command[:3])} ended with {done.returncode}:\n{done.stderr.strip()}")


def build_image(version: str, tag: str, base: str, faults: Mapping[str, t.Any], python: str) -> None:
    """Builds the image *tag* from *base*, with the whole build context handed over as a stream."""
    context = [Entry("Dockerfile", (HERE / "Dockerfile").read_bytes())]
    context += folder_entries(dependencies(python), "site-packages")
    context += [entry._replace(name=f"release/{entry.name}") for entry in release_entries(version, faults)]
    with tempfile.TemporaryFile() as stream:
        write_tar(context, stream)
        stream.seek(0)
        labels = {"title": "reference_app", "version": version, "licenses": "GPL-3.0-or-later"}
        command = ["docker", "build", "--quiet", "--tag", tag, "--build-arg", f"BASE={base}"]
        for name, value in labels.items():
            command += ["--label", f"org.opencontainers.image.{name}={value}"]
        _run([*command, "-"], stdin=stream)


def build_folder(version: str, output: Path, faults: Mapping[str, t.Any], python: str) -> str:
    """Builds the release folder for systemd hosts as *output*; returns its SHA-256."""
    entries = [Entry("bin/reference_app", SHIM.encode(), executable=True), *release_entries(version, faults)]
    return write_archive([*entries, *folder_entries(dependencies(python), "site-packages")], output)


def parse_faults(pairs: list[str]) -> dict[str, t.Any]:
    """Returns name -> value of faults given as name=value; raises BuildError for one that the application refuses."""
    sys.path.insert(0, str(HERE))
    from reference_app.faults import parse_fault  # noqa: PLC0415  the application's own check

    try:
        return {name: parse_fault(name, value) for name, _equals, value in (pair.partition("=") for pair in pairs)}
    except ValueError as error:
        raise BuildError(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    image = commands.add_parser("image", help="a container image")
    image.add_argument("--tag", required=True)
    image.add_argument("--base", required=True, help="image with python3 of the chosen Debian")
    folder = commands.add_parser("folder", help="a release folder as tar.gz")
    folder.add_argument("--output", required=True, type=Path)
    for command in (image, folder):
        command.add_argument("--version", required=True)
        command.add_argument("--debian", choices=sorted(PYTHON_OF_DEBIAN), default="13")
        command.add_argument("--fault", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args(arguments)
    try:
        if not VERSION.fullmatch(chosen.version):
            raise BuildError(
                f"a version is made of letters, digits, dots, dashes and underscores, found {chosen.version!r}"
            )
        faults, python = parse_faults(chosen.fault), PYTHON_OF_DEBIAN[chosen.debian]
        if chosen.command == "image":
            build_image(chosen.version, chosen.tag, chosen.base, faults, python)
            print(f"image {chosen.tag}")
        else:
            print(f"{build_folder(chosen.version, chosen.output, faults, python)}  {chosen.output}")
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
