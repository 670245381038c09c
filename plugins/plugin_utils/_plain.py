# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as Python itself has them: Ansible's lazy containers cannot be copied by dataclasses. Pure. PRIVATE."""

from __future__ import annotations

import typing as t


def plain(value: t.Any) -> t.Any:
    """Returns *value* with ordinary dicts and lists, all the way down."""
    if isinstance(value, t.Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value
