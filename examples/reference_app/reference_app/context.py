# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every route of one web process shares."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from fastapi import Response

from .config import Settings
from .metrics import Metrics
from .queue import Queue
from .stores import Stores


@dataclass
class Context:
    """One web process. *stopping* turns true at SIGTERM and never back."""

    settings: Settings
    stores: Stores
    queue: Queue
    metrics: Metrics
    stopping: bool = False


def answer(content: t.Any, status: int = 200) -> Response:
    """Returns JSON without the detour through the framework's encoder; bytes and str are JSON already."""
    body = content if isinstance(content, (bytes, str)) else json.dumps(content, separators=(",", ":"))
    return Response(body, status, media_type="application/json")
