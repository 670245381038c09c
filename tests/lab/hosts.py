# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a lab as containers that run systemd: made, started, waited for, cut off, killed and removed."""

from __future__ import annotations

import io
import re
import socket
import tarfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import run
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import (
    BadInput,
    CommandFailed,
    RolloutError,
)

from . import cgroups, images, topology
from .console import Step
from .engine import docker
from .paths import ROOT
from .state import CHECKOUT_LABEL, DOMAIN, LABEL, Lab, control_folder

READY_DEADLINE_SECONDS = 60.0
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
# Full systemd, nested engines and hardened units, on machines where --privileged is refused as well.
RECIPE = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock"),
    *("--device-cgroup-rule", "a *:* rwm"),
    *("--volume", "/var/lib/docker"),
)
# Hosts have processors of their own; here all share a few. What load balancers do is little, and judged by deadlines:
# they come first (the engine's default is 1024 for each container, nested ones included).
LOAD_BALANCER_SHARES = 8192
CUT_CHAIN = "LAB-CUT"
CONTROLLER = "controller"
SIGNALS = ("KILL", "TERM", "INT", "HUP", "QUIT", "STOP", "CONT", "USR1", "USR2")


class File(t.NamedTuple):
    """A file that a host has from the start."""

    path: str
    content: str
    mode: int = 0o600


def parallel(work: t.Callable[[topology.Host], None], hosts: t.Sequence[topology.Host]) -> None:
    """Does *work* for all hosts at the same time; raises what the first failing host raised."""
    with ThreadPoolExecutor(max_workers=len(hosts) or 1) as pool:
        for result in [pool.submit(work, host) for host in hosts]:
            result.result()


def ensure_network(lab: Lab) -> str:
    """Makes sure that the network of the lab is there. Returns its subnet."""
    show = ("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", lab.network)
    found = docker(*show, accepted=(0, 1))
    if found.code == 0:
        return found.output.strip()
    for subnet in topology.subnets(lab.name):
        options = ("--subnet", subnet, "--gateway", topology.gateway(subnet), *_labels(lab.name, "--label"))
        made = docker("network", "create", "--driver", "bridge", *options, lab.network, accepted=(0, 1))
        if made.code == 0:
            return subnet
        if "overlap" not in made.error.lower():
            raise CommandFailed("The network of the lab cannot be made.", found=made.error.strip(), where=lab.network)
    raise RolloutError("There is no free subnet for the lab.", expected="one of 10.231.0.0/24 … 10.231.255.0/24")


def state(lab: Lab, host: str) -> str:
    """Returns the state of a container (running, exited …) or "missing"."""
    found = docker("inspect", "--format", "{{.State.Status}}", lab.container(host), accepted=(0, 1))
    return found.output.strip() if found.code == 0 else "missing"


def ensure_running(lab: Lab, host: topology.Host, files: t.Sequence[File]) -> bool:
    """Makes and starts a host with *files* in it. Returns whether anything had to be done."""
    found = state(lab, host.name)
    if found == "running":
        return False
    if found == "missing":
        _create(lab, host, files)
    docker("start", lab.container(host.name))
    return True


def _create(lab: Lab, host: topology.Host, files: t.Sequence[File]) -> None:
    addresses = lab.addresses()
    names = [
        f"--add-host={full}:{address}" for name, address in addresses.items() for full in (name, f"{name}.{DOMAIN}")
    ]
    container = lab.container(host.name)
    docker(
        *("create", "--name", container, "--hostname", host.name, *_labels(lab.name, "--label")),
        *("--network", lab.network, "--ip", addresses[host.name], "--network-alias", host.name),
        *("--network-alias", f"{host.name}.{DOMAIN}"),
        *names,
        *(("--cpu-shares", str(LOAD_BALANCER_SHARES)) if "load_balancer" in host.groups else ()),
        *RECIPE,
        images.tag(host.image, host.debian),
    )
    put_files(container, files)


def put_files(container: str, files: t.Sequence[File]) -> None:
    """Copies *files* into a container, running or not; their content passes by standard input only."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:
        for file in files:
            content = file.content.encode()
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), file.mode, int(time.time())
            packed.addfile(entry, io.BytesIO(content))
    # A tar of text files is text: zero bytes pass through standard input unharmed.
    docker("cp", "-", f"{container}:/", standard_input=archive.getvalue().decode())


def host_key(lab: Lab, host: str) -> str:
    """Returns the public host key, read by way of the engine: nothing is trusted because it answered first."""
    container = lab.container(host)
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    while True:
        found = docker("exec", container, "cat", HOST_KEY, accepted=range(256))
        if found.code == 0 and found.output.startswith("ssh-ed25519 "):
            return " ".join(found.output.split()[:2])
        if time.monotonic() > deadline or state(lab, host) != "running":
            raise RolloutError(
                f"{host} did not make its host key.",
                found=last_words(container),
                where=container,
                next_step=f"docker logs {container}",
            )
        time.sleep(0.2)


def wait_for_ssh(lab: Lab, host: str) -> None:
    """Waits until *host* lets us in by SSH and its systemd has started everything."""
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    address = lab.addresses()[host]
    found = "no answer on port 22"
    while time.monotonic() < deadline:
        if _port_speaks(address):
            tried = run(
                ["ssh", "-F", str(lab.folder / "ssh_config"), host, "systemctl is-system-running --wait"],
                deadline=max(5.0, deadline - time.monotonic()),
                accepted=range(256),
            )
            if tried.output.strip() in ("running", "degraded"):
                return
            found = (tried.error or tried.output).strip()
        time.sleep(0.2)
    container = lab.container(host)
    raise RolloutError(
        f"{host} does not answer by SSH.",
        expected=f"a login at {address} within {READY_DEADLINE_SECONDS:g} s",
        found=f"{found}\n    {last_words(container)}",
        where=container,
        next_step=f"docker exec -it {container} journalctl -b",
    )


def _port_speaks(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def failed_units(lab: Lab, host: str) -> list[str]:
    """Returns the units that failed on *host*; a good lab has none."""
    listed = docker("exec", lab.container(host), "systemctl", "--failed", "--plain", "--no-legend", accepted=range(256))
    return [line.split()[0] for line in listed.output.splitlines() if line.strip()]


def last_words(container: str) -> str:
    """Returns the last lines of a host's journal, or of its console when it is not running."""
    journal = docker("exec", container, "journalctl", "-b", "--no-pager", "-n", "8", "-o", "cat", accepted=range(256))
    if journal.code != 0:
        journal = docker("logs", "--tail", "8", container, accepted=range(256))
    lines = (journal.output + journal.error).strip().splitlines()
    return "\n    ".join(lines[-8:]) or "no journal"


def close_connections(lab_name: str, host: str = "*") -> None:
    """Ends the shared SSH connections to *host* (default: all): after a reboot they would lead nowhere."""
    for path in control_folder(lab_name).glob(f"{host}-*"):
        run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", "any"], deadline=10, accepted=range(256))
        path.unlink(missing_ok=True)


def restart(lab: Lab, host: str) -> None:
    """Reboots *host* the orderly way: systemd stops everything, the network comes back with the same address."""
    close_connections(lab.name, host)
    docker("restart", "--time", "30", lab.container(host), deadline=120)


def kill_host(lab: Lab, host: str) -> None:
    """Takes the power away from *host*."""
    docker("kill", lab.container(host))
    close_connections(lab.name, host)


def kill_process(lab: Lab, host: str, pattern: str, signal: str = "KILL") -> str:
    """Sends *signal* to all processes of a unit, or all whose command line matches *pattern*. Returns what was done."""
    container = lab.container(host)
    unit = pattern if "." in pattern else f"{pattern}.service"
    loaded = docker("exec", container, "systemctl", "is-active", "--quiet", unit, accepted=range(256)).code == 0
    if loaded:
        docker("exec", container, "systemctl", "kill", f"--signal={signal}", unit)
        return f"unit {unit} got {signal}"
    found = docker("exec", container, "pkill", "--signal", signal, "--full", "--count", "--", pattern, accepted=(0, 1))
    count = int(found.output.strip() or "0")
    if count == 0:
        raise BadInput(
            f"Nothing to kill on {host}.",
            expected="an active unit, or a running command line",
            found=pattern,
            where=container,
        )
    return f"{count} processes got {signal}"


def cut(lab: Lab, host: str, peer: str | None) -> None:
    """Drops all packets between *host*, containers on it included, and *peer* (a host, CONTROLLER, None: everybody).

    The machine that runs Ansible reaches the hosts from the address of the gateway; nothing else of the lab does.
    """
    address = None
    if peer:
        address = topology.gateway(lab.subnet) if peer == CONTROLLER else lab.addresses()[lab.host(peer).name]
    container = lab.container(host)
    interface = _interface(container, lab.addresses()[host])
    for hook, direction, side in (("PREROUTING", "-i", "-s"), ("POSTROUTING", "-o", "-d")):
        chain = f"{CUT_CHAIN}-{hook}"
        # mangle is passed by packets for the host and by packets for containers on it, before any address is rewritten.
        table = ("exec", container, "iptables", "--wait", "--table", "mangle")
        if docker(*table, "--new-chain", chain, accepted=(0, 1)).code == 0:
            docker(*table, "--insert", hook, direction, interface, "--jump", chain)
        docker(*table, "--append", chain, *((side, address) if address else ()), "--jump", "DROP")


def heal(lab: Lab, host: str) -> None:
    """Takes back every cut of *host*."""
    container = lab.container(host)
    for hook in ("PREROUTING", "POSTROUTING"):
        docker(
            *("exec", container, "iptables", "--wait", "--table", "mangle", "--flush", f"{CUT_CHAIN}-{hook}"),
            accepted=(0, 1),
        )


def cuts(lab: Lab, host: str) -> list[str]:
    """Returns from whom *host* is cut off: hosts, CONTROLLER, or "everybody"."""
    names = {address: name for name, address in lab.addresses().items()} | {topology.gateway(lab.subnet): CONTROLLER}
    listed = docker(
        *("exec", lab.container(host), "iptables", "--wait", "--table", "mangle", "--list-rules"), accepted=range(256)
    )
    rules = re.findall(rf"^-A {CUT_CHAIN}-PREROUTING (?:-s (\S+?)(?:/32)? )?-j DROP$", listed.output, re.MULTILINE)
    return [names.get(address, address) or "everybody" for address in rules]


def _interface(container: str, address: str) -> str:
    listed = docker("exec", container, "ip", "-oneline", "-4", "address").output
    for line in listed.splitlines():
        fields = line.split()
        if fields[3].split("/")[0] == address:
            return fields[1]
    raise RolloutError(
        "The host has no interface with its address.", expected=address, found=listed.strip(), where=container
    )


def remove(lab_name: str) -> int:
    """Removes every container and network with the label of the lab. Returns how many there were."""
    chosen = ("--quiet", *_labels(lab_name, "--filter", "label="))
    containers = docker("ps", "--all", *chosen).output.split()
    if containers:
        docker("rm", "--force", "--volumes", *containers, deadline=180)
        cgroups.remove_dead()
    networks = docker("network", "ls", *chosen).output.split()
    if networks:
        docker("network", "rm", *networks)
    return len(containers) + len(networks)


def step_ready(lab: Lab, host: topology.Host) -> None:
    """Waits for *host* and says so."""
    with Step(f"{host.name} ({lab.addresses()[host.name]}, Debian {host.debian}) is ready") as step:
        wait_for_ssh(lab, host.name)
        units = failed_units(lab, host.name)
        if units:
            step.note = f"failed units: {', '.join(units)}"


def labelled() -> set[str]:
    """Returns the names of this checkout's labs that have containers or networks, with or without files here."""
    show = ("--filter", f"label={CHECKOUT_LABEL}={ROOT}", "--format", f'{{{{.Label "{LABEL}"}}}}')
    return {*docker("ps", "--all", *show).output.split(), *docker("network", "ls", *show).output.split()}


def _labels(lab_name: str, option: str, prefix: str = "") -> tuple[str, ...]:
    """Another checkout on the same machine may have a lab of the same name: both labels tell them apart."""
    return (option, f"{prefix}{LABEL}={lab_name}", option, f"{prefix}{CHECKOUT_LABEL}={ROOT}")
