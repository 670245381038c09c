# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge between Ansible and the rooms, which know nothing of Ansible. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._foundation.errors import RolloutError


def run_module(
    argument_spec: dict[str, t.Any],
    action: t.Callable[[AnsibleModule], dict[str, t.Any]],
    **options: t.Any,
) -> None:
    """Runs *action* and leaves with what it returns (exit_json), or with its RolloutError (fail_json, key ``error``).

    *options* go to AnsibleModule; check mode is supported unless said otherwise.
    """
    options.setdefault("supports_check_mode", True)
    module = AnsibleModule(argument_spec=argument_spec, **options)
    try:
        result = action(module)
    except RolloutError as error:
        module.fail_json(msg=str(error), error=error.details())
    module.exit_json(**result)
