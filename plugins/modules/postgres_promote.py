#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module postgres_promote: the standby of this host becomes the primary."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_promote
version_added: "0.1.0"
short_description: Promote the standby of this host, and prove that it takes writes
description:
  - Waits for what the old primary wrote before it was stopped, promotes, waits until a write works.
  - Makes the slots of the others before anybody writes.
  - It does not look for other primaries; M(vitalops.rollout.postgres_fence) and the filter C(postgres_promotion) do.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
options:
  member:
    description: Name of this host.
    type: str
    required: true
  until:
    description: Where the old primary ended. A standby that has not received it is not promoted. Empty when unknown.
    type: str
    default: ""
  slots:
    description: Replication slots that the new primary has from its first moment on.
    type: list
    elements: str
    default: []
  deadline:
    description: Seconds for all of it.
    type: int
    default: 60
  by:
    description: Who does it.
    type: str
    required: true
  reason:
    description: Why, when something was given up for it.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: This host is the primary
  vitalops.rollout.postgres_promote:
    member: db2
    by: kim
"""

RETURN = r"""
promoted:
  description: Whether it was a standby; false when it was the primary already.
  returned: success
  type: bool
  sample: true
received:
  description: The last position that came from the old primary.
  returned: success
  type: str
  sample: 0/3000148
last_commit:
  description: When the last transaction that came from the old primary was committed.
  returned: success
  type: str
  sample: "2026-01-31T22:10:05.123+00:00"
missing:
  description: Bytes that the old primary wrote and that never came; none when nobody knows.
  returned: success
  type: int
  sample: 0
loss:
  description: What can be lost by it, in one sentence.
  returned: success
  type: str
  sample: "Nothing is lost: the old primary was stopped, and all that it wrote was received."
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.4
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._standby import fence, promote

ARGUMENTS: dict[str, t.Any] = {
    "member": {"type": "str", "required": True},
    "until": {"type": "str", "default": ""},
    "slots": {"type": "list", "elements": "str", "default": []},
    "deadline": {"type": "int", "default": 60},
    "by": {"type": "str", "required": True},
    "reason": {"type": "str", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, lead)


def lead(module: AnsibleModule) -> dict[str, t.Any]:
    """Promotes the standby of this host. Returns what is known of losses."""
    wanted = module.params
    with fence.alone(check=module.check_mode):
        promoted = promote.promote(
            member=wanted["member"],
            until=wanted["until"] or None,
            slots=wanted["slots"],
            deadline=wanted["deadline"],
            check=module.check_mode,
            by=wanted["by"],
            reason=wanted["reason"],
        )
    diff = {
        "before": "standby\n" if promoted.promoted else "",
        "after": "primary\n" if promoted.promoted else "slots\n",
    }
    return {**promoted._asdict(), "loss": promoted.loss, **({"diff": diff} if promoted.changed else {})}


if __name__ == "__main__":
    main()
