# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a host with Docker: what the engine, its files and the containers of rollouts tell of themselves, as JSON."""

import glob
import grp
import json
import os
import pwd
import subprocess

FILES = (
    "/etc/docker",
    "/etc/docker/daemon.json",
    "/etc/docker/certs.d/*/*",
    "/etc/default/docker",
    "/usr/lib/systemd/system/docker.s*",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
)


def answer(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def mode(path):
    found = os.stat(path)
    return [found.st_mode & 0o7777, pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name]


def main():
    names = answer("docker", "ps", "-q", "--filter", "label=rollout.application").split()
    with open("/etc/docker/daemon.json", encoding="utf-8") as handle:
        daemon = json.load(handle)
    told = {
        "info": json.loads(answer("docker", "info", "--format", "{{json .}}")),
        "daemon": daemon,
        "bridge": json.loads(answer("docker", "network", "inspect", "bridge"))[0]["Options"],
        "containers": json.loads(answer("docker", "inspect", *names)),
        "modes": {path: mode(path) for pattern in FILES for path in glob.glob(pattern)},
        "trusted": grp.getgrnam("docker").gr_mem,
        "listening": [line for line in answer("ss", "-Hltnp").splitlines() if '"dockerd"' in line],
    }
    print(json.dumps(told))


main()
