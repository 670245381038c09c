# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that every module of the collection states in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    # For modules that change something.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Says what would change and changes nothing.
  diff_mode:
    support: full
    description: Shows before and after as meaning, without secrets.
  platform:
    platforms: posix
    support: full
    description: Linux hosts with systemd and Python 3.9 or newer.
"""

    # For modules that only look.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Only looks, never changes anything.
  diff_mode:
    support: none
    description: There is no change to show.
  platform:
    platforms: posix
    support: full
    description: Linux hosts with systemd and Python 3.9 or newer.
"""
