# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Redis's own page "Redis security" asks for (docs/security.md). A test has the title of its section.

Each server is asked once, whoever is primary by now.
"""

from __future__ import annotations

import typing as t

import pytest

from .test_redis import SERVERS, ask

ASKED = (
    "bind",
    "protected-mode",
    "port",
    "tls-port",
    "tls-protocols",
    "enable-debug-command",
    "enable-module-command",
    "enable-protected-configs",
    "acl-pubsub-default",
)
#: None of these is for an application, a replica or a Sentinel.
DANGEROUS = (
    "FLUSHALL",
    "KEYS *",
    "CONFIG SET dir /tmp",
    "SHUTDOWN",
    "DEBUG SLEEP 1",
    "ACL LIST",
    "MODULE LIST",
    "MONITOR",
)
LOOK = """
pid=$(systemctl show -P MainPID redis-server)
ps -o user= -p $pid
awk '/^(NoNewPrivs|Umask):/ {print $2}' /proc/$pid/status
"""


class Server(t.NamedTuple):
    """What a server tells, and its process: its user, its umask, and whether it may not get new privileges.

    *allowed*: which of DANGEROUS, and PING, the users of applications and servers may run.
    """

    settings: dict[str, str]
    allowed: list[str]
    users: dict[str, list[str]]
    process: list[str]


@pytest.fixture(scope="module", params=SERVERS)
def server(lab: t.Any, request: pytest.FixtureRequest) -> Server:
    tried = [f"{user} {command}" for user in ("shop", "replication", "sentinel") for command in (*DANGEROUS, "PING")]
    asked = [f"CONFIG GET {' '.join(ASKED)}", *(f"ACL DRYRUN {one}" for one in tried), "ACL LIST"]
    answers = iter(ask(lab, request.param, *asked, user="rollout"))
    settings = {next(answers): next(answers) for _one in ASKED}
    allowed = [one for one in tried if next(answers) == "OK"]
    users = {name: rules for _user, name, *rules in map(str.split, answers)}
    return Server(settings, allowed, users, lab.connect(request.param).check_output(LOOK).split())


def test_network_security(server: Server) -> None:
    addresses = server.settings["bind"].split()
    assert len(addresses) == 2 and "127.0.0.1" in addresses
    assert not {"*", "0.0.0.0", "-::*"} & {*addresses}


def test_protected_mode(server: Server) -> None:
    assert server.settings["protected-mode"] == "yes"


def test_authentication(server: Server) -> None:
    assert server.users["default"][0] == "off"
    assert [name for name, rules in server.users.items() if "nopass" in rules] == []
    assert {*server.users} == {"default", "replication", "rollout", "sentinel", "shop"}


def test_tls_support(server: Server) -> None:
    assert (server.settings["port"], server.settings["tls-port"]) == ("0", "6379")
    assert server.settings["tls-protocols"] == "TLSv1.2 TLSv1.3"


def test_disallowing_specific_commands(server: Server) -> None:
    for name in ("enable-debug-command", "enable-module-command", "enable-protected-configs"):
        assert server.settings[name] == "no"
    assert server.allowed == ["shop PING", "replication PING", "sentinel PING"]


def test_attacks_triggered_by_malicious_inputs_from_external_clients(server: Server) -> None:
    assert server.settings["acl-pubsub-default"] == "resetchannels"
    assert "~*" not in server.users["shop"] and "&*" not in server.users["shop"]


def test_code_security(server: Server) -> None:
    """An unprivileged user, as the page recommends, whose files nobody else reads and who cannot become another one."""
    assert server.process == ["redis", "0027", "1"]
