# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run that makes a change on an application host, as several modules take it."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible asks for."""

    DOCUMENTATION = r"""
options:
  run:
    description:
      - The run that makes this change, as M(vitalops.rollout.rollout_step) gave it. Its begin and end are journaled on
        this host, and a run older than the newest that was here is refused.
      - Without it, nothing is journaled and nobody is refused.
    type: dict
"""
