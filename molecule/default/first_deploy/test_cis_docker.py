# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of the CIS Docker Benchmark v1.6.0; what is not here is in docs/security.md.

A test has the number and the title of its item. Each host is asked once.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

LOOK = (Path(__file__).parent / "on_host" / "docker_look.py").read_text()

Container = dict[str, t.Any]
#: Items about one container: what must be true of it.
CONTAINER: dict[str, t.Callable[[Container], bool]] = {
    "4.1 Ensure that a user for the container has been created": lambda one: (
        one["Config"]["User"].split(":")[0] not in ("", "0", "root")
    ),
    "5.4 Ensure that Linux kernel capabilities are restricted within containers": lambda one: (
        one["HostConfig"]["CapDrop"] == ["ALL"] and not one["HostConfig"]["CapAdd"]
    ),
    "5.5 Ensure that privileged containers are not used": lambda one: not one["HostConfig"]["Privileged"],
    "5.6 Ensure sensitive host system directories are not mounted on containers": lambda one: (
        # Whom to trust as PostgreSQL and Redis: certificates alone, and nobody can write there.
        [(mount["Source"], mount["RW"]) for mount in one["Mounts"] if mount["Type"] == "bind"]
        in ([], [("/etc/ssl/rollout", False)])
    ),
    "5.8 Ensure privileged ports are not mapped within containers": lambda one: all(
        int(port["HostPort"]) >= 1024 for port in published(one)
    ),
    "5.9 Ensure that only needed ports are open on the container": lambda one: (
        len(published(one)) == (1 if "-web-" in one["Name"] else 0)
    ),
    "5.10 Ensure that the host's network namespace is not shared": lambda one: (
        one["HostConfig"]["NetworkMode"] != "host"
    ),
    "5.11 Ensure that the memory usage for containers is limited": lambda one: one["HostConfig"]["Memory"] > 0,
    "5.13 Ensure that the container's root filesystem is mounted as read only": lambda one: one["HostConfig"][
        "ReadonlyRootfs"
    ],
    "5.14 Ensure that incoming container traffic is bound to a specific host interface": lambda one: all(
        port["HostIp"] not in ("", "0.0.0.0", "::") for port in published(one)
    ),
    "5.16 Ensure that the host's process namespace is not shared": lambda one: one["HostConfig"]["PidMode"] == "",
    "5.17 Ensure that the host's IPC namespace is not shared": lambda one: one["HostConfig"]["IpcMode"] == "private",
    "5.18 Ensure that host devices are not directly exposed to containers": lambda one: (
        not one["HostConfig"]["Devices"]
    ),
    "5.20 Ensure mount propagation mode is not set to shared": lambda one: (
        not [mount for mount in one["Mounts"] if mount.get("Propagation") == "shared"]
    ),
    "5.21 Ensure that the host's UTS namespace is not shared": lambda one: one["HostConfig"]["UTSMode"] == "",
    "5.22 Ensure the default seccomp profile is not Disabled": lambda one: (
        "seccomp=unconfined" not in one["HostConfig"]["SecurityOpt"]
    ),
    "5.26 Ensure that the container is restricted from acquiring additional privileges": lambda one: (
        "no-new-privileges" in one["HostConfig"]["SecurityOpt"]
    ),
    "5.29 Ensure that the PIDs cgroup limit is used": lambda one: one["HostConfig"]["PidsLimit"] > 0,
    "5.31 Ensure that the host's user namespaces are not shared": lambda one: one["HostConfig"]["UsernsMode"] == "",
    "5.32 Ensure that the Docker socket is not mounted inside any containers": lambda one: (
        not [mount for mount in one["Mounts"] if "docker.sock" in mount["Source"]]
    ),
}
#: Items about files: the pattern of their paths, the most rights, and the group.
FILES = {
    "3.1 and 3.2 docker.service is root's, and appropriately set": ("docker.service", 0o644, "root"),
    "3.3 and 3.4 docker.socket is root's, 644 or more restrictive": ("docker.socket", 0o644, "root"),
    "3.5 and 3.6 /etc/docker is root's, 755 or more restrictively": ("/etc/docker", 0o755, "root"),
    "3.7 and 3.8 registry certificates are root's, 444 or more restrictively": (".crt", 0o444, "root"),
    "3.15 and 3.16 the Docker socket is root:docker, 660 or more restrictively": ("docker.sock", 0o660, "docker"),
    "3.17 and 3.18 daemon.json is root's, 644 or more restrictive": ("daemon.json", 0o644, "root"),
    "3.19 and 3.20 /etc/default/docker is root's, 644 or more restrictively": ("/etc/default/docker", 0o644, "root"),
    "3.23 and 3.24 the Containerd socket is root's, 660 or more restrictively": ("containerd.sock", 0o660, "root"),
}


def published(one: Container) -> list[dict[str, str]]:
    """Returns where a container is reached from outside."""
    return [binding for many in (one["HostConfig"]["PortBindings"] or {}).values() for binding in many or []]


class Engine(t.NamedTuple):
    """What an engine and its host tell of themselves."""

    info: dict[str, t.Any]
    daemon: dict[str, t.Any]
    bridge: dict[str, str]
    containers: list[Container]
    modes: dict[str, tuple[int, str, str]]
    trusted: list[str]
    listening: list[str]


@pytest.fixture(scope="module")
def engines(lab: t.Any) -> list[Engine]:
    # single_host shares this folder and installs no engine; default and fleet have one, and ask all of this.
    if lab.systemd:
        pytest.skip("releases run under systemd here, without an engine: default and fleet ask its items")
    asked = [lab.connect(name).check_output("python3 -c %s", LOOK) for name in lab.group("application")]
    return [Engine(**json.loads(told)) for told in asked]


@pytest.mark.parametrize("wanted", CONTAINER.values(), ids=CONTAINER.keys())
def test_container(engines: list[Engine], wanted: t.Callable[[Container], bool]) -> None:
    containers = [one for engine in engines for one in engine.containers]
    assert len(containers) >= 3
    assert [one["Name"] for one in containers if not wanted(one)] == []


@pytest.mark.parametrize(("ending", "most", "group"), FILES.values(), ids=FILES.keys())
def test_file(engines: list[Engine], ending: str, most: int, group: str) -> None:
    for engine in engines:
        found = {path: told for path, told in engine.modes.items() if path.endswith(ending)}
        assert found, "there is no such file"
        for path, (mode, owner, owning) in found.items():
            assert (owner, owning, mode & ~most) == ("root", group, 0), path


def test_1_1_2_ensure_only_trusted_users_are_allowed_to_control_docker_daemon(engines: list[Engine]) -> None:
    assert [engine.trusted for engine in engines] == [[]] * len(engines)


def test_2_2_ensure_network_traffic_is_restricted_between_containers_on_the_default_bridge(
    engines: list[Engine],
) -> None:
    assert {engine.bridge["com.docker.network.bridge.enable_icc"] for engine in engines} == {"false"}


def test_2_3_ensure_the_logging_level_is_set_to_info(engines: list[Engine]) -> None:
    assert {engine.daemon.get("log-level", "info") for engine in engines} == {"info"}


def test_2_4_ensure_docker_is_allowed_to_make_changes_to_iptables(engines: list[Engine]) -> None:
    assert {engine.daemon.get("iptables", True) for engine in engines} == {True}


def test_2_5_ensure_insecure_registries_are_not_used(engines: list[Engine]) -> None:
    for engine in engines:
        registries = engine.info["RegistryConfig"]
        assert {*registries["InsecureRegistryCIDRs"]} <= {"127.0.0.0/8", "::1/128"}
        assert [name for name, one in registries["IndexConfigs"].items() if not one["Secure"]] == []


def test_2_6_ensure_aufs_storage_driver_is_not_used(engines: list[Engine]) -> None:
    assert "aufs" not in {engine.info["Driver"] for engine in engines}


def test_2_7_the_daemon_listens_on_no_port_so_it_needs_no_tls_authentication(engines: list[Engine]) -> None:
    assert [engine.listening for engine in engines] == [[]] * len(engines)


def test_2_10_and_2_11_default_cgroup_usage_and_base_device_size_are_not_changed(engines: list[Engine]) -> None:
    assert not [engine for engine in engines if {"cgroup-parent", "storage-opts"} & {*engine.daemon}]


def test_2_14_ensure_containers_are_restricted_from_acquiring_new_privileges(engines: list[Engine]) -> None:
    assert {engine.daemon.get("no-new-privileges") for engine in engines} == {True}


def test_2_15_ensure_live_restore_is_enabled(engines: list[Engine]) -> None:
    assert {engine.info["LiveRestoreEnabled"] for engine in engines} == {True}


def test_2_18_ensure_that_experimental_features_are_not_implemented_in_production(engines: list[Engine]) -> None:
    assert {engine.info["ExperimentalBuild"] for engine in engines} == {False}


def test_5_1_ensure_swarm_mode_is_not_enabled_if_not_needed(engines: list[Engine]) -> None:
    assert {engine.info["Swarm"]["LocalNodeState"] for engine in engines} == {"inactive"}
