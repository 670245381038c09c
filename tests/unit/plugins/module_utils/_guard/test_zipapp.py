# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program is the collection's own sources, the same bytes every time, and runs by itself."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import cli, zipapp

ROOT = cli.__name__.rsplit(".", 2)[0]
FOLDER = Path(cli.__file__).parents[1]
RUN = {"id": "run-kim", "epoch": 0, "operation": "deploy", "actor": "kim", "source": "command line"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "rollout-guard"
    path.parent.mkdir()
    path.write_bytes(zipapp.pack(zipapp.sources(ROOT)))
    return path


def run(program: Path, *words: str, told: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(program), *words]
    return subprocess.run(command, input=told, capture_output=True, text=True, check=False, cwd=program.parent)


def test_it_packs_the_very_sources_that_are_imported(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
        ours = {name for name in packed if name.startswith("rollout/")} - {"rollout/__init__.py"}
        for name in ours:
            assert archive.read(name) == (FOLDER / name[len("rollout/") :]).read_bytes(), name
    needed = {path.name for path in (FOLDER / "_guard").glob("*.py")} - {"zipapp.py"}
    assert {f"rollout/_guard/{name}" for name in needed} <= packed
    assert "rollout/_state/recovery.py" in packed
    assert "rollout/_gates/gate.py" in packed
    assert packed - ours == {"__main__.py", "rollout/__init__.py"} | set(zipapp.library("jmespath"))


def test_expressions_of_gates_need_nothing_of_the_host(program: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(program)!r}); import jmespath; print(jmespath.__file__)"
    told = subprocess.check_output([sys.executable, "-I", "-c", script], text=True)
    assert told.startswith(str(program))


def test_whatever_a_packed_file_imports_is_packed_also_what_is_loaded_late() -> None:
    packed = zipapp.sources(ROOT)
    for name, source in packed.items():
        here = name.split("/")[:-1]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = "/".join(here[: len(here) - node.level + 1] + (node.module or "").split(".")).rstrip("/")
                wanted = [f"{base}.py"] if node.module and f"{base}.py" in packed else []
                wanted = wanted or [f"{base}/{one.name}.py" for one in node.names]
                assert set(wanted) <= set(packed), f"{name} imports {wanted}"


def test_a_step_loads_no_more_than_it_needs(program: Path) -> None:
    """Users wait for a switch; what is not needed for it costs more than the switch itself."""
    script = f"import sys; sys.path.insert(0, {str(program)!r}); import rollout._guard.cli; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-I", "-c", script], text=True).split())
    late = {"argparse", "dataclasses", "http.client", "ssl", "subprocess", "tempfile", "hashlib", "jmespath"}
    assert not loaded & {*late, "rollout._slots.slot", "rollout._gates.gate"}


def test_the_same_sources_give_the_same_bytes(program: Path) -> None:
    assert program.read_bytes() == zipapp.pack(zipapp.sources(ROOT))
    script = (
        f"import hashlib, sys; sys.path.insert(0, {str(FOLDER.parents[4])!r})\n"
        f"from {ROOT}._guard import cli, zipapp\n"
        f"print(hashlib.sha256(zipapp.pack(zipapp.sources({ROOT!r}))).hexdigest())"
    )
    sums = {subprocess.check_output([sys.executable, "-c", script], text=True) for _twice in (1, 2)}
    assert len(sums) == 1


def test_beside_each_source_lies_its_byte_code() -> None:
    packed = zipapp.pack({"__main__.py": "print('hello')\n"})
    assert packed.startswith(b"#!/usr/bin/python3 -I\n")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["__main__.py", "__main__.pyc"]


def test_it_says_its_version(program: Path) -> None:
    ended = run(program, "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "rollout-guard, protocol 3\n", "")


def test_it_answers_a_step_without_ansible(program: Path) -> None:
    request = {"protocol": 3, "step": "info", "application": "nobody-has-this", "environment": "staging", "run": RUN}
    ended = run(program, "step", told=json.dumps(request))
    assert (ended.returncode, ended.stderr) == (0, "")
    view = json.loads(ended.stdout)["view"]
    assert (view["application"], view["state"], view["action"]) == ("nobody-has-this", None, "nothing")
    assert not Path("/var/lib/rollout/nobody-has-this").exists()


def test_a_python_with_other_byte_code_uses_the_sources(tmp_path: Path) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipapp.pack(zipapp.sources(ROOT)))) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, b"\x00\x00\r\n" + content[4:] if name.endswith(".pyc") else content)
    program = tmp_path / "rollout-guard"
    program.write_bytes(other.getvalue())
    assert run(program, "--version").stdout == "rollout-guard, protocol 3\n"
