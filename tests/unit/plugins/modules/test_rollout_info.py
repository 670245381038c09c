# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks at a load balancer: what it knows is told, with or without HAProxy."""

from __future__ import annotations

import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._state import state as states
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer
from ansible_collections.vitalops.rollout.plugins.modules import rollout_info

R1 = {"id": "1.0.0-aaa", "version": "1.0.0", "digest": "sha256:1", "artefact": "registry/shop"}


def test_information_comes_without_haproxy_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(states, "folder_of", lambda application, root="": str(tmp_path / application))
    monkeypatch.setattr(pointer, "path_of", lambda application, root="": str(tmp_path / application / "traffic.map"))
    (tmp_path / "shop").mkdir()
    state, _entry = states.confirmed(
        states.State("shop", "staging"), operation="deploy", slot="blue", release=R1, by="kim", at="2026"
    )
    states.save(state)
    pointer.write_file("shop", pointer.path_of("shop"), pointer.Pointer("blue", None, 0))
    params = {"application": "shop", "socket": str(tmp_path / "nobody.sock")}
    told = rollout_info.look(t.cast(t.Any, types.SimpleNamespace(params=params, check_mode=False)))
    assert told["state"]["live"] == "blue"
    assert told["pointer"] == {"live": "blue", "candidate": None, "weight": 0}
    assert told["servers"] == []
    assert "HAProxy" in told["haproxy_error"]
