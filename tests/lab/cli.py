# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab: one function per verb."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput, RolloutError

from . import disks, hosts, load, registry, state, up
from .console import Step, say
from .paths import ROOT

INVENTORY = ROOT / "inventories" / "lab" / "hosts.yml"


def main(arguments: list[str]) -> int:
    """Runs one verb. Returns the exit code: 0 done, 1 failed with a message, 130 interrupted."""
    chosen = parser().parse_args(arguments)
    started = time.monotonic()
    try:
        chosen.verb(chosen)
    except RolloutError as error:
        say(f"\n{error}")
        return 1
    except PermissionError as error:
        say(f"\nThis user may not use {error.filename}.\n  next: run it as the user who made the lab, often root")
        return 1
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader has seen enough
    except KeyboardInterrupt:
        say("\nInterrupted. The same command picks up where it was; `lab.py down` removes what is there.")
        return 130
    if chosen.timed:
        say(f"  {'':52} {time.monotonic() - started:6.1f} s in all")
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the description of all verbs and options."""
    top = argparse.ArgumentParser(prog="lab.py", description="Test hosts: real systemd hosts in containers, by SSH.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _parse_life(verbs)
    _parse_faults(verbs)
    _parse_load(verbs)
    return top


Verbs: t.TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _verb(
    verbs: Verbs, name: str, run: t.Callable[[argparse.Namespace], None], text: str, *, timed: bool = False
) -> argparse.ArgumentParser:
    found = verbs.add_parser(name, help=text, description=text)
    found.add_argument("--name", default="lab", help="name of the lab (default: lab)")
    found.set_defaults(verb=run, timed=timed)
    return found


def _parse_life(verbs: Verbs) -> None:
    make = _verb(verbs, "up", run_up, "Start the hosts; does only what is missing.", timed=True)
    make.add_argument("--topology", default="fleet", help="a file of tests/lab/topologies (default: fleet)")
    make.add_argument("--debian", type=int, choices=(12, 13), default=13)
    make.add_argument("--apps", type=int, default=2, help="number of app hosts, 1 to 16 (default: 2)")
    make.add_argument("--inventory", type=Path, default=INVENTORY, help=f"default: {INVENTORY.relative_to(ROOT)}")
    away = _verb(verbs, "down", run_down, "Remove the hosts and everything they left; cached images stay.", timed=True)
    away.add_argument("--all", action="store_true", help="every lab of this checkout")
    away.add_argument("--images", action="store_true", help="the cached images too")
    _verb(verbs, "status", run_status, "Say which hosts there are and how they are.")
    enter = _verb(verbs, "ssh", run_ssh, "Log in to a host, or run a command there.")
    enter.add_argument("host")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    give = _verb(verbs, "push", run_push, "Build a version of the reference application and push it.", timed=True)
    give.add_argument("version")
    give.add_argument("--fault", action="append", default=[], metavar="KEY=VALUE", help="baked into the release")
    give.add_argument("--kind", choices=("image", "folder", "all"), default="all")


def _parse_faults(verbs: Verbs) -> None:
    for name, run, text in (
        ("reboot", run_reboot, "Reboot a host in order and wait until it is back at the same address."),
        ("start", run_start, "Start a host that was killed and wait until it is back."),
        ("heal", run_heal, "Take back every cut of a host."),
        ("free", run_free, "Give full disks of a host back, with everything that was written."),
    ):
        _verb(verbs, name, run, text, timed=True).add_argument("host")
    kill = _verb(verbs, "kill", run_kill, "Send a signal to a unit or processes of a host, or take its power away.")
    kill.add_argument("host")
    kill.add_argument("pattern", nargs="?", help="a unit, or a regular expression for command lines")
    kill.add_argument("--signal", choices=hosts.SIGNALS, default="KILL", help="default: KILL")
    kill.add_argument("--host", dest="power", action="store_true", help="the whole host")
    cut = _verb(verbs, "cut", run_cut, "Drop all packets between a host and everybody, or one peer.")
    cut.add_argument("host")
    cut.add_argument("--from", dest="peer", help='a host, or "controller", which is the machine that runs Ansible')
    fill = _verb(verbs, "fill", run_fill, "Make the disk under a folder of a host full: writes end with ENOSPC.")
    fill.add_argument("host")
    fill.add_argument("folder", nargs="?", default=disks.STATE_FOLDER, help=f"default: {disks.STATE_FOLDER}")


def _parse_load(verbs: Verbs) -> None:
    group = verbs.add_parser("load", help="Steady requests from client1, every failure counted.")
    parts = group.add_subparsers(required=True, metavar="start|stop|report")
    start = _verb(parts, "start", run_load_start, "Start sending requests at a steady rate.")
    start.add_argument(
        "--url",
        required=True,
        action="append",
        dest="urls",
        help="for example http://lb1/; several take turns, and the report tells them apart",
    )
    start.add_argument("--rate", type=float, default=320.0, help="requests a second, of all together (default: 320)")
    start.add_argument("--max-seconds", type=float, default=900.0, help="stops by itself then (default: 900)")
    start.add_argument("--timeout", type=float, default=10.0, help="seconds for one request (default: 10)")
    start.add_argument(
        "--mix", type=Path, help="JSON file with the kinds of requests; default: the reference application's"
    )
    _verb(parts, "stop", run_load_stop, "Stop sending; requests in flight are still waited for and counted.")
    report = _verb(parts, "report", run_load_report, "Print what happened, as JSON.")
    report.add_argument("--since", help="seconds since 1970, or ISO 8601")
    report.add_argument("--until", help="seconds since 1970, or ISO 8601")


def run_up(chosen: argparse.Namespace) -> None:
    """Verb up."""
    name = state.check_name(chosen.name)
    wanted = state.Lab(name, chosen.topology, chosen.debian, chosen.apps, str(chosen.inventory.absolute()))
    up.next_commands(up.up(wanted))


def run_down(chosen: argparse.Namespace) -> None:
    """Verb down."""
    if chosen.all:
        up.down_all()
    else:
        up.down(state.check_name(chosen.name))
    if chosen.images:
        up.remove_images()
    else:
        say("  Cached images stay for the next lab; `lab.py down --images` removes them.")


def run_status(chosen: argparse.Namespace) -> None:
    """Verb status."""
    lab = state.load(chosen.name)
    print(f"lab {lab.name}: {lab.topology}, Debian {lab.debian}, inventory {lab.inventory}")
    for host in lab.hosts():
        found = hosts.state(lab, host.name)
        notes = []
        if found == "running":
            notes = [f"cut from {peer}" for peer in hosts.cuts(lab, host.name)]
            notes += [f"full: {folder}" for folder in disks.full(lab, host.name)]
            notes += [f"failed: {unit}" for unit in hosts.failed_units(lab, host.name)]
        print(
            f"  {host.name:<10} {lab.addresses()[host.name]:<15} Debian {host.debian}  {found:<8} "
            f"{', '.join(host.groups):<48} {', '.join(notes)}".rstrip()
        )


def run_ssh(chosen: argparse.Namespace) -> None:
    """Verb ssh."""
    lab = state.load(chosen.name)
    lab.host(chosen.host)
    os.execvp("ssh", ["ssh", "-F", str(lab.folder / "ssh_config"), chosen.host, *chosen.command])


def run_push(chosen: argparse.Namespace) -> None:
    """Verb push."""
    for fault in chosen.fault:
        if "=" not in fault:
            raise BadInput("A fault is not understood.", expected="KEY=VALUE", found=fault)
    kinds = ("image", "folder") if chosen.kind == "all" else (chosen.kind,)
    for kind, digest in registry.push(state.load(chosen.name), chosen.version, chosen.fault, kinds).items():
        print(f"{kind} {chosen.version} {digest}")


def run_reboot(chosen: argparse.Namespace) -> None:
    """Verb reboot."""
    lab = state.load(chosen.name)
    host = lab.host(chosen.host)
    disks.refuse_full(lab, host.name)
    with Step(f"{host.name} goes down and starts"):
        hosts.restart(lab, host.name)
    hosts.step_ready(lab, host)


def run_start(chosen: argparse.Namespace) -> None:
    """Verb start."""
    lab = state.load(chosen.name)
    host = lab.host(chosen.host)
    hosts.ensure_running(lab, host, [])
    hosts.step_ready(lab, host)


def run_kill(chosen: argparse.Namespace) -> None:
    """Verb kill."""
    lab = state.load(chosen.name)
    host = lab.host(chosen.host)
    if chosen.power == bool(chosen.pattern):
        raise BadInput("It is not clear what to kill.", expected="either a unit or pattern, or --host")
    if chosen.power:
        disks.refuse_full(lab, host.name)
        hosts.kill_host(lab, host.name)
        say(f"  {host.name} has no power. Start it with: lab.py start --name {lab.name} {host.name}")
    else:
        say(f"  {host.name}: {hosts.kill_process(lab, host.name, chosen.pattern, chosen.signal)}")


def run_cut(chosen: argparse.Namespace) -> None:
    """Verb cut."""
    lab = state.load(chosen.name)
    hosts.cut(lab, lab.host(chosen.host).name, chosen.peer)
    undo = f"lab.py heal --name {lab.name} {chosen.host}"
    say(f"  {chosen.host} is cut off from {chosen.peer or 'everybody'}. Undo: {undo}")


def run_heal(chosen: argparse.Namespace) -> None:
    """Verb heal."""
    lab = state.load(chosen.name)
    hosts.heal(lab, lab.host(chosen.host).name)
    say(f"  {chosen.host} is reached by everybody again.")


def run_fill(chosen: argparse.Namespace) -> None:
    """Verb fill."""
    lab = state.load(chosen.name)
    disks.fill(lab, lab.host(chosen.host).name, chosen.folder)
    say(f"  {chosen.host}: the disk under {chosen.folder} is full. Undo: lab.py free --name {lab.name} {chosen.host}")


def run_free(chosen: argparse.Namespace) -> None:
    """Verb free."""
    lab = state.load(chosen.name)
    freed = disks.free(lab, lab.host(chosen.host).name)
    say(f"  {chosen.host}: {', '.join(freed) + ' has room again' if freed else 'no disk was full'}.")


def run_load_start(chosen: argparse.Namespace) -> None:
    """Verb load start."""
    mix = json.loads(chosen.mix.read_text(encoding="utf-8")) if chosen.mix else None
    load.start(
        state.load(chosen.name),
        urls=chosen.urls,
        rate=chosen.rate,
        max_seconds=chosen.max_seconds,
        timeout=chosen.timeout,
        mix=mix,
    )
    urls = " and ".join(chosen.urls)
    say(f"  Load is on: {chosen.rate:g} requests/s to {urls}, for at most {chosen.max_seconds:g} s.")


def run_load_stop(chosen: argparse.Namespace) -> None:
    """Verb load stop."""
    load.stop(state.load(chosen.name))
    say("  Load is off.")


def run_load_report(chosen: argparse.Namespace) -> None:
    """Verb load report."""
    found = load.report(state.load(chosen.name), since=chosen.since, until=chosen.until)
    json.dump(found, sys.stdout, indent=2)
    print()
