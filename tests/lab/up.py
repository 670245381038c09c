# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that make a lab and take it away."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import RolloutError

from . import hosts, images, inventory, keys, registry, state
from .console import Step, say
from .engine import engine_answers, ensure_engine, ensure_programs, ensure_room
from .paths import LAB_FOLDER, exclusive, write_private
from .topology import Host


def up(wanted: state.Lab) -> state.Lab:
    """Starts what is missing of a lab, waits until every host lets us in, and writes its inventory."""
    ensure_programs("ssh", "ssh-keygen", "openssl")
    ensure_engine()
    ensure_room()
    wanted.hosts()  # refuses a bad topology before anything is made
    with exclusive(f"lab-{wanted.name}"):
        if wanted.name not in state.names():
            hosts.remove(wanted.name)  # hosts whose keys are lost
        lab = state.load_or_create(wanted)
        missing = [host for host in lab.hosts() if hosts.state(lab, host.name) == "missing"]
        for kind, debian in sorted({(host.image, host.debian) for host in missing}):
            images.ensure(kind, debian)
        with Step(f"Lab {lab.name}: keys, certificates, network"):
            lab = _prepare(lab)
        with Step(f"{len(lab.hosts())} hosts start") as step:
            step.note = _start(lab)
        hosts.parallel(lambda host: hosts.step_ready(lab, host), lab.hosts())
    return lab


def _prepare(lab: state.Lab) -> state.Lab:
    keys.ensure_client_key(lab.folder)
    keys.ensure_authority(lab.folder, state.REGISTRY_HOST, state.DOMAIN)
    lab.secrets()
    with exclusive("network"):
        lab = dataclasses.replace(lab, subnet=hosts.ensure_network(lab))
    lab.save()
    lab.control_folder.mkdir(mode=0o700, exist_ok=True)
    return lab


def _start(lab: state.Lab) -> str:
    started: list[str] = []
    host_keys: dict[str, str] = {}
    client_key = hosts.File("/root/.ssh/authorized_keys", keys.ensure_client_key(lab.folder))

    def start(host: Host) -> None:
        files = [client_key, *(registry.files(lab) if host.image == "registry" else [])]
        if hosts.ensure_running(lab, host, files):
            hosts.close_connections(lab.name, host.name)
            started.append(host.name)
        host_keys[host.name] = hosts.host_key(lab, host.name)

    hosts.parallel(start, lab.hosts())
    addresses = lab.addresses()
    known = "".join(f"{name},{addresses[name]} {host_keys[name]}\n" for name in addresses)
    write_private(lab.folder / "known_hosts", known)
    write_private(lab.folder / "ssh_config", inventory.ssh_config(addresses, lab.folder))
    built = inventory.build(lab.hosts(), addresses, lab.folder, lab.control_folder, state.registry_facts(lab))
    file = Path(lab.inventory)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, inventory.render(built))
    return "all were running" if not started else ""


def down(name: str) -> None:
    """Removes a lab: containers, volumes, network, files. Also what is left of a lab that never came up whole."""
    with exclusive(f"lab-{name}"), Step(f"Lab {name} is gone") as step:
        if engine_answers():
            removed = hosts.remove(name)
            step.note = "nothing was running" if not removed else ""
        elif (LAB_FOLDER / name / "lab.json").exists():
            step.note = "no engine answers: only files were removed"
        hosts.close_connections(name)
        state.forget(name)


def down_all() -> None:
    """Removes every lab of this checkout."""
    for name in sorted({*state.names(), *(hosts.labelled() if engine_answers() else ())}):
        down(name)


def remove_images() -> None:
    """Removes the cached images."""
    if not engine_answers():
        raise RolloutError("The images stay: no Docker engine answers.", next_step="make lab-up, which starts it")
    with Step("Cached images are gone") as step:
        step.note = f"{len(images.remove_all())} removed"


def next_commands(lab: state.Lab) -> None:
    """Says how to get in and how to get rid of it."""
    first = lab.hosts()[0].name
    say(f"\n  Look around:  ssh -F {shlex.quote(str(lab.folder / 'ssh_config'))} {first}")
    say(f"  Inventory:    {lab.inventory}")
    say(f"  Take it down: make lab-down LAB={lab.name}")
