#!/usr/bin/python
# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_info: what a preflight must know about a host, in one fast look."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
version_added: "0.1.0"
short_description: Tell what a preflight must know about a host
description:
  - Tells the init system, the distribution, Python, free space, memory, the clock, and who listens on which TCP port.
  - Reads only F(/proc), F(/etc/os-release), the container engine's list of containers, and, when they are asked about,
    what runs have left and O(authorities). Nothing has to be installed for it.
author:
  - The vitalops.rollout maintainers (@vitalops)
extends_documentation_fragment:
  - vitalops.rollout.attributes
  - vitalops.rollout.attributes.info
options:
  ports:
    description: TCP ports to tell the listeners of. Empty means all ports.
    type: list
    elements: int
    default: []
  application:
    description: Name of an application, to tell RV(rollout) of.
    type: str
  authorities:
    description: Files with certificates of authorities, to tell RV(authorities) of.
    type: list
    elements: str
    default: []
  load_balancers:
    description: Load balancers to ask for the traffic pointer of the application, by name at address:port.
    type: dict
    default: {}
notes:
  - Processes of other users are only seen with root rights; without them RV(listeners[].process) is none.
"""

EXAMPLES = r"""
- name: Host has told what it is
  vitalops.rollout.host_info:
    ports: [80, 18000, 18100]
    application: shop
  register: host

- name: Host runs systemd
  ansible.builtin.assert:
    that: host.init.systemd
"""

RETURN = r"""
init:
  description: Name of process 1, and whether it is a running systemd.
  returned: success
  type: dict
  sample: {"name": "systemd", "systemd": true}
python:
  description: Version and path of the Python that runs modules, and whether it has the libraries that gates may need.
  returned: success
  type: dict
  sample: {"version": "3.13.5", "executable": "/usr/bin/python3", "libraries": {"psycopg2": true, "redis": false}}
distribution:
  description: ID, VERSION_ID, VERSION_CODENAME and PRETTY_NAME of F(/etc/os-release); empty when it does not tell.
  returned: success
  type: dict
  sample: {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}
free_bytes:
  description: Bytes that users other than root may still use, by path.
  returned: success
  type: dict
  sample: {"/": 8589934592, "/var/lib": 8589934592}
memory_bytes:
  description:
    - Bytes of memory, all, available for new programs, and usable (all, or the limit of the control group that the
      host is).
  returned: success
  type: dict
  sample: {"total": 4294967296, "available": 2147483648, "usable": 4294967296}
cores:
  description: Number of cores that programs may run on.
  returned: success
  type: int
  sample: 4
boot_id:
  description: Identity of this boot; it changes with every reboot.
  returned: success
  type: str
  sample: 0a1b2c3d-0000-4000-8000-000000000000
uptime:
  description: Seconds since boot.
  returned: success
  type: float
  sample: 86400.5
clock:
  description: The clock of the host, in seconds since 1970-01-01 UTC.
  returned: success
  type: float
  sample: 1795269600.25
authorities:
  description:
    - For each path of O(authorities) what is there instead of certificates in PEM format that a watch can use; none
      when it can. A watch runs as root without capabilities, so modes count for it.
  returned: success
  type: dict
  sample: {"/etc/ssl/prometheus.pem": null, "/etc/ssl/gone.pem": "nothing"}
load_balancers:
  description:
    - For each of O(load_balancers) why it did not tell this host which slot users have; none when it did. Only hosts of
      the application are told.
  returned: success
  type: dict
  sample: {"lb1": null, "lb2": "status 404"}
container_engine:
  description:
    - Whether the container engine told its containers; V(answered), V(absent) when there is none, or V(silent) when it
      did not answer in time. With V(silent), RV(listeners[].container) is unknown where it is none.
  returned: success
  type: str
  sample: answered
listeners:
  description: Listening TCP sockets on O(ports), sorted by port.
  returned: success
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
      sample: 18000
    address:
      description: The address it listens on.
      type: str
      sample: 0.0.0.0
    process:
      description: Name of the process that holds the socket, the oldest of several; none when it cannot be seen.
      type: str
      sample: docker-proxy
    pid:
      description: Its process id.
      type: int
      sample: 4242
    unit:
      description: The systemd unit or scope it runs in.
      type: str
      sample: docker.service
    container:
      description: Name of the container it runs in or forwards to; the short id when the engine does not know it.
      type: str
      sample: reference-blue-web-1
rollout:
  description: What runs have left on the host.
  returned: with O(application)
  type: dict
  contains:
    epoch:
      description: The newest epoch that an application host has seen, 0 when none.
      type: int
      sample: 12
    live:
      description:
        - On a load balancer, the slot and the id of the release that users get, the epoch of the run that confirmed it,
          and when that was, in UTC.
        - None when nothing was confirmed, or when users are on something else.
      type: dict
      sample: {"slot": "green", "release": "1.1.0-0c1b2a3d4e5f", "epoch": 12, "confirmed_at": "2026-01-31T22:10:05Z"}
    slots:
      description: On an application host, the id of the release in each slot; none for an empty one.
      type: dict
      sample: {"blue": "1.0.0-5f4e3d2c1b0a", "green": "1.1.0-0c1b2a3d4e5f"}
    replaced:
      description: On an application host, the id of the release that the one in each slot has replaced.
      type: dict
      sample: {"blue": null, "green": "1.0.0-5f4e3d2c1b0a"}
    retires:
      description: On an application host, the slot that its timer will stop, or none.
      type: str
      sample: blue
    at_work:
      description: The begin of the step that changes the slots of this host at this moment, or none.
      type: dict
      sample: {"run": "3f9c21ab77d05e10", "step": "stage", "at": "2026-01-31T22:10:05Z"}
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import names
from ansible_collections.vitalops.rollout.plugins.module_utils._guard import change, place, probation, retire
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import facts, listeners
from ansible_collections.vitalops.rollout.plugins.module_utils._module import run_module
from ansible_collections.vitalops.rollout.plugins.module_utils._slots import definition, record
from ansible_collections.vitalops.rollout.plugins.module_utils._state import lease, state
from ansible_collections.vitalops.rollout.plugins.module_utils._traffic import pointer

ARGUMENTS: dict[str, t.Any] = {
    "ports": {"type": "list", "elements": "int", "default": []},
    "application": {"type": "str"},
    "authorities": {"type": "list", "elements": "str", "default": []},
    "load_balancers": {"type": "dict", "default": {}},
}


def main() -> None:
    run_module(ARGUMENTS, describe)


def describe(module: AnsibleModule) -> dict[str, t.Any]:
    """Returns the description of the host this runs on."""
    seen = listeners.collect(module.params["ports"])
    application = module.params["application"]
    told = probation.ask({str(name): str(place) for name, place in module.params["load_balancers"].items()})
    return {
        "changed": False,
        **facts.collect(),
        "authorities": {path: facts.authority_problem(path) for path in module.params["authorities"]},
        "load_balancers": {name: one if isinstance(one, str) else None for name, one in told.items()},
        "container_engine": seen.engine,
        "listeners": [listener._asdict() for listener in seen.listeners],
        **({"rollout": left_by_runs(names.check_application(application))} if application else {}),
    }


def left_by_runs(application: str, root: str = "/") -> dict[str, t.Any]:
    """Returns what RETURN calls rollout; *root* is another folder in tests only.

    Raises StateUnreadable: what nobody can read must not count as nothing.
    """
    states = os.path.join(root, state.ROOT.lstrip("/"))
    folder = state.folder_of(application, states)
    paths = record.Paths(application, root)
    records = {slot: record.read(paths, slot) for slot in definition.SLOTS}
    entry = change.at_work(folder)
    if entry is not None and entry.actor == place.ACTOR:
        entry = None  # the timer of the host, for a run that may be long dead: whoever comes next waits for its jobs
    epoch = lease.newest(folder)
    return {
        "epoch": epoch,
        "at_work": {"run": entry.run, "step": entry.step, "at": entry.at} if entry else None,
        "live": live(application, states),
        "slots": {slot: one.release_id for slot, one in records.items()},
        "replaced": {slot: one.previous.release.id if one.previous else None for slot, one in records.items()},
        "retires": retires(folder, epoch),
    }


def live(application: str, root: str) -> dict[str, t.Any] | None:
    """Returns what users get through this load balancer, when it is what was confirmed last."""
    known = state.load(application, root)
    used = pointer.read_file(application, pointer.path_of(application, root))
    if known is None or known.live is None or known.live_record is None or used is None or used.live != known.live:
        return None
    return {
        "slot": known.live,
        "release": known.live_record.release["id"],
        "epoch": known.confirmed_epoch,
        "confirmed_at": known.confirmed_at,
    }


def retires(folder: str, epoch: int) -> str | None:
    """Returns the slot whose time will be over; a run with a newer *epoch* has voided the plan."""
    plan = retire.read(folder)
    return plan.slot if plan and plan.run.epoch >= epoch else None


if __name__ == "__main__":
    main()
