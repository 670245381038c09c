#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_packages: its documentation. What it does is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_packages
short_description: Install packages of the distribution that are missing
version_added: "0.1.0"
description:
  - Asks dpkg whether the packages are installed, and only when one is missing, M(ansible.builtin.apt), without
    packages that are merely recommended, and with lists that are not older than a day.
  - A host without dpkg is left to M(ansible.builtin.dnf), which is untested.
author: The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  names:
    description: Names of the packages.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
---
- name: HAProxy comes from the distribution
  vitalops.rollout.host_packages:
    names: [haproxy]
"""

RETURN = r"""
changed:
  description: Whether a package was installed. What else is returned, comes from the package manager.
  returned: always
  type: bool
"""
