# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several modules of Redis take; module_utils/_redis/parameters.py holds the same as argument specifications."""

from __future__ import annotations


class ModuleDocFragment:
    # For modules that work on the server or the Sentinel of this host.
    DOCUMENTATION = r"""
options:
  server:
    description: Which server it is, or whose Sentinel.
    type: str
    choices: [redis, valkey]
    default: redis
notes:
  - Root rights are needed.
"""

    # For modules that make users of applications.
    USERS = r"""
options:
  users:
    description: Users of applications.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      password:
        description: Password of the user. The server keeps a SHA-256 checksum.
        type: str
        required: true
      keys:
        description: Patterns of keys that the user may read and write.
        type: list
        elements: str
        default: ["*"]
      channels:
        description: Patterns of channels that the user may use.
        type: list
        elements: str
        default: []
      commands:
        description:
          - What the user may do, in order, as C(+command), C(-command), C(+@category) or C(-@category).
          - Empty means C(+@all -@admin -@dangerous +info).
        type: list
        elements: str
        default: []
      must_run:
        description:
          - Commands with arguments that the user cannot do without, for example C(SET shop:1 x).
          - Not asked of a managed server.
        type: list
        elements: str
        default: []
"""

    # For modules that look for the primary of a set.
    SET = r"""
options:
  address:
    description: Address of this server or Sentinel, as the others of the set know it.
    type: str
    required: true
  primary_address:
    description: Address of the first primary.
    type: str
    required: true
  peer_addresses:
    description: Addresses of all servers of the set.
    type: list
    elements: str
    default: []
  sentinel_addresses:
    description: Addresses of all Sentinels of the set.
    type: list
    elements: str
    default: []
  set_name:
    description: Name of the set at the Sentinels.
    type: str
    default: primary
  tls:
    description: Whether the servers and Sentinels of the set speak TLS.
    type: bool
    default: false
  ca_path:
    description: File of the authorities that issued their certificates.
    type: path
    default: ""
"""
