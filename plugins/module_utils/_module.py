# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge between Ansible and the rooms, which know nothing of Ansible. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ._foundation.clock import Clock
from ._foundation.errors import RolloutError
from ._foundation.refusal import refusal
from ._guard.change import change
from ._state import state as states
from ._state.run import Run


def run_module(
    argument_spec: dict[str, t.Any],
    action: t.Callable[[AnsibleModule], dict[str, t.Any]],
    **options: t.Any,
) -> None:
    """Runs *action* and leaves with what it returns (exit_json), or with its RolloutError (fail_json, key ``error``).

    An OSError that no room has put in words is a refusal of the host: disk full, read-only folder, missing right.
    *options* go to AnsibleModule; check mode is supported unless said otherwise.
    """
    options.setdefault("supports_check_mode", True)
    kind = _Discreet if _hides(argument_spec) else AnsibleModule
    module = kind(argument_spec=argument_spec, **options)
    try:
        result = action(module)
    except RolloutError as error:
        module.fail_json(msg=str(error), error=error.details())
    except OSError as error:
        refused = refusal(error)
        module.fail_json(msg=str(refused), error=refused.details())
    module.exit_json(**result)


class _Discreet(AnsibleModule):  # type: ignore[misc] # ansible-core has no types
    """A module whose arguments do not come into the log of its host.

    Ansible writes them there as Python writes lists. A secret within one reads in another way there (a newline, a
    backslash), so that Ansible does not find it to take it out. Its parameter no_log is overruled by the task's.
    """

    def _log_invocation(self) -> None:
        """Does nothing."""


def _hides(argument_spec: t.Mapping[str, t.Any]) -> bool:
    """Returns whether a suboption, at any depth, is a secret."""
    within = [one["options"] for one in argument_spec.values() if one.get("options")]
    return any(_hides(options) or any(one.get("no_log") for one in options.values()) for options in within)


def planned(lines: t.Iterable[str]) -> dict[str, str]:
    """Returns the diff of a change that is told by *lines*, each of which says before and after by itself."""
    return {"before": "", "after": "".join(f"{line}\n" for line in lines)}


@contextlib.contextmanager
def journaled(module: AnsibleModule, step: str) -> t.Iterator[None]:
    """Journals the begin and the end of *step* on this host, for the run in the parameter ``run``, if there is one.

    Raises LeaseLost before anything changes when a newer run was on this host. Check mode leaves no trace.
    """
    if module.check_mode or not module.params.get("run"):
        yield
        return
    folder = states.folder_of(module.params["application"])
    with change(folder, Run.from_dict(module.params["run"]), step, Clock()):
        yield
