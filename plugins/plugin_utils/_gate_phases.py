# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates as filters get them. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

Phases = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]


def checked(gates: t.Any, name: str) -> Phases:
    """Returns *gates*, for the filter *name*. Raises AnsibleFilterError for what is not lists of gates by phase."""
    if not isinstance(gates, t.Mapping):
        raise AnsibleFilterError(f"{name}: expected lists of gates by phase, found {type(gates).__name__}")
    return gates
