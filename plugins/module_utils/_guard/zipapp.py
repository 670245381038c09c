# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the rooms into the program for the host: the very files that the modules import. PRIVATE to the collection."""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import sys
import typing as t
import zipfile

from .._slots import artefact
from .._traffic import haproxy, nginx
from . import cli, early, verify, watcher, watching, words, work

# What is imported is packed; those after the first are what the program itself loads late.
PARTS = (cli, early, verify, watcher, watching, words, work, artefact, haproxy, nginx)
SHEBANG = b"#!/usr/bin/python3 -I\n"
ROOMS = ("_foundation", "_state", "_traffic", "_gates", "_slots", "_guard")
PACKAGE = "rollout"
#: Pure Python, under the licence of MIT; for expressions of gates.
LIBRARY = "jmespath"
_MAIN = f"import sys\n\nfrom {PACKAGE}._guard.cli import main\n\nsys.exit(main())\n"
# Fixed, so that the same sources always give the same bytes.
_MOMENT = (2000, 1, 1, 0, 0, 0)


def sources(root: str) -> dict[str, str]:
    """Returns the source of every module of the ROOMS below the package *root* that is imported, by path in the zip."""
    found = {"__main__.py": _MAIN, f"{PACKAGE}/__init__.py": ""}
    for name, module in sorted(sys.modules.items()):
        room = name[len(root) + 1 :].split(".", 1)[0]
        if not name.startswith(f"{root}.") or room not in ROOMS or module.__spec__ is None:
            continue
        loader = t.cast(t.Any, module.__spec__.loader)
        source = loader.get_source(name) if loader is not None else ""
        path = name[len(root) + 1 :].replace(".", "/")
        is_package = module.__spec__.submodule_search_locations is not None
        found[f"{PACKAGE}/{path}/__init__.py" if is_package else f"{PACKAGE}/{path}.py"] = source or ""
    return {**found, **library(LIBRARY)}


def library(name: str) -> dict[str, str]:
    """Returns the source of every module of the package *name* of this host, by path in the zip; nothing without it.

    A guard that watches alone must not depend on what somebody removes or upgrades meanwhile.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return {}
    found = {}
    for folder in spec.submodule_search_locations:
        for file in sorted(os.listdir(folder)):
            if file.endswith(".py"):
                with open(os.path.join(folder, file), encoding="utf-8") as handle:
                    found[f"{name}/{file}"] = handle.read()
    return found


def pack(files: t.Mapping[str, str]) -> bytes:
    """Returns the program. Beside each source lies its byte code for this Python; another Python uses the source."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, source in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path, _MOMENT), source)
            archive.writestr(zipfile.ZipInfo(f"{path}c", _MOMENT), _byte_code(path, source))
    return SHEBANG + buffer.getvalue()


def _byte_code(path: str, source: str) -> bytes:
    """Byte code that is never compared with its source: both come in one file."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    unchecked = (0b01).to_bytes(4, "little")
    return (
        importlib.util.MAGIC_NUMBER
        + unchecked
        + importlib.util.source_hash(source.encode("utf-8"))
        + marshal.dumps(code)
    )
