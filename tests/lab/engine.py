# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of the machine: found, or installed and started; and the one way to call it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed, run
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import CommandFailed, RolloutError

from .console import Step, say, watched
from .paths import LAB_FOLDER, exclusive

START_DEADLINE_SECONDS = 60.0
# Program → Debian package. Everything the lab calls on the machine, the engine included.
PROGRAMS = {
    "docker": "docker-cli",
    "dockerd": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 4096
PID_FILES = {
    "dockerd": Path("/var/run/docker.pid"),
    "containerd": Path("/var/run/docker/containerd/containerd.pid"),
}


def docker(
    *arguments: str,
    deadline: float = 60.0,
    standard_input: str | None = None,
    accepted: t.Container[int] = (0,),
) -> Completed:
    """Calls the docker client. Raises CommandFailed."""
    return run(["docker", *arguments], deadline=deadline, standard_input=standard_input, accepted=accepted)


def engine_answers() -> bool:
    """Says whether a Docker engine can be used from here."""
    try:
        return docker("version", "--format", "{{.Server.Version}}", deadline=10, accepted=range(256)).code == 0
    except CommandFailed:
        return False


def ensure_programs(*programs: str) -> None:
    """Makes sure that *programs* (keys of PROGRAMS) are installed; installs them on a Debian-like system as root."""
    missing = [program for program in programs if shutil.which(program, path=_search_path()) is None]
    if not missing:
        return
    packages = sorted({PROGRAMS[program] for program in missing})
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RolloutError(
            f"The lab needs {', '.join(missing)}, which this machine does not have.",
            expected="the programs, or root on a Debian-like system, where the lab installs them",
            next_step=f"sudo apt-get install --no-install-recommends {' '.join(packages)}",
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Step(f"Install {', '.join(packages)}") as step:
        watched(step, ["apt-get", "update"], env=environment)
        watched(step, ["apt-get", "install", "--yes", "--no-install-recommends", *packages], env=environment)


def ensure_engine() -> None:
    """Makes sure that a Docker engine answers. Installs and starts it when we are root on a Debian-like system."""
    with exclusive("engine"):
        if engine_answers():
            return
        if os.environ.get("DOCKER_HOST"):
            raise RolloutError(
                "The Docker engine that DOCKER_HOST names does not answer.",
                found=os.environ["DOCKER_HOST"],
                next_step="unset DOCKER_HOST, or start that engine",
            )
        if os.geteuid() != 0:
            raise RolloutError(
                "The lab needs a Docker engine, and this user cannot use or start one.",
                expected="an engine that answers `docker info`, or root, which lets the lab install and start one",
                next_step="start the engine and join its group (sudo usermod -aG docker $USER), or run this as root",
            )
        ensure_programs("dockerd", "iptables")
        ensure_programs("docker")  # part of docker.io before Debian 13
        with Step("Docker engine starts"):
            _start_engine()


def ensure_room() -> None:
    """Makes sure that the kernel lets many systemd at once watch files: each takes about ten watchers of one user."""
    found = int(INOTIFY_LIMIT.read_text())
    if found >= INOTIFY_INSTANCES:
        return
    try:
        INOTIFY_LIMIT.write_text(f"{INOTIFY_INSTANCES}\n")
        say(f"  Set fs.inotify.max_user_instances to {INOTIFY_INSTANCES} (was {found}) until the machine restarts.")
    except OSError:
        say(f"  fs.inotify.max_user_instances is {found}: with more than ten hosts, units may fail to start.")
        say(f"  next: sudo sysctl fs.inotify.max_user_instances={INOTIFY_INSTANCES}")


def _start_engine() -> None:
    log = LAB_FOLDER / "dockerd.log"
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "docker.service"], deadline=START_DEADLINE_SECONDS)
    elif not _engine_is_coming():
        with log.open("ab") as output:
            subprocess.Popen(
                ["dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
                env={**os.environ, "PATH": _search_path()},
            )
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while not engine_answers():
        if time.monotonic() > deadline:
            last = log.read_text("utf-8", "replace").splitlines()[-5:] if log.exists() else []
            raise RolloutError(
                "The Docker engine was started but does not answer.",
                expected=f"an answer to `docker version` within {START_DEADLINE_SECONDS:g} s",
                found="\n    ".join(last) or None,
                next_step=f"look into {log} (or: journalctl -u docker)",
            )
        time.sleep(0.3)


def _engine_is_coming() -> bool:
    """Removes pid files that a dead engine left. Returns whether a living one was started by somebody else."""
    living = set()
    for program, pid_file in PID_FILES.items():
        try:
            # Empty for a process that is dead but not yet buried.
            command = Path(f"/proc/{int(pid_file.read_text())}/cmdline").read_text()
        except (OSError, ValueError):
            command = ""
        if Path(command.split("\0")[0]).name == program:
            living.add(program)
        else:
            pid_file.unlink(missing_ok=True)
    return "dockerd" in living


def _search_path() -> str:
    """dockerd and iptables live in sbin, which is not on every user's path."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
